"""Removing what is old and referenced by nothing. Deleted centers' desktops stay until then, marked deleted."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, select

from portico.store.tables import (
    agents,
    assignments,
    connections,
    desktops,
    events,
    forwards,
    pool_history,
    pool_members,
    pools,
    seats,
    sessions,
    shadows,
    tickets,
    waiting_agents,
)

TICKETS_KEPT = timedelta(days=1)


def purge(conn: Connection, tenant_id: str, before: datetime) -> dict[str, int]:
    """Delete a tenant's rows from before a time, children first; returns how many of each."""
    mine = events.c.tenant_id == tenant_id
    theirs = pool_history.c.pool_id.in_(select(pools.c.id).where(pools.c.tenant_id == tenant_id))
    removed = {
        "events": conn.execute(delete(events).where(mine, events.c.at < before)).rowcount,
        "history": conn.execute(delete(pool_history).where(theirs, pool_history.c.at < before)).rowcount,
    }
    mine = (connections.c.tenant_id == tenant_id) & (connections.c.closed_at < before)
    has_ticket = exists(select(1).where(tickets.c.connection_id == connections.c.id))
    going = select(connections.c.id).where(mine, ~has_ticket)
    conn.execute(delete(forwards).where(forwards.c.connection_id.in_(going)))
    removed["connections"] = conn.execute(delete(connections).where(mine, ~has_ticket)).rowcount
    mine = (assignments.c.tenant_id == tenant_id) & (assignments.c.released_at < before)
    has_connection = exists(select(1).where(connections.c.assignment_id == assignments.c.id))
    removed["assignments"] = conn.execute(delete(assignments).where(mine, ~has_connection)).rowcount
    mine = (sessions.c.tenant_id == tenant_id) & (sessions.c.expires_at < before)
    removed["sessions"] = conn.execute(delete(sessions).where(mine)).rowcount
    mine = (shadows.c.tenant_id == tenant_id) & (shadows.c.expires_at < before)
    removed["shadows"] = conn.execute(delete(shadows).where(mine)).rowcount
    removed["desktops"] = _desktops(conn, tenant_id, before)
    return removed


def purge_common(conn: Connection, before: datetime, now: datetime) -> dict[str, int]:
    """Delete what belongs to no tenant: tickets of yesterday, and the deployment's own events from before a time."""
    own = events.c.tenant_id.is_(None) & (events.c.at < before)
    return {
        "tickets": conn.execute(delete(tickets).where(tickets.c.expires_at < now - TICKETS_KEPT)).rowcount,
        "events": conn.execute(delete(events).where(own)).rowcount,
    }


def _desktops(conn: Connection, tenant_id: str, before: datetime) -> int:
    in_use = exists(select(1).where(assignments.c.desktop_id == desktops.c.id))
    mine = (desktops.c.tenant_id == tenant_id) & (desktops.c.deleted_at < before)
    ids = list(conn.scalars(select(desktops.c.id).where(mine, ~in_use).limit(5000)))
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        for table in (pool_members, seats, agents, waiting_agents):
            conn.execute(delete(table).where(table.c.desktop_id.in_(some)))
        conn.execute(delete(desktops).where(desktops.c.id.in_(some)))
    return len(ids)
