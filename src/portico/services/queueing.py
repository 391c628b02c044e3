"""Putting jobs into the queue, in the transaction of the change that wants them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.jobs import KINDS, Payload, lane, to_json, waiting_key
from portico.domain.model import Reason
from portico.services.broker import Broker
from portico.store import jobs


@dataclass(frozen=True, slots=True)
class When:
    """When a job is to run (None: now), and why it is wanted."""

    at: datetime | None = None
    why: Reason | None = None


NOW = When()


def enqueue(
    broker: Broker,
    conn: Connection,
    kind: str,
    payload: Payload,
    *,
    tenant_id: str | None = None,
    when: When = NOW,
) -> str:
    """Queue a job and return its id; while its like waits, that one serves and its id is returned."""
    now = broker.now()
    job = jobs.NewJob(
        id=broker.new_id(),
        kind=kind,
        payload=to_json(payload),
        lane=lane(kind, payload),
        waiting_key=waiting_key(kind, payload),
        run_at=when.at or now,
        tenant_id=tenant_id,
        version=KINDS[kind].version,
        reason=as_json(when.why) if when.why else None,
    )
    return jobs.put(conn, job, now)
