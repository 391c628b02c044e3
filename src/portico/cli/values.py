"""From what is typed to a body of JSON: values by their field's type, names to ids, dotted paths to objects."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from portico.cli.api import Client
from portico.cli.described import Field
from portico.errors import Conflict, Invalid, NotFound

# The last part of a field that refers to another thing → that thing's noun, where it is not the part itself.
_OTHERWISE = {"parent_id": "pools", "radius_id": "radius-servers"}
_NAMES = ("name", "login_name", "hostname")


def body(
    client: Client, plurals: Sequence[str], fields: Mapping[str, Field], given: Mapping[str, str]
) -> dict[str, Any]:
    """Build a body. Raises Invalid naming every value that cannot be used."""
    made: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for path, typed in given.items():
        try:
            value = convert(fields.get(path), typed)
        except ValueError as problem:
            wrong[path] = str(problem)
            continue
        put(made, path, _as_id(client, plurals, path, value))
    if wrong:
        raise Invalid("What was given cannot be used.", wrong)
    return made


def convert(field: Field | None, typed: str) -> Any:
    """Turn what was typed into a value; `@FILE` reads it from a file. Raises ValueError with a sentence."""
    if typed.startswith("@"):
        try:
            typed = Path(typed[1:]).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as problem:
            raise ValueError(f"It cannot be read from {typed[1:]}: {problem}.") from problem
    if field is None:
        return _json_or_text(typed)
    if field.may_be_null and typed in ("", "null"):
        return None
    return _by_type(field, typed)


def _by_type(field: Field, typed: str) -> Any:
    match field.type:
        case "string":
            return typed
        case "integer" | "number":
            try:
                return int(typed) if field.type == "integer" else float(typed)
            except ValueError:
                raise ValueError("Give a number.") from None
        case "boolean":
            words = {
                "on": True,
                "true": True,
                "yes": True,
                "1": True,
                "off": False,
                "false": False,
                "no": False,
                "0": False,
            }
            if typed.lower() not in words:
                raise ValueError("Give on or off.")
            return words[typed.lower()]
        case "array" if field.of_texts and not typed.lstrip().startswith("["):
            return [part.strip() for part in typed.split(",") if part.strip()]
        case "array" | "object":
            try:
                return json.loads(typed)
            except ValueError:
                raise ValueError("Give JSON, or @FILE.") from None
    return _json_or_text(typed)


def _json_or_text(typed: str) -> Any:
    try:
        return json.loads(typed)
    except ValueError:
        return typed


def put(data: dict[str, Any], path: str, value: Any) -> None:
    """Put a value at a dotted path."""
    *before, last = path.split(".")
    for part in before:
        inner = data.setdefault(part, {})
        if not isinstance(inner, dict):
            raise Invalid(f"{path} cannot be given beside {part}.")
        data = inner
    data[last] = value


def find(client: Client, plural: str, named: str) -> str:
    """Return the id of what is meant by an id or a name. Raises NotFound, Conflict when several have the name."""
    try:
        return str(client.get(f"{plural}/{quote(named, safe='')}")["id"])
    except NotFound:
        words = {} if plural in ("settings", "events", "jobs") else {"q": named}
    like = [item for item in client.items(plural, words) if any(item.get(name) == named for name in _NAMES)]
    if not like:
        raise NotFound(f"There is nothing called {named} among the {plural.replace('-', ' ')}.")
    if len(like) > 1:
        ids = ", ".join(item["id"] for item in like)
        raise Conflict(f"Several of the {plural.replace('-', ' ')} are called {named}. Give an id instead: {ids}.")
    return str(like[0]["id"])


def _as_id(client: Client, plurals: Sequence[str], path: str, value: Any) -> Any:
    """Return the id where a field refers to another thing by its name."""
    last = path.rpartition(".")[2]
    stem = last.removesuffix("_id").replace("_", "-")
    guesses = (_OTHERWISE.get(last), f"{stem}s", stem.removesuffix("y") + "ies")
    noun = next((one for one in guesses if one in plurals), None)
    if not (last.endswith("_id") and isinstance(value, str) and value and noun):
        return value
    return find(client, noun, value)
