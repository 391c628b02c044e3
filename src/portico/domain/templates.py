"""What a pool writes on its desktops with dynamic tags: display names, values of metadata, user data.

User data is a program of somebody else's: scripts with `${HOME}`, JSON, templates with `{{ … }}`. There only what looks like one
of our tags is one: capital letters in single braces, no dollar before them. `{{NAME}` stands for `{NAME}` itself.
"""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from portico.domain.tags import Value, render, unknown

NAME_TAGS = ("SEQUENCE", "POOL", "CENTER", "TENANT", "RANDOM")  # what a machine's name may be made of
DISPLAY_TAGS = (*NAME_TAGS, "VM:NAME", "DATE")
TEXT_TAGS = (*DISPLAY_TAGS, "VM:ID", "VM:DISPLAY_NAME")  # what metadata and user data may hold
DATE_FORMAT = "%Y-%m-%d"
DISPLAY_LENGTH = 200
_NOT_PLAIN = re.compile(r"[^\w .,:/@+-]")
_IN_SCRIPT = re.compile(r"(?<![${])(\{\{?)([A-Z][A-Z_]*)(?::([^{}\n]*))?\}(?!\})")


def unknown_in_script(script: str, allowed: Collection[str]) -> list[str]:
    """Return what looks like a tag in user data and is none, as it was written."""
    found = (match for match in _IN_SCRIPT.finditer(script) if match[1] == "{")
    return [tag for match in found for tag in unknown(match[0], allowed)]


def render_script(script: str, values: Mapping[str, Value], later: Collection[str] = ()) -> str:
    """Fill the tags of user data in; those that are filled `later`, and all that is no tag of ours, stay letter by letter.

    A value keeps to one line and holds nothing that a shell or YAML reads as more than a word: whoever names a pool does not
    write its machines' programs.
    """

    def fill(match: re.Match[str]) -> str:
        if match[2] in later:
            return match[0]
        return match[0][1:] if match[1] == "{{" else _NOT_PLAIN.sub("", render(match[0], values, "text"))

    return _IN_SCRIPT.sub(fill, script)


def render_display(template: str, values: Mapping[str, Value]) -> str:
    """Return a display name: one line of at most 200 characters."""
    text = "".join(character for character in render(template, values, "text") if character.isprintable())
    return text.strip()[:DISPLAY_LENGTH]


def dated(at: datetime) -> Callable[[str], str]:
    """Return the value of `{DATE}` and `{DATE:%d.%m.%Y}`: the day of a moment, in the zone that it has."""
    return lambda form: at.strftime(form or DATE_FORMAT)


def metadata_errors(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with a machine's metadata: key → sentence."""
    wrong: dict[str, str] = {}
    for key, value in metadata.items():
        strange = unknown(value, TEXT_TAGS)
        if not key.strip() or len(key) > 255:
            wrong[key] = "Give each entry a name of at most 255 characters."
        elif key.casefold().startswith("portico:"):
            wrong[key] = f"“{key}” is kept for Portico itself. Choose another name."
        elif len(value) > 255:
            wrong[key] = f"The value of “{key}” is longer than 255 characters."
        elif strange:
            wrong[key] = f"There is no tag {strange[0]} in “{key}”. Use {shown(TEXT_TAGS)}."
    return wrong


def shown(tags: Collection[str]) -> str:
    """Return tags as a person writes them."""
    return ", ".join(f"{{{tag}}}" for tag in tags)
