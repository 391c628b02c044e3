"""From records to the shapes that cross the door: pydantic models with every limit, and what is wrong in words."""

import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails
from sqlalchemy import JSON, BigInteger, Boolean, Integer, Table

from portico.services.fields import Spec
from portico.store.types import UTCDateTime

MAX_ITEMS = 10_000


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """How to show a field. `name` is its path (`provisioning.limits.stop_at`); `type` is text, number, flag, secret, list or json."""

    name: str
    title: str
    help: str
    type: str
    required: bool
    default: Any
    unit: str = ""
    choices: tuple[str, ...] = ()
    advanced: bool = False


def form_of(
    title: str, record: type, specs: Mapping[str, Spec], leave_out: Iterable[str] = (), path: str = ""
) -> type[BaseModel]:
    """Build the model of what may be written of a record: unknown fields refused, limits of `specs` applied.

    `leave_out` names paths. A nested record's own id is optional, since a new line has none yet.
    """
    leave_out = frozenset(leave_out)
    hints = get_type_hints(record)
    members: dict[str, Any] = {}
    for item in fields(record):
        where = f"{path}{item.name}"
        if where in leave_out:
            continue
        if path and item.name == "id":
            members["id"] = (_limited(str | None, specs.get(where, Spec("Id"))), None)
            continue
        spec = specs.get(where, Spec(item.name.replace("_", " ").capitalize()))
        hint = _hint(f"{title}{item.name.title().replace('_', '')}", hints[item.name], (specs, leave_out), where)
        members[item.name] = (_limited(hint, spec), _default(item))
    return create_model(title, __config__=ConfigDict(extra="forbid"), **members)


def item_of(title: str, columns: Mapping[str, type | Any]) -> type[BaseModel]:
    """Build the model of what is answered, for the API's description."""
    members: dict[str, Any] = {key: (hint, ...) for key, hint in columns.items()}
    return create_model(title, __config__=ConfigDict(extra="allow"), **members)


def column_types(table: Table, names: Iterable[str]) -> dict[str, Any]:
    """Tell the types of a table's columns as they are answered."""
    return {name: _column_type(table.c[name].type, bool(table.c[name].nullable)) for name in names}


