"""Dynamic tags: `{NAME}` or `{NAME:ARG}` in names, files, command lines and URLs; `{{` stands for one brace.

What a tag brings in comes from people and machines, so it is made harmless for the place where it lands.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

Context = Literal["name", "line", "argument", "url", "text"]
Value = str | Callable[[str], str]

NAME_LENGTH = 63  # of a DNS label (RFC 1035, section 2.3.4)
_TAG = re.compile(r"\{\{|\{([^{}:]*)(?::([^{}]*))?\}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of a template that stands for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A piece of a template to be filled in; `argument` is empty where none was written."""

    name: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.argument}" if self.argument else self.name


def parse(template: str) -> tuple[Text | Tag, ...]:
    """Return the pieces of any template; a brace that opens no tag stands for itself."""
    parts: list[Text | Tag] = []
    end = 0
    for match in _TAG.finditer(template):
        before = template[end : match.start()]
        parts += [Text(before)] if before else []
        parts.append(Text("{") if match[0] == "{{" else Tag(match[1], match[2] or ""))
        end = match.end()
    return (*parts, Text(template[end:])) if end < len(template) else tuple(parts)


def unknown(template: str, allowed: Collection[str]) -> list[str]:
    """Return the tags that are not allowed, as they were written. `allowed` holds names and, where it matters, `NAME:ARG`."""
    tags = (part for part in parse(template) if isinstance(part, Tag))
    return [f"{{{tag}}}" for tag in tags if tag.name not in allowed and str(tag) not in allowed]


def render(template: str, values: Mapping[str, Value], context: Context) -> str:
    """Fill in a template, each value escaped for its place; an unknown tag gives nothing.

    `values` maps `NAME` or `NAME:ARG` to a text, or `NAME` to a function of the argument ("" without one).
    "name" gives a DNS label of at most 63 characters (perhaps none), "line" keeps one line one line, "argument" keeps one
    argument one argument and never lets a value make an option of it, "url" percent-encodes, "text" changes nothing.
    """
    parts = parse(template)
    filled = [part.text if isinstance(part, Text) else _escape(_look_up(part, values), context) for part in parts]
    whole = "".join(filled)
    if context == "name":
        return _dns_label(whole)
    if context == "argument" and parts and isinstance(parts[0], Tag):
        return whole.lstrip("-")
    return whole


def padded(number: int) -> Callable[[str], str]:
    """Return the value of a tag such as `{SEQUENCE:4}`: the number, filled up with zeros to the width in the argument."""

    def value(argument: str) -> str:
        width = int(argument) if argument.isascii() and argument.isdigit() else 0
        return str(number).zfill(min(width, NAME_LENGTH))

    return value


def _look_up(tag: Tag, values: Mapping[str, Value]) -> str:
    value = values.get(str(tag), values.get(tag.name, ""))
    if callable(value):
        return value(tag.argument)
    # A plain text takes no argument: {USER:SHOE} is not {USER}.
    return value if str(tag) in values else ""


def _escape(value: str, context: Context) -> str:
    match context:
        case "line":
            return "".join(character for character in value if character.isprintable())
        case "argument":
            return value.replace("\0", "")
        case "url":
            return quote(value, safe="", errors="replace")
        case "name" | "text":
            return value


def _dns_label(text: str) -> str:
    """Return the text as a DNS label: letters without their accents, digits, single hyphens inside."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", plain).strip("-")[:NAME_LENGTH].rstrip("-")
