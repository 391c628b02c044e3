"""Making a pool smaller: desktops above the limits are deleted, where the pool enforces them and nobody has the desktop."""

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.jobs import OfDesktop
from portico.domain.model import Pool
from portico.domain.provisioning import Decision
from portico.services.broker import Broker
from portico.services.queueing import When, enqueue
from portico.store import desktops, events, pools


def retire(broker: Broker, conn: Connection, pool: Pool, decision: Decision) -> list[str]:
    """Have the desktops deleted that are too many; returns which. The pool's build epoch decides which broker may."""
    if not pools.win_build_epoch(conn, pool, pool.next_sequence):
        return []
    now = broker.now()
    gone = [desktop_id for desktop_id in decision.retire if desktops.retire(conn, desktop_id, now)]
    if gone:
        why = When(why=decision.reason)
        for desktop_id in gone:
            enqueue(broker, conn, "desktop_delete", OfDesktop(desktop_id), tenant_id=pool.tenant_id, when=why)
        params = {**decision.reason.params, "number": len(gone)}
        entry = events.Entry(
            now, "pool.retiring", pool.tenant_id, params=params, reason=as_json(decision.reason), pool_id=pool.id
        )
        events.add(conn, entry)
    return gone
