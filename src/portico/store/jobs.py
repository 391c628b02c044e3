"""The work queue: claimed by conditional UPDATE under a lease, one running job per lane, one waiting per key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import Conflict
from portico.store.scope import Scope, within
from portico.store.tables import jobs

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
PUT_TRIES = 10


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to put into the queue. While one with this `waiting_key` waits, another is not put."""

    id: str
    kind: str
    payload: Mapping[str, Any]
    lane: str
    waiting_key: str
    run_at: datetime
    tenant_id: str | None = None
    version: int = 1
    reason: Mapping[str, Any] | None = None


def put(conn: Connection, job: NewJob, now: datetime) -> str:
    """Queue a job; if its like waits already, let that one run no later than this. Returns the id of the one that serves.

    The job that serves is written to in any case: so it is not claimed before this transaction ends, and whoever runs it
    sees what this transaction did.
    """
    waiting = (jobs.c.waiting_key == job.waiting_key) & (jobs.c.state == QUEUED)
    sooner = case((jobs.c.run_at > job.run_at, job.run_at), else_=jobs.c.run_at)
    for _ in range(PUT_TRIES):
        if conn.execute(update(jobs).where(waiting).values(run_at=sooner)).rowcount:
            return str(conn.execute(select(jobs.c.id).where(waiting)).scalar_one())
        try:
            with conn.begin_nested():
                conn.execute(insert(jobs).values(**_values(job, now)))
            return job.id
        except IntegrityError:  # another broker put its like in between: that one serves, unless it is claimed already
            continue
    raise Conflict("The work queue is too busy for this at the moment.", detail=job.waiting_key)


def any_of(conn: Connection, keys: Collection[str], lanes: Collection[str]) -> bool:
    """Tell whether a job of one of the keys waits, or one runs in one of the lanes: two looks into an index each."""
    found = or_(
        (jobs.c.state == QUEUED) & jobs.c.waiting_key.in_(keys), (jobs.c.state == RUNNING) & jobs.c.lane.in_(lanes)
    )
    return conn.execute(select(jobs.c.id).where(found).limit(1)).first() is not None


def _values(job: NewJob, now: datetime) -> dict[str, Any]:
    return {
        "id": job.id,
        "tenant_id": job.tenant_id,
        "kind": job.kind,
        "version": job.version,
        "payload": dict(job.payload),
        "lane": job.lane,
        "waiting_key": job.waiting_key,
        "state": QUEUED,
        "run_at": job.run_at,
        "attempts": 0,
        "fence": 0,
        "error": "",
        "reason": job.reason,
        "created_at": now,
    }


def get(conn: Connection, scope: Scope, job_id: str) -> Row[Any] | None:
    """Return a job's row."""
    return conn.execute(select(jobs).where(within(scope, jobs), jobs.c.id == job_id)).first()


def live_keys(conn: Connection) -> set[str]:
    """Return the waiting keys of all jobs that wait or run."""
    return set(conn.scalars(select(jobs.c.waiting_key).where(jobs.c.state.in_((QUEUED, RUNNING)))))


def count_by_state(conn: Connection, scope: Scope) -> dict[str, int]:
    """Return how many jobs are in each state."""
    query = select(jobs.c.state, func.count()).where(within(scope, jobs)).group_by(jobs.c.state)
    return {state: number for state, number in conn.execute(query)}


def due(conn: Connection, now: datetime, kinds: Mapping[str, int], limit: int) -> list[Row[Any]]:
    """Return queued jobs whose time has come and whose lane looks free, oldest first: candidates, not claims.

    `kinds` maps each kind that the caller can run to the newest version of its payload that it understands.
    """
    busy = select(jobs.c.lane).where(jobs.c.state == RUNNING)
    known = or_(*((jobs.c.kind == kind) & (jobs.c.version <= version) for kind, version in kinds.items()))
    query = (
        select(jobs)
        .where(jobs.c.state == QUEUED, jobs.c.run_at <= now, known, jobs.c.lane.not_in(busy))
        .order_by(jobs.c.run_at)
        .limit(limit)
    )
    return list(conn.execute(query))


