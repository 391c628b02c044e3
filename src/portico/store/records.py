"""From rows to frozen records and back. Configuration bodies go through pydantic, which reads plain dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import Row

from portico.domain.model import (
    AgentState,
    Assignment,
    AssignmentMode,
    AssignmentState,
    Desktop,
    PoolAssignment,
    Power,
    SessionState,
    Stage,
    Status,
)
from portico.store import tables

T = TypeVar("T")

# What stands in columns of its own and never in a configuration record's body.
COLUMNS = frozenset({"id", "tenant_id", "name", "version"})


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def adapter(record: type[T]) -> TypeAdapter[T]:
    """Return the validator of a record type; building one is dear, so it is kept."""
    if record not in _ADAPTERS:
        _ADAPTERS[record] = TypeAdapter(record)
    return _ADAPTERS[record]


def from_row(record: type[T], row: Row[Any], **more: Any) -> T:
    """Build a configuration record from its row: the body, then the columns, then `more`, each over the last."""
    names = {item.name for item in fields(record)}  # type: ignore[arg-type]
    columns = {key: value for key, value in row._mapping.items() if key in names and key != "body"}
    return adapter(record).validate_python({**row.body, **columns, **more})


def body_of(record: Any, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return the JSON body of a configuration record, without what stands in columns."""
    data: dict[str, Any] = adapter(type(record)).dump_python(record, mode="json")
    return {key: value for key, value in data.items() if key not in COLUMNS | leave_out}


_CONVERT: Mapping[str, Any] = {
    "status": Status,
    "power": Power,
    "agent": AgentState,
    "session": SessionState,
    "stage": Stage,
    "mode": AssignmentMode,
    "state": AssignmentState,
}
_DESKTOP = tuple(item.name for item in fields(Desktop))
_DESKTOP_WORDS = tuple((place, _CONVERT[name]) for place, name in enumerate(_DESKTOP) if name in _CONVERT)
_ASSIGNMENT = tuple(item.name for item in fields(Assignment))


def desktop(row: Row[Any]) -> Desktop:
    """Build a desktop from its row."""
    return _build(Desktop, _DESKTOP, dict(row._mapping))


DESKTOP_COLUMNS = tuple(tables.desktops.c[name] for name in _DESKTOP)


def desktop_of(values: Sequence[Any]) -> Desktop:
    """Build a desktop from the values of DESKTOP_COLUMNS, in their order: a third of the work where many are read."""
    made = list(values)
    for place, convert in _DESKTOP_WORDS:
        made[place] = convert(made[place])
    return Desktop(*made)


def assignment(row: Row[Any]) -> Assignment:
    """Build an assignment from its row."""
    values = dict(row._mapping)
    values["release_reason"] = (values.get("release_reason") or {}).get("code", "")
    return _build(Assignment, _ASSIGNMENT, values)


def pool_assignment(row: Row[Any]) -> PoolAssignment:
    """Build a pool assignment from its row."""
    return from_row(PoolAssignment, row)


class _Part:
    """A row's columns under one prefix, readable as a row."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._mapping = values


def part(row: Row[Any], prefix: str) -> Any:
    """Return the columns of a joined row that belong to one table, by the prefix that the query gave them."""
    return _Part({key[len(prefix) :]: value for key, value in row._mapping.items() if key.startswith(prefix)})


def _build(record: type[T], names: tuple[str, ...], values: Mapping[str, Any]) -> T:
    converted = {name: _CONVERT[name](values[name]) if name in _CONVERT else values[name] for name in names}
    return record(**converted)
