"""What follows from a change of the configuration: jobs, in the change's own transaction."""

from sqlalchemy import Connection

from portico.domain.jobs import CenterScan, OfPool
from portico.services import changes
from portico.services.broker import Broker
from portico.services.queueing import enqueue
from portico.store import pools
from portico.store.scope import System


def after_pool(broker: Broker, conn: Connection, noun: str, id: str) -> None:
    """A pool was saved: its membership is computed anew and its limits are evaluated (S097); a stop by errors is lifted."""
    pool = pools.get(conn, System("hooks"), id)
    if pool is not None:
        pools.change(conn, id, stopped_reason="", paused_until=None, failures_in_row=0)
        enqueue(broker, conn, "pool_members", OfPool(id), tenant_id=pool.tenant_id)
        enqueue(broker, conn, "pool_refill", OfPool(id), tenant_id=pool.tenant_id)


def after_center(broker: Broker, conn: Connection, noun: str, id: str) -> None:
    """A center was saved: its inventory is taken at once (S089)."""
    enqueue(broker, conn, "center_scan", CenterScan(id, full=True))


def register() -> None:
    """Bind what follows to its occasions."""
    changes.register("pools", after_pool)
    changes.register("centers", after_center)
