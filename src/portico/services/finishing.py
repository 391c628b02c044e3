"""The good end of a build: the desktop is ready, and its pool forgets earlier failures."""

from sqlalchemy import Connection

from portico.domain.jobs import OfPool
from portico.domain.model import Desktop, Stage, Status
from portico.services import membership
from portico.services.broker import Broker
from portico.services.queueing import enqueue
from portico.store import desktops, events, pools


def ready(broker: Broker, conn: Connection, desktop: Desktop, status: Status | None = None) -> bool:
    """Move a desktop in the making to `ready`, with another status where one is given; False when it is not in the making."""
    now = broker.now()
    before = (Stage.BUILDING, Stage.PREPARING)
    values = {"status": str(status)} if status else {}
    if not desktops.move_stage(conn, desktop.id, before, Stage.READY, now, deadline_at=None, stage_reason="", **values):
        return False
    if desktop.built_for_pool:
        _note_success(broker, conn, desktop, desktop.built_for_pool)
    seconds = (now - desktop.created_at).total_seconds() if desktop.created_at else 0
    entry = events.Entry(
        now, "desktop.ready", desktop.tenant_id, params={"desktop": desktop.name, "seconds": round(seconds, 1)},
        desktop_id=desktop.id, pool_id=desktop.built_for_pool, center_id=desktop.center_id,
    )  # fmt: skip
    events.add(conn, entry)
    return True


def _note_success(broker: Broker, conn: Connection, desktop: Desktop, pool_id: str) -> None:
    """A build went well: earlier failures are forgotten, unless what is built does not even belong to its pool."""
    membership.place(broker, conn, [desktop.id])
    misses = not pools.is_member(conn, pool_id, desktop.id)
    stopped = "pool.rule_misses_builds" if misses else ""
    pools.resume(conn, pool_id, stopped)
    if misses:
        entry = events.Entry(
            broker.now(), stopped, desktop.tenant_id, level="error", desktop_id=desktop.id, pool_id=pool_id,
            params={"desktop": desktop.name},
        )  # fmt: skip
        events.add(conn, entry)
    enqueue(broker, conn, "pool_stats", OfPool(pool_id), tenant_id=desktop.tenant_id)
