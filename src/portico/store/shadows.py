"""Shadows: somebody asks to join a session, and what came of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portico.store.scope import Scope, within
from portico.store.tables import shadows

AGREED = ("agreed", "open")


def add(conn: Connection, **values: Any) -> None:
    """Insert one that its person is asked about."""
    conn.execute(insert(shadows).values(state="asked", reason="", **values))


def find(conn: Connection, scope: Scope, shadow_id: str) -> Row[Any] | None:
    """Return one."""
    return conn.execute(select(shadows).where(within(scope, shadows), shadows.c.id == shadow_id)).first()


def live(conn: Connection, connection_id: str, now: datetime) -> Row[Any] | None:
    """Return the one that a connection's person is asked about or has agreed to, if there is one."""
    lasting = (shadows.c.state.in_(("asked", *AGREED))) & (shadows.c.expires_at > now)
    return conn.execute(select(shadows).where(shadows.c.connection_id == connection_id, lasting)).first()


def move(conn: Connection, shadow_id: str, before: tuple[str, ...], state: str, now: datetime, **values: Any) -> bool:
    """Move one on, if it is still in one of the states `before` and its time is not up; to end it is never too late."""
    here = (shadows.c.id == shadow_id) & shadows.c.state.in_(before)
    if state != "ended":
        here &= shadows.c.expires_at > now
    return conn.execute(update(shadows).where(here).values(state=state, **values)).rowcount == 1
