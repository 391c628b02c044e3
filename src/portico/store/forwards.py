"""Forwards: what a gateway is asked to open for a connection, and what came of it."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, insert, update

from portico.store.connections import whole
from portico.store.tables import connections, forwards


def add(conn: Connection, connection_id: str, state: str = "wanted") -> None:
    """Note that a connection of a client of a device wants a forward once its desktop is ready, or ("direct") needs none."""
    values = {"connection_id": connection_id, "state": state, "reason": "", "ports": [], "boot_id": ""}
    conn.execute(insert(forwards).values(values))


def ask(conn: Connection, connection_id: str, gateway_id: str, now: datetime) -> bool:
    """Note which gateway is asked; False when somebody else asked before."""
    here = (forwards.c.connection_id == connection_id) & (forwards.c.state == "wanted")
    values = {"state": "asked", "gateway_id": gateway_id, "asked_at": now}
    return conn.execute(update(forwards).where(here).values(values)).rowcount == 1


def opened(conn: Connection, connection_id: str, gateway_id: str, boot_id: str, ports: list[list[int]]) -> bool:
    """Keep the ports on which a gateway listens, if it was asked."""
    here = (
        (forwards.c.connection_id == connection_id)
        & (forwards.c.gateway_id == gateway_id)
        & forwards.c.state.in_(("asked", "open"))
    )
    values = {"state": "open", "boot_id": boot_id, "ports": ports}
    return conn.execute(update(forwards).where(here).values(values)).rowcount == 1


def end(conn: Connection, connection_id: str, reason: str) -> None:
    """Note that a forward is over: failed if it never listened."""
    here = (forwards.c.connection_id == connection_id) & forwards.c.state.in_(("asked", "open"))
    after = case((forwards.c.state == "asked", "failed"), else_="closed")
    conn.execute(update(forwards).where(here).values(state=after, reason=reason))


def list_lost(conn: Connection, gateway_id: str, boot_id: str) -> list[Row[Any]]:
    """Return the live connections of a gateway whose forwards it opened in another life than this, as connections.find does."""
    lost = (
        (forwards.c.gateway_id == gateway_id)
        & forwards.c.state.in_(("asked", "open"))
        & (forwards.c.boot_id != boot_id)
    )
    return list(conn.execute(whole().where(lost, connections.c.closed_at.is_(None))))


def asked_again(conn: Connection, connection_ids: Collection[str], now: datetime) -> None:
    """Note that a gateway was asked again to open these."""
    conn.execute(update(forwards).where(forwards.c.connection_id.in_(connection_ids)).values(asked_at=now))
