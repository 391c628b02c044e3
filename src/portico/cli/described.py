"""What a noun can do, read from the broker's own description (OpenAPI): its columns, filters, fields and verbs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "/api/v1/"
_OWN = {"get": "show", "patch": "set", "delete": "delete"}
_PAGING = ("q", "sort", "cursor", "limit")


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that may be given: a dotted path, its JSON type ("string", "integer", "boolean", "array" …) and what it means."""

    path: str
    type: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    may_be_null: bool = False
    of_texts: bool = False  # a list whose items are texts


@dataclass(frozen=True, slots=True)
class Verb:
    """One operation. `path` is what follows the noun; `on_one` says that it stands below an item's id."""

    name: str
    method: str
    path: str
    help: str
    on_one: bool
    fields: tuple[Field, ...] = ()
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Described:
    """One noun."""

    plural: str
    columns: tuple[str, ...]
    filters: Mapping[str, str] = field(default_factory=dict)  # name → what it keeps
    verbs: Mapping[str, Verb] = field(default_factory=dict)


def nouns(api: Mapping[str, Any]) -> list[str]:
    """Return the nouns that can be listed."""
    paths = (path.removeprefix(PREFIX) for path, here in api["paths"].items() if "get" in here)
    return [path for path in paths if "/" not in path and f"{PREFIX}{path}/{{id}}" in api["paths"]]


def read(api: Mapping[str, Any], plural: str) -> Described:
    """Read what a noun can do."""
    verbs: dict[str, Verb] = {}
    filters: dict[str, str] = {}
    columns: list[str] = []
    for path, operations in api["paths"].items():
        head, _, below = path.removeprefix(PREFIX).partition("/")
        if head != plural:
            continue
        for method, operation in operations.items():
            name = _name(method, below)
            if not name:
                continue
            fields, required = _body(api, operation)
            verbs[name] = Verb(name, method.upper(), below, str(operation.get("summary", "")), below.startswith("{id}"),
                               fields, required)  # fmt: skip
            if name == "list":
                filters = {one["name"]: one.get("description", "") for one in operation.get("parameters", ())
                           if one["in"] == "query" and one["name"] not in _PAGING}  # fmt: skip
            if name == "show":
                columns = list(_properties(api, _answer(operation)))
    return Described(plural, tuple(columns), filters, verbs)


def _name(method: str, below: str) -> str:
    """Return what an operation is called: `list`, `create`, `show` …, an action's own name otherwise."""
    if not below:
        return {"get": "list", "post": "create"}.get(method, "")
    if below == "{id}":
        return _OWN.get(method, "")
    return below.removeprefix("{id}/").replace("/", "-")


def _answer(operation: Mapping[str, Any]) -> Mapping[str, Any]:
    content = operation["responses"].get("200", {}).get("content", {})
    shape: Mapping[str, Any] = content.get("application/json", {}).get("schema", {})
    return shape


def _body(api: Mapping[str, Any], operation: Mapping[str, Any]) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    shape = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if not shape:
        return (), ()
    whole = _resolved(api, shape)
    return tuple(_fields(api, whole, "")), tuple(whole.get("required", ()))


def _fields(api: Mapping[str, Any], shape: Mapping[str, Any], before: str) -> Iterator[Field]:
    """Yield the fields of an object, those of objects within it by their dotted path."""
    for name, raw in _properties(api, shape).items():
        inner, may_be_null = _without_null(api, raw)
        path = f"{before}{name}"
        if inner.get("properties"):
            yield from _fields(api, inner, f"{path}.")
            continue
        texts = _resolved(api, inner.get("items") or {})
        yield Field(
            path,
            str(inner.get("type") or ""),
            str(raw.get("description") or inner.get("description") or raw.get("title") or ""),
            tuple(str(one) for one in inner.get("enum", ())),
            may_be_null,
            texts.get("type") == "string",
        )


def _properties(api: Mapping[str, Any], shape: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _resolved(api, shape).get("properties", {})
    return found


def _without_null(api: Mapping[str, Any], raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    shape = _resolved(api, raw)
    kinds = [one for one in shape.get("anyOf", ()) if one.get("type") != "null"]
    if not kinds:
        return shape, False
    return (_resolved(api, kinds[0]) if len(kinds) == 1 else {}), len(kinds) < len(shape["anyOf"])


def _resolved(api: Mapping[str, Any], shape: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in shape:
        more = {key: value for key, value in shape.items() if key != "$ref"}
        shape = {**api["components"]["schemas"][str(shape["$ref"]).rpartition("/")[2]], **more}
    return shape
