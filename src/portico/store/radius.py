"""Codes that RADIUS servers are being asked about: one row for a session, one at a time for a person."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.store.tables import radius_servers, radius_tries


def sealed_secret(conn: Connection, servers_id: str) -> str | None:
    """Return the sealed secret of RADIUS servers."""
    return conn.scalar(select(radius_servers.c.sealed_secret).where(radius_servers.c.id == servers_id))


def get(conn: Connection, session_id: str) -> Row[Any] | None:
    """Return what became of a session's latest code."""
    return conn.execute(select(radius_tries).where(radius_tries.c.id == session_id)).first()


def begin(conn: Connection, session_id: str, user_id: str, stale: datetime, **values: Any) -> bool:
    """Take the one place that a person has. False when another code of theirs is being asked about since less than `stale`."""
    r = radius_tries.c
    over = (r.user_id == user_id) & (r.state == "waiting") & (r.created_at < stale)
    conn.execute(update(radius_tries).where(over).values(state="down"))
    try:
        with conn.begin_nested():
            mine = (
                update(radius_tries).where(r.id == session_id, r.state != "waiting").values(state="waiting", **values)
            )
            if conn.execute(mine).rowcount == 1:
                return True
            conn.execute(insert(radius_tries).values(id=session_id, user_id=user_id, state="waiting", **values))
            return True
    except IntegrityError:
        return False


def conclude(conn: Connection, session_id: str, try_id: str, **values: Any) -> bool:
    """Keep what became of a code. False when that is no longer the session's latest one, or was given up."""
    r = radius_tries.c
    asked = (r.id == session_id) & (r.try_id == try_id) & (r.state == "waiting")
    return conn.execute(update(radius_tries).where(asked).values(**values)).rowcount == 1


def purge(conn: Connection, before: datetime) -> int:
    """Delete what began before a time."""
    return conn.execute(delete(radius_tries).where(radius_tries.c.created_at < before)).rowcount
