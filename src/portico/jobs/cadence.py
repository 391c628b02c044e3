"""What runs again and again: for each center, pool and the deployment itself, one job of each periodic kind is queued."""

from portico.domain.jobs import KINDS, CenterScan, Nothing, OfCenter, OfDirectory, OfPool, Payload, waiting_key
from portico.services.broker import Broker
from portico.services.directories import by_redirect
from portico.services.queueing import enqueue
from portico.store import centers, jobs, pools
from portico.store.scope import System

_SCOPE = System("periodic jobs")


def ensure(broker: Broker) -> None:
    """Queue the periodic jobs that are neither waiting nor running."""
    with broker.db.read() as conn:
        wanted = _wanted(
            [(center.id, center.tenant_id) for center in centers.list_all(conn, _SCOPE) if center.active],
            [(pool.id, pool.tenant_id) for pool in pools.list_all(conn, _SCOPE)],
            _asked_about(broker),
        )
        there = jobs.live_keys(conn)
    missing = [line for line in wanted if waiting_key(line[0], line[1]) not in there]
    if missing:
        with broker.db.write() as conn:
            for kind, payload, tenant_id in missing:
                enqueue(broker, conn, kind, payload, tenant_id=tenant_id)


def _asked_about(broker: Broker) -> list[tuple[str, str]]:
    """Return the directories that can be asked about people who are not there."""
    known = broker.snapshots.get().directories.values()
    return [(one.id, one.tenant_id) for one in known if one.active and not by_redirect(broker, one)]


def _wanted(
    of_centers: list[tuple[str, str]], of_pools: list[tuple[str, str]], of_directories: list[tuple[str, str]]
) -> list[tuple[str, Payload, str | None]]:
    found: list[tuple[str, Payload, str | None]] = []
    for kind in KINDS.values():
        if kind.every_seconds is None:
            continue
        if kind.payload is CenterScan:
            found += [(kind.name, CenterScan(center_id), tenant) for center_id, tenant in of_centers]
        elif kind.payload is OfCenter:
            found += [(kind.name, OfCenter(center_id), tenant) for center_id, tenant in of_centers]
        elif kind.payload is OfPool:
            found += [(kind.name, OfPool(pool_id), tenant) for pool_id, tenant in of_pools]
        elif kind.payload is OfDirectory:
            found += [(kind.name, OfDirectory(directory_id), tenant) for directory_id, tenant in of_directories]
        else:
            found.append((kind.name, Nothing(), None))
    return found


def next_payload(kind: str, payload: Payload) -> Payload:
    """Return the payload of the next run: a full scan that somebody asked for is followed by an ordinary one."""
    return CenterScan(payload.center_id) if isinstance(payload, CenterScan) else payload