def validate(form: type[BaseModel], data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values as JSON types, and a sentence for each wrong field; wrong fields hold their defaults in the values."""
    errors = unstorable(data)
    try:
        return form.model_validate(_without(data, errors)).model_dump(mode="json"), errors
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_context=True)
    errors = {path_of(error["loc"]): sentence_of(error) for error in found} | errors
    for wrong in (set(errors), {path.partition(".")[0] for path in errors}):
        placeholders = {
            name: "-" for name in wrong if name in form.model_fields and form.model_fields[name].is_required()
        }
        try:
            return form.model_validate(_without(data, wrong) | placeholders).model_dump(mode="json"), errors
        except ValidationError:  # A line of a list lacks what it must have: go on without the whole list.
            continue
    return {}, errors


def field_infos(form: type[BaseModel], specs: Mapping[str, Spec], path: str = "") -> tuple[FieldInfo, ...]:
    """List a form's fields, nested ones by path, in their order."""
    found: list[FieldInfo] = []
    for name, info in form.model_fields.items():
        where = f"{path}{name}"
        nested = _nested(info.annotation)
        if nested is not None and not _is_list(info.annotation):
            found.extend(field_infos(nested, specs, f"{where}."))
            continue
        spec = specs.get(where, Spec(name.replace("_", " ").capitalize()))
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        found.append(
            FieldInfo(
                where, spec.title, spec.help, _kind(info.annotation, spec), info.is_required(), default, spec.unit,
                spec.choices or _members(info.annotation), spec.advanced,
            )
        )  # fmt: skip
        if nested is not None:
            found.extend(field_infos(nested, specs, f"{where}."))
    return tuple(found)


def merged(old: Mapping[str, Any], new: Mapping[str, Any], form: type[BaseModel]) -> dict[str, Any]:
    """Lay what was sent over what is there: nested records field by field, lists and maps as a whole."""
    result = dict(old)
    for key, value in new.items():
        info = form.model_fields.get(key)
        nested = _nested(info.annotation) if info and not _is_list(info.annotation) else None
        if nested is not None and isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            value = merged(result[key], value, nested)
        result[key] = value
    return result


def _hint(title: str, hint: Any, rules: tuple[Mapping[str, Spec], frozenset[str]], where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return form_of(title, hint, *rules, path=f"{where}.")
    if get_origin(hint) is tuple:
        inner = _hint(title, get_args(hint)[0], rules, where)
        inner = Annotated[str, Field(max_length=200)] if inner is str else inner
        return Annotated[list[inner], Field(max_length=MAX_ITEMS)]  # type: ignore[valid-type]
    if get_origin(hint) is not None and isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Mapping):
        return dict[get_args(hint)[0], get_args(hint)[1]]  # type: ignore[misc]
    return hint


def _limited(hint: Any, spec: Spec) -> Any:
    optional = type(None) in get_args(hint) and get_origin(hint) in (Union, types.UnionType)
    base = next((part for part in get_args(hint) if part is not type(None)), hint) if optional else hint
    if spec.choices:
        base = Literal[spec.choices]
    elif base is str:
        base = Annotated[str, Field(max_length=spec.longest)]
        if spec.longest <= 200 and not spec.secret:
            base = Annotated[base, BeforeValidator(lambda value: value.strip() if isinstance(value, str) else value)]
    elif base is int:
        base = Annotated[int, Field(ge=spec.least, le=spec.most)] if spec.most is not None else int
    extra: dict[str, Any] = {"unit": spec.unit} if spec.unit else {}
    about = Field(title=spec.title, description=spec.help or None, json_schema_extra=extra or None)
    if optional:
        return Annotated[base | None, BeforeValidator(lambda value: None if value == "" else value), about]
    return Annotated[base, about]


def _default(item: Any) -> Any:
    if item.default is not MISSING:
        return Field(
            default=list(item.default) if isinstance(item.default, tuple) else item.default, validate_default=True
        )
    if item.default_factory is not MISSING:
        factory = item.default_factory
        return (
            Field(default_factory=(lambda: {}), validate_default=True)
            if is_dataclass(factory)
            else Field(default_factory=factory)
        )
    return ...


def _nested(hint: Any) -> type[BaseModel] | None:
    if isinstance(hint, type) and get_origin(hint) is None and issubclass(hint, BaseModel):
        return hint
    return next((found for part in get_args(hint) if (found := _nested(part)) is not None), None)


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is list or any(_is_list(part) for part in get_args(hint))


def _kind(hint: Any, spec: Spec) -> str:
    if spec.secret:
        return "secret"
    if _is_list(hint):
        return "list"
    inner = {hint, *get_args(hint), *(deep for part in get_args(hint) for deep in get_args(part))}
    if bool in inner:
        return "flag"
    if int in inner:
        return "number"
    return "json" if dict in {get_origin(part) for part in (hint, *get_args(hint))} or hint is Any else "text"


def _members(hint: Any) -> tuple[str, ...]:
    return tuple(hint) if isinstance(hint, type) and get_origin(hint) is None and issubclass(hint, StrEnum) else ()


def _column_type(column: Any, nullable: bool) -> Any:
    if isinstance(column, UTCDateTime):
        found: Any = datetime
    elif isinstance(column, Boolean):
        found = bool
    elif isinstance(column, (Integer, BigInteger)):
        found = int
    else:
        found = Any if isinstance(column, JSON) else str
    return found | None if nullable and found is not Any else found


def path_of(loc: tuple[int | str, ...]) -> str:
    """Return the path of a field, such as `provisioning.limits.stop_at`."""
    return ".".join(str(part) for part in loc)


def _without(data: Any, paths: Iterable[str], here: str = "") -> Any:
    """Copy the data without what stands at the paths."""
    paths = set(paths)
    if isinstance(data, Mapping):
        return {
            key: _without(value, paths, f"{here}{key}.") for key, value in data.items() if f"{here}{key}" not in paths
        }
    if isinstance(data, list | tuple):
        return [
            _without(value, paths, f"{here}{index}.")
            for index, value in enumerate(data)
            if f"{here}{index}" not in paths
        ]
    return data


def unstorable(data: Any, here: str = "") -> dict[str, str]:
    """Find texts that no database stores: with NUL characters or halves of surrogate pairs."""
    if isinstance(data, str):
        good = "\0" not in data and not any("\ud800" <= letter <= "\udfff" for letter in data)
        return {} if good else {here: "Remove the control characters."}
    if isinstance(data, Mapping):
        pairs: Iterable[tuple[Any, Any]] = data.items()
    elif isinstance(data, list | tuple):
        pairs = enumerate(data)
    else:
        return {}
    wrong: dict[str, str] = {}
    for name, value in pairs:
        where = f"{here}.{name}" if here else str(name)
        wrong |= unstorable(value, where) | unstorable(name if isinstance(name, str) else "", where)
    return wrong


_SENTENCES = {
    "missing": "Fill this in.",
    "extra_forbidden": "There is no such field. Leave it out.",
    "greater_than_equal": "Give a number of at least {ge}.",
    "less_than_equal": "Give a number of at most {le}.",
    "string_too_long": "Use at most {max_length} characters.",
    "too_long": "Give at most {max_length} of them.",
    "literal_error": "Choose one of {expected}.",
    "enum": "Choose one of {expected}.",
    "string_type": "Give a text.",
    "int_type": "Give a whole number.",
    "int_parsing": "Give a whole number.",
    "int_from_float": "Give a whole number.",
    "int_parsing_size": "Give a smaller number.",
    "bool_type": "Answer true or false.",
    "bool_parsing": "Answer true or false.",
    "dict_type": "Give names with values.",
    "list_type": "Give a list.",
    "model_type": "Give names with values.",
    "model_attributes_type": "Give names with values.",
}


def sentence_of(error: ErrorDetails) -> str:
    """Say what is wrong and what to do."""
    return _SENTENCES.get(error["type"], error["msg"] + ".").format_map(error.get("ctx", {}))
