"""The membership cache: rewritten for desktops that changed, and for the whole pool when it is saved."""

from collections.abc import Sequence

from sqlalchemy import Connection

from portico.domain import pools as rules
from portico.domain.model import Desktop, Pool
from portico.services.broker import Broker
from portico.store import desktops, pools
from portico.store.scope import System

_SCOPE = System("membership")


def place(broker: Broker, conn: Connection, desktop_ids: Sequence[str]) -> None:
    """Write anew in which pools these desktops are: a fixed number of reads, writes only for what changed."""
    fleet = desktops.list_by_ids(conn, _SCOPE, desktop_ids)
    all_pools = pools.list_all(conn, _SCOPE)
    wanted: dict[str, set[str]] = {desktop.id: set() for desktop in fleet}
    for tenant_id in {desktop.tenant_id for desktop in fleet}:
        mine = {pool.id: pool for pool in all_pools if pool.tenant_id == tenant_id}
        theirs = [desktop for desktop in fleet if desktop.tenant_id == tenant_id]
        for pool in mine.values():
            for desktop_id in rules.members(theirs, pool, mine):
                wanted[desktop_id].add(pool.id)
    pools.write_memberships(conn, wanted)


def rewrite(broker: Broker, pool_id: str) -> int:
    """Compare a pool's cache with its rule and mend it, with the pools below it; returns how many members it has."""
    with broker.db.write() as conn:
        pool = pools.get(conn, _SCOPE, pool_id)
        if pool is None:
            return 0
        all_pools = {one.id: one for one in pools.list_all(conn, _SCOPE) if one.tenant_id == pool.tenant_id}
        fleet: list[Desktop] = pools.list_live_desktops(conn, pool.tenant_id)
        number = 0
        for one in all_pools.values():
            if one.id == pool_id or _is_below(one.id, pool_id, all_pools):
                members = rules.members(fleet, one, all_pools)
                pools.write_members(conn, one.id, members)
                number = len(members) if one.id == pool_id else number
    return number


def _is_below(pool_id: str, ancestor: str, all_pools: dict[str, Pool]) -> bool:
    seen: set[str] = set()
    here = all_pools[pool_id].parent_id
    while here is not None and here in all_pools and here not in seen:
        if here == ancestor:
            return True
        seen.add(here)
        here = all_pools[here].parent_id
    return False
