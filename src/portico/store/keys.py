"""The deployment's keys: public halves in clear, private ones sealed by the vault."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portico.store.tables import keys


def add(conn: Connection, **values: Any) -> None:
    """Insert a key."""
    conn.execute(insert(keys).values(retired_at=None, **values))


def list_all(conn: Connection) -> Sequence[Row[Any]]:
    """Return all keys, newest last."""
    return conn.execute(select(keys).order_by(keys.c.created_at)).all()


def retire(conn: Connection, key_id: str, now: datetime) -> None:
    """Stop signing with a key; what it signed is still verified."""
    conn.execute(update(keys).where(keys.c.id == key_id).values(retired_at=now))