def claim(conn: Connection, row: Row[Any], broker_id: str, now: datetime, lease_seconds: int) -> int | None:
    """Take a candidate. Returns its fence number, or None when another broker, or its lane, was quicker."""
    fence: int = row.fence + 1
    try:
        with conn.begin_nested():
            taken = conn.execute(
                update(jobs)
                .where(jobs.c.id == row.id, jobs.c.state == QUEUED, jobs.c.fence == row.fence)
                .values(
                    state=RUNNING,
                    broker_id=broker_id,
                    fence=fence,
                    attempts=jobs.c.attempts + 1,
                    started_at=now,
                    lease_until=now + timedelta(seconds=lease_seconds),
                )
            ).rowcount
    except IntegrityError:  # the lane's unique index: its like runs
        return None
    return fence if taken == 1 else None


def is_held(conn: Connection, job_id: str, fence: int) -> bool:
    """Tell, by a write that others must wait for, whether the claim still stands."""
    held = (jobs.c.id == job_id) & (jobs.c.fence == fence) & (jobs.c.state == RUNNING)
    return conn.execute(update(jobs).where(held).values(fence=fence)).rowcount == 1


def renew(conn: Connection, broker_id: str, job_ids: Collection[str], until: datetime) -> None:
    """Lengthen the leases of what a broker is at work on."""
    mine = (jobs.c.broker_id == broker_id) & (jobs.c.state == RUNNING) & jobs.c.id.in_(job_ids)
    conn.execute(update(jobs).where(mine).values(lease_until=until))


def finish(conn: Connection, job_id: str, fence: int, state: str, now: datetime, error: str = "") -> bool:
    """End a claim as done, failed or cancelled."""
    held = (jobs.c.id == job_id) & (jobs.c.fence == fence) & (jobs.c.state == RUNNING)
    values = {"state": state, "finished_at": now, "error": error, "lease_until": None}
    return conn.execute(update(jobs).where(held).values(values)).rowcount == 1


def run_again(
    conn: Connection, job_id: str, fence: int, run_at: datetime, error: str = "", *, fresh: bool = False
) -> bool:
    """Put a claim back into the queue for later; `fresh` forgets its attempts. False when its like waits already."""
    held = (jobs.c.id == job_id) & (jobs.c.fence == fence) & (jobs.c.state == RUNNING)
    values: dict[str, Any] = {"state": QUEUED, "run_at": run_at, "error": error, "lease_until": None, "broker_id": None}
    if fresh:
        values["attempts"] = 0
    try:
        with conn.begin_nested():
            return conn.execute(update(jobs).where(held).values(values)).rowcount == 1
    except IntegrityError:
        return False


def retake(conn: Connection, now: datetime, broker_id: str | None = None) -> int:
    """Queue again what dead brokers ran: leases that ran out, or, with `broker_id`, all that is not this one's."""
    dead = and_(jobs.c.state == RUNNING, or_(jobs.c.lease_until < now, jobs.c.lease_until.is_(None)))
    if broker_id is not None:
        dead = and_(jobs.c.state == RUNNING, jobs.c.broker_id != broker_id)
    count = 0
    for row in conn.execute(select(jobs.c.id, jobs.c.fence).where(dead)).all():
        if run_again(conn, row.id, row.fence, now, "the broker that ran it is gone"):
            count += 1
        else:
            finish(conn, row.id, row.fence, CANCELLED, now, "its like waits already")
    return count


def cancel(conn: Connection, job_id: str, now: datetime) -> bool:
    """Cancel a job that waits."""
    waiting = (jobs.c.id == job_id) & (jobs.c.state == QUEUED)
    return conn.execute(update(jobs).where(waiting).values(state=CANCELLED, finished_at=now)).rowcount == 1


def purge(conn: Connection, before: datetime) -> int:
    """Delete ended jobs that finished before a time."""
    return conn.execute(
        delete(jobs).where(jobs.c.state.in_((DONE, FAILED, CANCELLED)), jobs.c.finished_at < before)
    ).rowcount
