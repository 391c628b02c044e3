"""Recordings: what is known of each file."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from portico.store.scope import Scope, within
from portico.store.tables import recordings


def add(conn: Connection, **values: Any) -> None:
    """Insert one that a gateway is asked for."""
    conn.execute(insert(recordings).values(state="expected", bytes=0, sha256="", **values))


def find(conn: Connection, scope: Scope, recording_id: str) -> Row[Any] | None:
    """Return one."""
    return conn.execute(select(recordings).where(within(scope, recordings), recordings.c.id == recording_id)).first()


def finish(conn: Connection, recording_id: str, **values: Any) -> bool:
    """Keep what came; False when it had come before."""
    here = (recordings.c.id == recording_id) & (recordings.c.state == "expected")
    return conn.execute(update(recordings).where(here).values(values)).rowcount == 1


def remove(conn: Connection, ids: Collection[str]) -> None:
    """Delete those of the ids that there are, at most some thousand."""
    every = sorted(ids)
    for start in range(0, len(every), 500):
        conn.execute(delete(recordings).where(recordings.c.id.in_(every[start : start + 500])))


def list_old(conn: Connection, tenant_id: str, before: datetime, unfinished_before: datetime) -> list[str]:
    """Return the ids of a tenant's recordings from before a time, and of those that never came."""
    old = (recordings.c.state != "expected") & (recordings.c.created_at < before)
    lost = (recordings.c.state == "expected") & (recordings.c.created_at < unfinished_before)
    return list(
        conn.scalars(select(recordings.c.id).where(recordings.c.tenant_id == tenant_id, old | lost).limit(1000))
    )


def total_bytes(conn: Connection) -> int:
    """Return how much all of them take."""
    return int(conn.scalar(select(func.coalesce(func.sum(recordings.c.bytes), 0))) or 0)


def known(conn: Connection, ids: Collection[str]) -> set[str]:
    """Return those of the ids that there are."""
    found: set[str] = set()
    every = sorted(ids)
    for start in range(0, len(every), 500):
        found |= set(conn.scalars(select(recordings.c.id).where(recordings.c.id.in_(every[start : start + 500]))))
    return found
