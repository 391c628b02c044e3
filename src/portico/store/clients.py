"""Devices at which people have logged in."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.store.tables import clients

KEPT_OF_A_USER = 50  # who comes with a new browser each time fills no table


def saw(conn: Connection, id: str, seen: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Note that somebody logged in at a device: one statement for a known one. `first` is added for a new one; tells whether it was."""
    if conn.execute(update(clients).where(clients.c.id == id).values(seen)).rowcount:
        return False
    try:
        with conn.begin_nested():
            conn.execute(insert(clients).values(id=id, **seen, **first))
    except IntegrityError:
        return False  # twice at the same moment
    # One that an administrator has named stays.
    mine = (clients.c.user_id == seen["user_id"]) & (clients.c.version == 1)
    newest = select(clients.c.id).where(mine).order_by(clients.c.seen_at.desc(), clients.c.id)
    if older := list(conn.scalars(newest.offset(KEPT_OF_A_USER))):
        conn.execute(delete(clients).where(clients.c.id.in_(older)))
    return True


def purge(conn: Connection, tenant_id: str, before: datetime) -> int:
    """Forget a tenant's devices that nobody has logged in at since a time; returns how many."""
    old = (clients.c.tenant_id == tenant_id) & (clients.c.seen_at < before)
    return conn.execute(delete(clients).where(old)).rowcount
