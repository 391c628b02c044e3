"""Pools' own state (sequence, build epoch, counts) and the membership cache."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from portico.domain.model import Desktop, Pool, PoolCounts
from portico.store import records
from portico.store.desktops import refresh_free
from portico.store.scope import Scope, within
from portico.store.tables import desktops, pool_history, pool_members, pools


def get(conn: Connection, scope: Scope, pool_id: str) -> Pool | None:
    """Return a pool with its state as it is now (the snapshot's may be a second old)."""
    row = conn.execute(
        select(pools).where(within(scope, pools), pools.c.id == pool_id, pools.c.deleted_at.is_(None))
    ).first()
    return records.from_row(Pool, row) if row else None


def list_all(conn: Connection, scope: Scope) -> list[Pool]:
    """Return all pools in the scope."""
    rows = conn.execute(select(pools).where(within(scope, pools), pools.c.deleted_at.is_(None)))
    return [records.from_row(Pool, row) for row in rows]


def win_build_epoch(conn: Connection, pool: Pool, next_sequence: int) -> bool:
    """Win the right to insert this pool's next build intents; the row count says who did."""
    mine = (pools.c.id == pool.id) & (pools.c.build_epoch == pool.build_epoch)
    values = {"build_epoch": pool.build_epoch + 1, "next_sequence": next_sequence}
    return conn.execute(update(pools).where(mine).values(values)).rowcount == 1


def change(conn: Connection, pool_id: str, **values: Any) -> None:
    """Change columns of a pool's own state."""
    conn.execute(update(pools).where(pools.c.id == pool_id).values(values))


def count_failure(conn: Connection, pool_id: str) -> int:
    """Count one more failed build in a row; returns how many there are now, 0 for a pool that is not there."""
    conn.execute(update(pools).where(pools.c.id == pool_id).values(failures_in_row=pools.c.failures_in_row + 1))
    return conn.scalar(select(pools.c.failures_in_row).where(pools.c.id == pool_id)) or 0


def resume(conn: Connection, pool_id: str, stopped_reason: str = "") -> None:
    """Forget failed builds after one that went well, or note why building stops all the same; a quota is not met by that."""
    here = pools.c.id == pool_id
    conn.execute(update(pools).where(here).values(failures_in_row=0))
    if not stopped_reason:
        here &= pools.c.stopped_reason != "pool.quota"
    conn.execute(update(pools).where(here).values(stopped_reason=stopped_reason, paused_until=None))


def end_quota_pause(conn: Connection, pool_id: str) -> None:
    """Let a pool go on that paused for its quota: the cloud has accepted one more."""
    paused = (pools.c.id == pool_id) & (pools.c.stopped_reason == "pool.quota")
    conn.execute(update(pools).where(paused).values(stopped_reason="", paused_until=None))


def is_member(conn: Connection, pool_id: str, desktop_id: str) -> bool:
    """Tell whether the cache has a desktop in a pool."""
    here = (pool_members.c.pool_id == pool_id) & (pool_members.c.desktop_id == desktop_id)
    return conn.execute(select(pool_members.c.pool_id).where(here)).first() is not None


def keep_counts(conn: Connection, pool_id: str, counts: Mapping[str, int], now: datetime) -> None:
    """Keep the counts of the last refresh."""
    change(conn, pool_id, counts=dict(counts), counted_at=now)


def get_counts(conn: Connection, pool_ids: Collection[str]) -> dict[str, PoolCounts]:
    """Return the counts of the last refresh of some pools: one statement."""
    return {pool_id: counts for pool_id, (counts, _) in get_standing(conn, pool_ids).items()}


def get_standing(conn: Connection, pool_ids: Collection[str]) -> dict[str, tuple[PoolCounts, str]]:
    """Return the counts of the last refresh of some pools, and the code of what stops each ("": nothing): one statement."""
    if not pool_ids:
        return {}
    rows = conn.execute(select(pools.c.id, pools.c.counts, pools.c.stopped_reason).where(pools.c.id.in_(pool_ids)))
    return {row.id: (PoolCounts(**row.counts), row.stopped_reason) for row in rows}


def add_history(conn: Connection, pool_id: str, at: datetime, counts: Mapping[str, int]) -> None:
    """Append a line to a pool's history."""
    conn.execute(insert(pool_history).values(pool_id=pool_id, at=at, counts=dict(counts)))


def list_live_desktops(conn: Connection, tenant_id: str) -> list[Desktop]:
    """Return the tenant's desktops that are not deleted."""
    query = select(desktops).where(desktops.c.tenant_id == tenant_id, desktops.c.deleted_at.is_(None))
    return [records.desktop(row) for row in conn.execute(query)]


def write_members(conn: Connection, pool_id: str, wanted: Collection[str]) -> None:
    """Make the cache of a pool's members equal to what its rule says."""
    known = set(conn.scalars(select(pool_members.c.desktop_id).where(pool_members.c.pool_id == pool_id)))
    gone, new = sorted(known - set(wanted)), sorted(set(wanted) - known)
    for start in range(0, len(gone), 500):
        some = gone[start : start + 500]
        conn.execute(delete(pool_members).where(pool_members.c.pool_id == pool_id, pool_members.c.desktop_id.in_(some)))
    if new:
        conn.execute(insert(pool_members), [{"pool_id": pool_id, "desktop_id": item, "free": False} for item in new])
        for start in range(0, len(new), 500):
            refresh_free(conn, new[start : start + 500])


def write_memberships(conn: Connection, wanted: Mapping[str, Collection[str]]) -> None:
    """Make the cache equal to what the rules say, for some desktops: desktop id → the pools that it is in."""
    ids = sorted(wanted)
    known: dict[str, set[str]] = {desktop_id: set() for desktop_id in ids}
    for start in range(0, len(ids), 500):
        query = select(pool_members).where(pool_members.c.desktop_id.in_(ids[start : start + 500]))
        for row in conn.execute(query):
            known[row.desktop_id].add(row.pool_id)
    new = [
        {"pool_id": pool_id, "desktop_id": desktop_id, "free": False}
        for desktop_id in ids
        for pool_id in sorted(set(wanted[desktop_id]) - known[desktop_id])
    ]
    gone = [
        (pool_id, desktop_id) for desktop_id in ids for pool_id in sorted(known[desktop_id] - set(wanted[desktop_id]))
    ]
    for pool_id, desktop_id in gone:
        conn.execute(
            delete(pool_members).where(pool_members.c.pool_id == pool_id, pool_members.c.desktop_id == desktop_id)
        )
    if new:
        conn.execute(insert(pool_members), new)
        changed = sorted({str(line["desktop_id"]) for line in new})
        for start in range(0, len(changed), 500):
            refresh_free(conn, changed[start : start + 500])
