"""What objects are called, also those that were deleted: for events, jobs and reports that keep only ids."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from portico.domain.access import Actor
from portico.services.broker import Broker
from portico.services.guards import scope_of
from portico.services.nouns import NOUNS
from portico.store import tables as t
from portico.store.scope import within


@dataclass(frozen=True, slots=True)
class Named:
    """An object's name, and whether it is still there to be looked at."""

    name: str
    is_there: bool


def names(broker: Broker, actor: Actor, wanted: Mapping[str, Collection[str]]) -> dict[tuple[str, str], Named]:
    """Return (noun, id) → name for what is of the actor's tenant or of all: one statement per noun."""
    found: dict[tuple[str, str], Named] = {}
    with broker.db.read() as conn:
        for noun, ids in wanted.items():
            columns = NOUNS[noun].table.c
            label = columns.login_name if noun == "users" else columns.name
            mine: Any = (columns.tenant_id == actor.tenant_id) | columns.tenant_id.is_(None)
            if actor.reach is not None and noun != "users":  # who is at work on its desktops, a restricted role sees
                mine = within(scope_of(actor), NOUNS[noun].table)
            gone = columns.deleted_at if "deleted_at" in columns else None
            query = select(columns.id, label.label("label"), *([gone.label("gone")] if gone is not None else []))
            for row in conn.execute(query.where(columns.id.in_(set(ids)), mine)):
                found[noun, row.id] = Named(row.label, gone is None or row.gone is None)
    return found


def subject_of_job(broker: Broker, actor: Actor, rows: Collection[str]) -> dict[str, tuple[str, str]]:
    """Return job → (noun, id) of what each job works on; a job of the whole deployment has none."""
    found: dict[str, tuple[str, str]] = {}
    with broker.db.read() as conn:
        query = select(t.jobs.c.id, t.jobs.c.payload).where(t.jobs.c.id.in_(set(rows)))
        payloads = {row.id: row.payload or {} for row in conn.execute(query)}
        held = _desktops_of(conn, [p["assignment_id"] for p in payloads.values() if p.get("assignment_id")])
    for job, payload in payloads.items():
        for key, noun in (
            ("center_id", "centers"),
            ("pool_id", "pools"),
            ("desktop_id", "desktops"),
            ("directory_id", "directories"),
        ):
            if payload.get(key):
                found[job] = (noun, payload[key])
        if payload.get("assignment_id") in held:
            found[job] = ("desktops", held[payload["assignment_id"]])
    return found


def _desktops_of(conn: Any, assignments: Collection[str]) -> dict[str, str]:
    query = select(t.assignments.c.id, t.assignments.c.desktop_id).where(t.assignments.c.id.in_(set(assignments)))
    return {row.id: row.desktop_id for row in conn.execute(query)}
