"""How the day went: demand against capacity, how long people wait for a desktop, and what became of log-ins."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from portico.domain.access import Actor
from portico.domain.model import PoolCounts
from portico.services.broker import Broker
from portico.services.guards import own_pools, require, scope_of
from portico.store import pools
from portico.store import tables as t
from portico.store.scope import within

STEP = timedelta(minutes=5)  # the cadence of pool_history_stats
SAMPLES = 5_000  # of one measure: more would not move a percentile


@dataclass(frozen=True, slots=True)
class Spread:
    """Half of the samples took at most `half` seconds, nine of ten at most `most`."""

    half: float
    most: float
    number: int


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours of a tenant. `refused` counts log-ins by the code of the reason."""

    demand: tuple[tuple[datetime, PoolCounts], ...]
    made: Spread | None  # from the order to a desktop that is ready
    opened: Spread | None  # from the click to the picture
    logins: int
    refused: Mapping[str, int]


def day(broker: Broker, actor: Actor) -> Day:
    """Return how the last 24 hours went, in a fixed number of statements. Raises Denied."""
    require(actor, "desktops", narrowed=True)
    now = broker.now()
    since = now - timedelta(days=1)
    mine = [pool.id for pool in own_pools(broker.snapshots.get().pools, actor)]
    with broker.db.read() as conn:
        h = t.pool_history.c
        rows = conn.execute(select(h.pool_id, h.at, h.counts).where(h.pool_id.in_(mine), h.at >= since).order_by(h.at))
        demand = summed([(row.pool_id, row.at, PoolCounts(**row.counts)) for row in rows])
        demand.append((now, _total(pools.get_counts(conn, mine))))
        made = spread(_made(conn, actor, since))
        opened = spread(_opened(conn, actor, since))
        logins, refused = _logins(conn, actor, since)
    return Day(tuple(demand), made, opened, logins, refused)


def summed(rows: Sequence[tuple[str, datetime, PoolCounts]]) -> list[tuple[datetime, PoolCounts]]:
    """Add the counts of several pools up, step by step: each pool keeps its last count until the next one."""
    if not rows:
        return []
    latest: dict[str, PoolCounts] = {}
    found: list[tuple[datetime, PoolCounts]] = []
    end = rows[0][1] + STEP
    for pool, at, counts in rows:
        while at >= end:
            found.append((end, _total(latest)))
            end += STEP
        latest[pool] = counts
    return [*found, (max(rows[-1][1], end - STEP), _total(latest))]


def spread(samples: Sequence[float]) -> Spread | None:
    """Return the median and the 90th percentile of samples; None without any."""
    if not samples:
        return None
    ordered = sorted(samples)
    last = len(ordered) - 1
    return Spread(ordered[round(last * 0.5)], ordered[round(last * 0.9)], len(ordered))


def _total(counts: Mapping[str, PoolCounts]) -> PoolCounts:
    total: Counter[str] = Counter()
    for one in counts.values():
        total.update({name: value for name, value in asdict(one).items() if isinstance(value, int)})
    return PoolCounts(**total)


def _made(conn: Connection, actor: Actor, since: datetime) -> list[float]:
    e = t.events.c
    query = select(e.params).where(within(scope_of(actor), t.events), e.code == "desktop.ready", e.at >= since)
    rows = conn.scalars(query.order_by(e.id.desc()).limit(SAMPLES))
    return [float(params["seconds"]) for params in rows if isinstance((params or {}).get("seconds"), int | float)]


def _opened(conn: Connection, actor: Actor, since: datetime) -> list[float]:
    c = t.connections.c
    query = select(c.created_at, c.opened_at).where(
        within(scope_of(actor), t.connections), c.created_at >= since, c.opened_at.is_not(None)
    )
    rows = conn.execute(query.order_by(c.created_at.desc()).limit(SAMPLES))
    return [(row.opened_at - row.created_at).total_seconds() for row in rows]


def _logins(conn: Connection, actor: Actor, since: datetime) -> tuple[int, dict[str, int]]:
    e = t.events.c
    mine: Any = within(scope_of(actor), t.events) & (e.at >= since)
    well = conn.scalar(select(func.count()).select_from(t.events).where(mine, e.code == "login.ok")) or 0
    reasons = conn.scalars(select(e.reason).where(mine, e.code == "login.refused").order_by(e.id.desc()).limit(SAMPLES))
    return well, dict(Counter(str((reason or {}).get("code", "unknown")) for reason in reasons).most_common())
