"""What a broker wants of an agent or a gateway: kept until it is taken, answered, or too old."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from portico.store.tables import outbox


def put(conn: Connection, target: str, message: Mapping[str, Any], now: datetime, expires_at: datetime) -> int:
    """Queue a message for "agent:ID" or "gateway:ID"; returns its number."""
    values = {"target": target, "message": dict(message), "created_at": now, "expires_at": expires_at}
    key = conn.execute(insert(outbox).values(values)).inserted_primary_key
    return int(key[0]) if key else 0


def list_after(conn: Connection, target: str, after: int, now: datetime) -> list[Row[Any]]:
    """Return messages with a higher number that are still worth delivering."""
    query = (
        select(outbox)
        .where(outbox.c.target == target, outbox.c.id > after, outbox.c.expires_at > now)
        .order_by(outbox.c.id)
        .limit(100)
    )
    return list(conn.execute(query))


def take(conn: Connection, target: str, now: datetime) -> list[Row[Any]]:
    """Return the messages that nobody has taken, and mark them taken."""
    query = (
        select(outbox)
        .where(outbox.c.target == target, outbox.c.taken_at.is_(None), outbox.c.expires_at > now)
        .order_by(outbox.c.id)
        .limit(100)
    )
    rows = list(conn.execute(query))
    mine = []
    for row in rows:
        free = (outbox.c.id == row.id) & outbox.c.taken_at.is_(None)
        if conn.execute(update(outbox).where(free).values(taken_at=now)).rowcount == 1:
            mine.append(row)
    return mine


def has_waiting(conn: Connection, target: str, now: datetime) -> bool:
    """Tell whether `take` would give something."""
    query = select(outbox.c.id).where(outbox.c.target == target, outbox.c.taken_at.is_(None), outbox.c.expires_at > now)
    return conn.execute(query.limit(1)).first() is not None


def answer(conn: Connection, number: int, target: str, values: Mapping[str, Any], now: datetime) -> None:
    """Keep what the target answered."""
    mine = (outbox.c.id == number) & (outbox.c.target == target) & outbox.c.answered_at.is_(None)
    conn.execute(update(outbox).where(mine).values(answer=dict(values), answered_at=now))


def get_answer(conn: Connection, number: int) -> dict[str, Any] | None:
    """Return the answer to a message, None while there is none."""
    row = conn.execute(select(outbox.c.answer).where(outbox.c.id == number)).first()
    return row.answer if row else None


def forget_answer(conn: Connection, number: int) -> None:
    """Delete a message once its answer, which may hold a one-time credential, was read."""
    conn.execute(delete(outbox).where(outbox.c.id == number))


def purge(conn: Connection, now: datetime) -> int:
    """Delete messages past their time."""
    return conn.execute(delete(outbox).where(outbox.c.expires_at < now)).rowcount
