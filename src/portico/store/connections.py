"""Connections (a client's try to reach its assignment) and the entry tickets that open them."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from portico.store.scope import Scope, within
from portico.store.tables import assignments, connections, desktops, forwards, tickets

_WITH = [
    *[column.label(f"a_{column.name}") for column in assignments.c],
    *[column.label(f"d_{column.name}") for column in desktops.c],
    *[column.label(f"f_{column.name}") for column in forwards.c],
]


def add(conn: Connection, **values: Any) -> None:
    """Insert a connection that waits for its desktop."""
    conn.execute(insert(connections).values(state="waiting", close_reason="", bytes_in=0, bytes_out=0, **values))


def find(conn: Connection, scope: Scope, connection_id: str) -> Row[Any] | None:
    """Return a connection with its assignment (`a_`), desktop (`d_`) and perhaps forward (`f_`): one statement."""
    query = whole().where(within(scope, connections), connections.c.id == connection_id)
    return conn.execute(query).first()


def whole() -> Select[Any]:
    """Return the query that `find` narrows."""
    return (
        select(connections, *_WITH)
        .join(assignments, assignments.c.id == connections.c.assignment_id)
        .join(desktops, desktops.c.id == assignments.c.desktop_id)
        .outerjoin(forwards, forwards.c.connection_id == connections.c.id)
    )


def set_state(conn: Connection, connection_id: str, before: tuple[str, ...], state: str, **values: Any) -> bool:
    """Move a connection on, if it is still in one of the states `before`."""
    here = (connections.c.id == connection_id) & connections.c.state.in_(before)
    return conn.execute(update(connections).where(here).values(state=state, **values)).rowcount == 1


def hold(conn: Connection, connection_id: str) -> None:
    """Let this transaction be the only one that decides about a connection until it ends."""
    conn.execute(update(connections).where(connections.c.id == connection_id).values(state=connections.c.state))


def list_open(conn: Connection, assignment_id: str) -> list[Row[Any]]:
    """Return an assignment's connections that a gateway carries or may come to carry."""
    query = select(connections).where(connections.c.assignment_id == assignment_id, connections.c.closed_at.is_(None))
    return list(conn.execute(query))


def list_open_of_gateway(conn: Connection, gateway_id: str) -> list[Row[Any]]:
    """Return the connections that a gateway is thought to carry."""
    query = (
        select(connections, forwards.c.boot_id.label("f_boot_id"), forwards.c.asked_at.label("f_asked_at"))
        .outerjoin(forwards, forwards.c.connection_id == connections.c.id)
        .where(connections.c.gateway_id == gateway_id, connections.c.state == "open")
    )
    return list(conn.execute(query))


def add_ticket(conn: Connection, jti: str, connection_id: str, expires_at: datetime) -> None:
    """Insert a ticket that may be redeemed once."""
    conn.execute(insert(tickets).values(jti=jti, connection_id=connection_id, expires_at=expires_at))


def redeem(conn: Connection, jti: str, gateway_id: str, address: str, now: datetime, oldest: datetime) -> bool:
    """Use up a ticket. False when it is unknown, used or expired: the row count decides."""
    unused = (tickets.c.jti == jti) & tickets.c.redeemed_at.is_(None) & (tickets.c.expires_at > oldest)
    values = {"redeemed_at": now, "redeemed_by": gateway_id, "redeemed_from": address}
    return conn.execute(update(tickets).where(unused).values(values)).rowcount == 1


def find_ticket(conn: Connection, jti: str) -> str | None:
    """Return the connection that a ticket is for."""
    return conn.scalar(select(tickets.c.connection_id).where(tickets.c.jti == jti))


def was_redeemed(conn: Connection, jti: str, address: str) -> bool:
    """Tell whether a ticket was used before, and from this address."""
    used = (tickets.c.jti == jti) & tickets.c.redeemed_at.is_not(None) & (tickets.c.redeemed_from == address)
    return conn.execute(select(tickets.c.jti).where(used)).first() is not None
