"""Putting jobs into the queue, in the transaction of the change that wants them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.jobs import lane, waiting_key
from portico.domain.model import Reason
from portico.services.broker import Broker
from portico.store import jobs


def enqueue(
    broker: Broker,
    conn: Connection,
    kind: str,
    payload: Mapping[str, Any],
    *,
    tenant_id: str | None = None,
    run_at: datetime | None = None,
    reason: Reason | None = None,
) -> str:
    """Queue a job and return its id; while its like waits, that one serves."""
    now = broker.now()
    job = jobs.NewJob(
        id=broker.new_id(),
        kind=kind,
        payload=payload,
        lane=lane(kind, payload),
        waiting_key=waiting_key(kind, payload),
        run_at=run_at or now,
        tenant_id=tenant_id,
        reason=as_json(reason) if reason else None,
    )
    jobs.put(conn, job, now)
    return job.id
