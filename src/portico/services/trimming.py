"""Making a pool smaller: desktops above the limits are deleted, where the pool enforces them and nobody has the desktop."""

from collections.abc import Sequence

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.jobs import OfDesktop
from portico.domain.model import Pool, ProvisionLimits, Reason
from portico.services.broker import Broker
from portico.services.queueing import When, enqueue
from portico.store import desktops, events, pools


def retire(
    broker: Broker, conn: Connection, pool: Pool, limits: ProvisionLimits, desktop_ids: Sequence[str]
) -> list[str]:
    """Have desktops deleted that are too many; returns which. The pool's build epoch decides which broker may."""
    if not pools.win_build_epoch(conn, pool, pool.next_sequence):
        return []
    now = broker.now()
    gone = [desktop_id for desktop_id in desktop_ids if desktops.retire(conn, desktop_id, now)]
    if gone:
        counted: dict[str, str | int] = {"pool": pool.name, "number": len(gone), "stop_at": limits.stop_at}
        reason = Reason("pool.above_limit", {**counted})
        for desktop_id in gone:
            enqueue(
                broker, conn, "desktop_delete", OfDesktop(desktop_id), tenant_id=pool.tenant_id, when=When(why=reason)
            )
        entry = events.Entry(
            now, "pool.retiring", pool.tenant_id, params=counted, reason=as_json(reason), pool_id=pool.id
        )
        events.add(conn, entry)
    return gone
