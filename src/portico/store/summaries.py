"""Counts for the overview: each one statement by index."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from portico.store.scope import Scope, within
from portico.store.tables import brokers, centers, connections, desktops, events, gateways, pool_history, pools


def desktops_by_use(conn: Connection, scope: Scope) -> dict[str, int]:
    """Return how many desktops are in use, ready, building and failing."""
    building = desktops.c.stage.in_(("intent", "creating", "building", "preparing"))
    failing = desktops.c.stage.in_(("failed", "quarantined")) | (desktops.c.power == "error")
    kind = case(
        (building, "building"),
        (failing, "failing"),
        (desktops.c.used_seats > 0, "in_use"),
        ((desktops.c.status == "available") & (desktops.c.stage == "ready"), "ready"),
        else_="other",
    )
    query = select(kind.label("kind"), func.count().label("number"))
    query = query.where(within(scope, desktops), desktops.c.deleted_at.is_(None)).group_by(kind)
    return {row.kind: row.number for row in conn.execute(query)}


def logins_since(conn: Connection, scope: Scope, since: datetime) -> dict[str, int]:
    """Return how many log-ins went well and were refused since a time."""
    query = (
        select(events.c.code, func.count().label("number"))
        .where(within(scope, events), events.c.at >= since, events.c.code.in_(("login.ok", "login.refused")))
        .group_by(events.c.code)
    )
    return {row.code: row.number for row in conn.execute(query)}


def offline_centers(conn: Connection, scope: Scope) -> list[Row[Any]]:
    """Return the centers that do not answer."""
    query = select(centers.c.id, centers.c.name, centers.c.status_reason).where(
        within(scope, centers), centers.c.status == "offline", centers.c.deleted_at.is_(None)
    )
    return list(conn.execute(query))


def stopped_pools(conn: Connection, scope: Scope) -> list[Row[Any]]:
    """Return the pools whose provisioning stopped or pauses."""
    query = select(pools.c.id, pools.c.name, pools.c.stopped_reason, pools.c.failures_in_row).where(
        within(scope, pools), pools.c.stopped_reason != "", pools.c.deleted_at.is_(None)
    )
    return list(conn.execute(query))


def quarantined(conn: Connection, scope: Scope) -> list[Row[Any]]:
    """Return desktops of which nobody knows whether the last user has left."""
    query = select(desktops.c.id, desktops.c.name).where(
        within(scope, desktops), desktops.c.stage == "quarantined", desktops.c.deleted_at.is_(None)
    )
    return list(conn.execute(query.limit(20)))


def list_brokers(conn: Connection) -> list[Row[Any]]:
    """Return the brokers that did not stop in good order or stopped last."""
    return list(
        conn.execute(select(brokers).where(brokers.c.stopped_at.is_(None)).order_by(brokers.c.started_at.desc()))
    )


def list_gateways(conn: Connection) -> list[Row[Any]]:
    """Return all gateways."""
    return list(conn.execute(select(gateways).order_by(gateways.c.name)))


def open_connections(conn: Connection, scope: Scope) -> int:
    """Return how many connections gateways carry."""
    query = (
        select(func.count()).select_from(connections).where(within(scope, connections), connections.c.state == "open")
    )
    return conn.scalar(query) or 0


def history(conn: Connection, pool_id: str, since: datetime) -> list[Row[Any]]:
    """Return a pool's history since a time, oldest first."""
    query = select(pool_history).where(pool_history.c.pool_id == pool_id, pool_history.c.at >= since)
    return list(conn.execute(query.order_by(pool_history.c.at)))
