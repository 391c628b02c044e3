"""What follows from a change of the configuration: jobs, in the change's own transaction."""

from sqlalchemy import Connection

from portico.domain.jobs import CenterScan, OfPool
from portico.services import changes, endings
from portico.services.broker import Broker
from portico.services.queueing import enqueue
from portico.store import centers, pools
from portico.store.scope import System, Tenant

_SCOPE = System("hooks")


def after_pool(broker: Broker, conn: Connection, noun: str, id: str) -> None:
    """A pool was saved: its membership is computed anew and its limits are evaluated (S097); a stop by errors is lifted."""
    pool = pools.get(conn, _SCOPE, id)
    if pool is not None:
        pools.change(conn, id, stopped_reason="", paused_until=None, failures_in_row=0)
        enqueue(broker, conn, "pool_members", OfPool(id), tenant_id=pool.tenant_id)
        enqueue(broker, conn, "pool_refill", OfPool(id), tenant_id=pool.tenant_id)


def after_center(broker: Broker, conn: Connection, noun: str, id: str) -> None:
    """A center was saved or restored: its inventory is taken at once (S089), and it has the desktops that it had."""
    endings.center_back(broker, conn, id)
    center = centers.get(conn, _SCOPE, id)
    if center is not None:
        enqueue(broker, conn, "center_scan", CenterScan(id, full=True), tenant_id=center.tenant_id)
        _look_at_pools(broker, conn, center.tenant_id)


def after_center_deleted(broker: Broker, conn: Connection, noun: str, id: str) -> None:
    """A center was deleted: the pools that had its desktops are counted and refilled without them."""
    center = centers.get(conn, _SCOPE, id, deleted=True)
    if center is not None:
        _look_at_pools(broker, conn, center.tenant_id)


def _look_at_pools(broker: Broker, conn: Connection, tenant_id: str) -> None:
    for pool in pools.list_all(conn, Tenant(tenant_id)):
        enqueue(broker, conn, "pool_members", OfPool(pool.id), tenant_id=tenant_id)
        enqueue(broker, conn, "pool_stats", OfPool(pool.id), tenant_id=tenant_id)


def register() -> None:
    """Bind what follows to its occasions."""
    changes.register("pools", after_pool)
    changes.register("centers", after_center)
    changes.register("centers.deleted", after_center_deleted)
