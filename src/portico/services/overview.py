"""The overview: four numbers that matter, and what needs attention, as sentences with a place to go."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from portico.domain.access import Actor
from portico.domain.model import Pool, PoolCounts, Reason
from portico.errors import NotFound
from portico.services.broker import Broker
from portico.services.guards import own_pools, require, scope_of
from portico.store import centers, jobs, leaks, pools, summaries, waiting
from portico.store.scope import Tenant

ALIVE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that an administrator should look at; `link` is the console's path."""

    level: str  # warning | error
    reason: Reason
    link: str


@dataclass(frozen=True, slots=True)
class Node:
    """A broker or gateway as the overview shows it."""

    id: str
    name: str
    version: str
    alive: bool
    seen_at: datetime | None
    draining: bool
    sessions: int | None = None  # that a gateway carries


@dataclass(frozen=True, slots=True)
class Overview:
    """How the fleet is doing now."""

    in_use: int
    ready: int
    building: int
    failing: int
    attention: tuple[Attention, ...]
    pools: tuple[tuple[Pool, PoolCounts], ...]
    logins_today: Mapping[str, int]
    connections: int
    jobs: Mapping[str, int]
    brokers: tuple[Node, ...]
    gateways: tuple[Node, ...]


def overview(broker: Broker, actor: Actor) -> Overview:
    """Return the overview of the actor's tenant: a fixed number of statements."""
    require(actor, "desktops", narrowed=True)
    now, scope = broker.now(), scope_of(actor)
    snapshot = broker.snapshots.get()
    mine = own_pools(snapshot.pools, actor)
    with broker.db.read() as conn:
        use = summaries.desktops_by_use(conn, scope)
        logins = summaries.logins_since(conn, scope, now - timedelta(days=1))
        counts = pools.get_counts(conn, [pool.id for pool in mine])
        brokers, gateways = _nodes(conn, now) if scope.reach is None else ((), ())
        attention = (*_attention(conn, scope, gateways), *_without_image(mine, centers.deleted_images(conn, scope)))
        states = jobs.count_by_state(conn, scope)
        carried = summaries.open_connections(conn, scope)
    return Overview(
        in_use=use.get("in_use", 0),
        ready=use.get("ready", 0),
        building=use.get("building", 0),
        failing=use.get("failing", 0),
        attention=attention,
        pools=tuple((pool, counts[pool.id]) for pool in sorted(mine, key=lambda pool: pool.name.casefold())),
        logins_today={"ok": logins.get("login.ok", 0), "refused": logins.get("login.refused", 0)},
        connections=carried,
        jobs=states,
        brokers=tuple(node for node in brokers if node.alive),
        gateways=gateways,
    )


def _nodes(conn: Any, now: datetime) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """Return the brokers and gateways, which are the deployment's."""
    brokers = tuple(_node(row, row.hostname, now) for row in summaries.list_brokers(conn))
    return brokers, tuple(_node(row, row.name, now) for row in summaries.list_gateways(conn))


def _node(row: Any, name: str, now: datetime) -> Node:
    seen = row.heartbeat_at
    carried = (row._mapping.get("load") or {}).get("sessions")
    return Node(row.id, name, row.version, is_alive(seen, now), seen, row.draining, carried)


def is_alive(seen_at: datetime | None, now: datetime) -> bool:
    """Tell whether a broker or gateway that was last seen at a time counts as alive."""
    return seen_at is not None and now - seen_at <= timedelta(seconds=ALIVE_SECONDS)


def _attention(conn: Any, scope: Tenant, gateways: tuple[Node, ...]) -> list[Attention]:
    found = []
    for row in summaries.offline_centers(conn, scope):
        reason = Reason("center.offline", {"center": row.name, "detail": row.status_reason})
        found.append(Attention("error", reason, f"/admin/centers/{row.id}"))
    for row in summaries.stopped_pools(conn, scope):
        reason = Reason(row.stopped_reason, {"pool": row.name, "failures": row.failures_in_row})
        found.append(Attention("warning", reason, f"/admin/pools/{row.id}"))
    for row in summaries.quarantined(conn, scope):
        found.append(
            Attention(
                "warning", Reason("desktop.quarantined_named", {"desktop": row.name}), f"/admin/desktops/{row.id}"
            )
        )
    for row in leaks.count_open(conn, scope):
        reason = Reason("leaks.open", {"center": row.name, "count": row.number})
        found.append(Attention("warning", reason, f"/admin/leaks?q=center:{row.id}"))
    if scope.reach is not None:
        return found  # What follows is about the tenant and the deployment.
    if number := waiting.count_waiting(conn, scope.id):
        found.append(
            Attention("warning", Reason("agents.waiting", {"number": number}), "/admin/waiting-agents?q=state:waiting")
        )
    if gateways and not any(node.alive for node in gateways):
        found.append(Attention("error", Reason("gateway.none_alive"), "/admin/gateways"))
    if not gateways:
        found.append(Attention("warning", Reason("gateway.none"), "/admin/gateways"))
    return found


def _without_image(mine: list[Pool], deleted: Mapping[tuple[str, str], str]) -> list[Attention]:
    """Name the pools whose image was deleted in their cloud."""
    found = []
    for pool in mine:
        image = deleted.get((pool.provisioning.center_id or "", pool.provisioning.image or ""))
        if image is not None and pool.provisioning.limits.enabled:
            reason = Reason("pool.image_deleted", {"pool": pool.name, "image": image})
            found.append(Attention("warning", reason, f"/admin/pools/{pool.id}"))
    return found


def pool_counts(broker: Broker, actor: Actor, pool_id: str) -> PoolCounts:
    """Return a pool's counts of the last refresh (at most one cadence old)."""
    require(actor, "pools", narrowed=True)
    _pool(broker, actor, pool_id)
    with broker.db.read() as conn:
        return pools.get_counts(conn, [pool_id]).get(pool_id, PoolCounts())


def pool_history(broker: Broker, actor: Actor, pool_id: str, hours: int) -> list[tuple[datetime, PoolCounts]]:
    """Return a pool's counts over the last hours, oldest first."""
    require(actor, "pools", narrowed=True)
    _pool(broker, actor, pool_id)
    with broker.db.read() as conn:
        rows = summaries.history(conn, pool_id, broker.now() - timedelta(hours=hours))
    return [(row.at, PoolCounts(**row.counts)) for row in rows]


def _pool(broker: Broker, actor: Actor, pool_id: str) -> None:
    with broker.db.read() as conn:
        if pools.get(conn, scope_of(actor), pool_id) is None:
            raise NotFound("There is no such pool.")
