"""What administrators do to a noun besides editing it: let a user in again, end sessions, refill a pool."""

from sqlalchemy import select, update

from portico.domain.access import Actor, Level
from portico.domain.jobs import OfPool
from portico.errors import NotFound
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.guards import require, scope_of
from portico.services.queueing import enqueue
from portico.store import sessions
from portico.store import tables as t
from portico.store.scope import within


def refill(broker: Broker, actor: Actor, pool_id: str) -> str:
    """Have a pool's limits looked at now, also when errors had stopped it; returns the job's id. Raises NotFound, Denied."""
    require(actor, "pools", Level.EDIT, narrowed=True)
    mine = (t.pools.c.id == pool_id) & within(scope_of(actor), t.pools) & t.pools.c.deleted_at.is_(None)
    again = {"failures_in_row": 0, "stopped_reason": "", "paused_until": None}
    with broker.db.write() as conn:
        if conn.execute(update(t.pools).where(mine).values(again)).rowcount != 1:
            raise NotFound("There is no such pool. Perhaps it was deleted.")
        announce(broker, conn, actor, "pool.refill_asked", {"pool_id": pool_id})
        return enqueue(broker, conn, "pool_refill", OfPool(pool_id), tenant_id=actor.tenant_id)


def unlock(broker: Broker, actor: Actor, user_id: str) -> None:
    """Let a user who was locked out try again at once. Raises NotFound, Denied."""
    require(actor, "users", Level.EDIT)
    mine = (t.users.c.id == user_id) & (t.users.c.tenant_id == actor.tenant_id) & t.users.c.deleted_at.is_(None)
    with broker.db.write() as conn:
        free = update(t.users).where(mine).values(failed=0, locked_until=None, last_failed_at=None)
        if conn.execute(free).rowcount != 1:
            raise NotFound("There is no such user. Perhaps it was deleted.")
        announce(broker, conn, actor, "user.unlocked", {"user_id": user_id})


def end_sessions(broker: Broker, actor: Actor, user_id: str) -> int:
    """Log a user out everywhere; returns how many sessions ended. Raises NotFound, Denied."""
    require(actor, "sessions", Level.EDIT)
    mine = (t.users.c.id == user_id) & (t.users.c.tenant_id == actor.tenant_id)
    with broker.db.write() as conn:
        if conn.scalar(select(t.users.c.id).where(mine)) is None:
            raise NotFound("There is no such user. Perhaps it was deleted.")
        ended = sessions.end_all(conn, user_id, broker.now(), "ended by administrator")
        announce(broker, conn, actor, "user.sessions_ended", {"user_id": user_id, "count": ended})
    return ended


def end_session(broker: Broker, actor: Actor, session_id: str) -> None:
    """Log a user out of one session. Raises NotFound, Denied."""
    require(actor, "sessions", Level.EDIT)
    mine = (t.sessions.c.id == session_id) & (t.sessions.c.tenant_id == actor.tenant_id)
    with broker.db.write() as conn:
        row = conn.execute(select(t.sessions.c.user_id).where(mine)).first()
        if row is None or not sessions.end(conn, session_id, row.user_id, broker.now(), "ended by administrator"):
            raise NotFound("There is no such session, or it has ended.")
        announce(broker, conn, actor, "session.ended", {"user_id": row.user_id})
