"""Removing what is old and referenced by nothing. Deleted centers' desktops stay until then, marked deleted."""

from datetime import datetime

from sqlalchemy import Connection, delete, exists, select

from portico.store.tables import (
    agents,
    assignments,
    connections,
    desktops,
    events,
    idempotency,
    pool_history,
    pool_members,
    seats,
    sessions,
    tickets,
)


def purge(conn: Connection, before: datetime, now: datetime) -> dict[str, int]:
    """Delete rows from before a time, children first; returns how many of each."""
    removed = {
        "tickets": conn.execute(delete(tickets).where(tickets.c.expires_at < before)).rowcount,
        "events": conn.execute(delete(events).where(events.c.at < before)).rowcount,
        "history": conn.execute(delete(pool_history).where(pool_history.c.at < before)).rowcount,
        "idempotency": conn.execute(delete(idempotency).where(idempotency.c.created_at < before)).rowcount,
    }
    has_ticket = exists(select(1).where(tickets.c.connection_id == connections.c.id))
    old = connections.c.closed_at < before
    removed["connections"] = conn.execute(delete(connections).where(old, ~has_ticket)).rowcount
    has_connection = exists(select(1).where(connections.c.assignment_id == assignments.c.id))
    old = assignments.c.released_at < before
    removed["assignments"] = conn.execute(delete(assignments).where(old, ~has_connection)).rowcount
    removed["sessions"] = conn.execute(delete(sessions).where(sessions.c.expires_at < before)).rowcount
    removed["desktops"] = _desktops(conn, before)
    return removed


def _desktops(conn: Connection, before: datetime) -> int:
    in_use = exists(select(1).where(assignments.c.desktop_id == desktops.c.id))
    ids = list(conn.scalars(select(desktops.c.id).where(desktops.c.deleted_at < before, ~in_use).limit(5000)))
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        for table in (pool_members, seats, agents):
            conn.execute(delete(table).where(table.c.desktop_id.in_(some)))
        conn.execute(delete(desktops).where(desktops.c.id.in_(some)))
    return len(ids)
