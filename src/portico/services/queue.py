"""What an administrator may do with the work queue: cancel what waits, try again what failed."""

from typing import Any

from sqlalchemy import Connection

from portico.domain.access import Actor, Level
from portico.domain.jobs import KINDS, from_json
from portico.errors import Conflict, NotFound
from portico.services.broker import Broker
from portico.services.guards import require, scope_of
from portico.services.queueing import enqueue
from portico.store import events, jobs


def cancel(broker: Broker, actor: Actor, job_id: str) -> None:
    """Cancel a job that waits. Raises Conflict when it runs or has ended."""
    require(actor, "jobs", Level.EDIT, narrowed=True)
    with broker.db.write() as conn:
        row = _job(conn, actor, job_id)
        if not jobs.cancel(conn, job_id, broker.now()):
            raise Conflict("Only a job that waits can be cancelled; this one is " + row.state + ".")
        _note(broker, conn, actor, row, "job.cancelled")


def retry(broker: Broker, actor: Actor, job_id: str) -> None:
    """Queue a failed or cancelled job again. Raises Conflict when it waits, runs or is done."""
    require(actor, "jobs", Level.EDIT, narrowed=True)
    with broker.db.write() as conn:
        row = _job(conn, actor, job_id)
        if row.state not in (jobs.FAILED, jobs.CANCELLED) or row.kind not in KINDS:
            raise Conflict("Only a job that failed or was cancelled can be tried again.")
        enqueue(broker, conn, row.kind, from_json(row.kind, row.payload), tenant_id=row.tenant_id)
        _note(broker, conn, actor, row, "job.retried")


def _job(conn: Connection, actor: Actor, job_id: str) -> Any:
    row = jobs.get(conn, scope_of(actor), job_id)
    if row is None:
        raise NotFound("There is no such job.")
    return row


def _note(broker: Broker, conn: Connection, actor: Actor, row: Any, code: str) -> None:
    params = {"kind": row.kind, "job": row.id}
    events.add(conn, events.Entry(broker.now(), code, actor.tenant_id, actor.login_name, params=params))
