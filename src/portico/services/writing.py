"""What is particular to a noun when it is written; the base class does what most nouns need."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, Table, func, select, update

from portico.domain.access import Actor
from portico.services.broker import Broker
from portico.services.listing import there
from portico.services.nouns import Noun
from portico.store import tables as t
from portico.store.narrowing import in_reach
from portico.store.records import adapter
from portico.wire.networks import networks


@dataclass(frozen=True)
class Write:
    """One thing being written: `old` is its row (None: it is new), `values` the checked form, `ready` what prepare() made."""

    broker: Broker
    conn: Connection
    actor: Actor
    noun: Noun
    id: str
    old: Any
    values: Mapping[str, Any]
    ready: Mapping[str, Any]


class Writer:
    """A configuration record: name and body, deleted softly."""

    def prepare(self, broker: Broker, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """Do the slow work before the transaction, such as hashing."""
        return {}

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return what the form of an existing row holds."""
        return {"name": row.name, **row.body}

    def check(self, write: Write) -> dict[str, str]:
        """Return a sentence for each field that is wrong beyond its type."""
        return unique(write, "name")

    def row(self, write: Write) -> dict[str, Any]:
        """Return the row's values."""
        body = {key: value for key, value in write.values.items() if key != "name"}
        return {"name": write.values["name"], "body": body}

    def first(self, write: Write) -> dict[str, Any]:
        """Return what a new row holds besides."""
        return {}

    def after(self, write: Write) -> dict[str, Any]:
        """Write what hangs on the row; returns what the answer says besides the item."""
        return dict(write.ready.get("answer", {}))

    def users(self, write: Write) -> list[str]:
        """Name what uses the row, and so keeps it from being deleted."""
        return []

    def delete(self, write: Write) -> dict[str, Any]:
        """Delete the row; returns what was done, in numbers."""
        table, now = write.noun.table, write.broker.now()
        gone = (
            update(table)
            .where(table.c.id == write.id)
            .values(deleted_at=now, updated_at=now, version=table.c.version + 1)
        )
        return {"deleted": write.conn.execute(gone).rowcount}

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Return what items say besides their columns, by id, in a fixed number of statements."""
        if noun.record is None:
            return {}
        return {row.id: body_items(noun.record, row) for row in rows}


def body_items(record: type, row: Any) -> dict[str, Any]:
    """Return the body of a row with its record's defaults filled in."""
    data = {**row.body, "id": row.id, "tenant_id": row.tenant_id, "name": row.name}
    kind: TypeAdapter[Any] = adapter(record)
    shown: dict[str, Any] = kind.dump_python(kind.validate_python(data), mode="json")
    return {key: value for key, value in shown.items() if key not in row._mapping and key != "tenant_id"}


def unique(write: Write, column: str, sentence: str = "This name is taken. Choose another one.") -> dict[str, str]:
    """Check that nothing else bears the name, however it is capitalised."""
    table, text = write.noun.table, str(write.values.get(column, ""))
    if not text:
        return {column: "Fill this in."}
    same = [func.lower(table.c[column]) == text.lower(), table.c.id != write.id, there(write.noun)]
    if write.noun.reach == "tenant":
        same.append(table.c.tenant_id == write.actor.tenant_id)
    return {column: sentence} if write.conn.scalar(select(table.c.id).where(*same).limit(1)) else {}


def not_networks(field: str, texts: Iterable[str]) -> dict[str, str]:
    """Check that texts are networks in CIDR notation."""
    try:
        networks(texts)
    except ValueError as problem:
        return {field: f"{problem} is not a network. Write it like 10.20.0.0/16 or 2001:db8::/32."}
    return {}


def no_group(write: Write, field: str) -> dict[str, str]:
    """Check that a group of gateways, which belong to the deployment, is there."""
    group = write.values.get(field)
    found = not group or write.conn.scalar(select(t.gateway_groups.c.id).where(t.gateway_groups.c.id == group))
    return {} if found else {field: "There is no such group of gateways. Choose another one."}


def missing(write: Write, table: Table, wanted: Mapping[str, str | None], what: str) -> dict[str, str]:
    """Check that the ids (field path → id) stand in a table of the same tenant."""
    ids = {id for id in wanted.values() if id}
    known = existing(write, table, ids)
    return {
        path: f"There is no such {what}. Choose another one." for path, id in wanted.items() if id and id not in known
    }


def existing(write: Write, table: Table, ids: Collection[str]) -> set[str]:
    """Return those of the ids that stand in a table of the same tenant and are not deleted.

    A restricted role adds nothing out of its reach; what somebody else put there may stay.
    """
    here = [table.c.id.in_(list(ids)), table.c.tenant_id == write.actor.tenant_id]
    if write.actor.reach is not None:
        standing = json.dumps(write.old.body) if write.old is not None else ""
        kept = [id for id in ids if f'"{id}"' in standing]
        here.append(in_reach(write.actor.reach, table) | table.c.id.in_(kept))
    if "deleted_at" in table.c:
        here.append(table.c.deleted_at.is_(None))
    return set(write.conn.scalars(select(table.c.id).where(*here)))
