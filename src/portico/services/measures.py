"""What is measured over the whole deployment: numbers only, a fixed number of statements."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from portico.services.broker import Broker
from portico.store import tables as t


@dataclass(frozen=True, slots=True)
class Measure:
    """One number with its labels; `kind` is gauge or counter."""

    name: str
    help: str
    kind: str
    labels: Mapping[str, str]
    value: float


def measure(broker: Broker) -> tuple[Measure, ...]:
    """Return all measures, as the database knows them now."""
    now, found = broker.now(), list[Measure]()
    with broker.db.read() as conn:
        for pool in conn.execute(
            select(t.pools.c.id, t.pools.c.name, t.pools.c.counts).where(t.pools.c.deleted_at.is_(None))
        ):
            for state, number in (pool.counts or {}).items():
                labels = {"pool": pool.name, "pool_id": pool.id, "state": state}
                found.append(Measure("portico_pool_desktops", "Desktops of a pool.", "gauge", labels, number))
        jobs = select(t.jobs.c.kind, t.jobs.c.state, func.count().label("n")).group_by(t.jobs.c.kind, t.jobs.c.state)
        for job in conn.execute(jobs):
            labels = {"kind": job.kind, "state": job.state}
            found.append(Measure("portico_jobs", "Jobs by kind and state.", "gauge", labels, job.n))
        logins = select(t.events.c.code, func.count().label("n")).where(
            t.events.c.code.in_(("login.ok", "login.refused"))
        )
        counts = {row.code: row.n for row in conn.execute(logins.group_by(t.events.c.code))}
        for result in ("ok", "refused"):
            labels, number = {"result": result}, counts.get(f"login.{result}", 0)
            found.append(Measure("portico_logins_total", "Log-ins in the events kept.", "counter", labels, number))
        for gateway in conn.execute(select(t.gateways.c.name, t.gateways.c.load, t.gateways.c.heartbeat_at)):
            labels, sessions = {"gateway": gateway.name}, (gateway.load or {}).get("sessions", 0)
            if isinstance(sessions, int | float):
                found.append(
                    Measure("portico_gateway_sessions", "Sessions that a gateway carries.", "gauge", labels, sessions)
                )
            found += _age("portico_gateway_heartbeat_age_seconds", labels, gateway.heartbeat_at, now)
        live = select(t.brokers.c.id, t.brokers.c.hostname, t.brokers.c.heartbeat_at).where(
            t.brokers.c.stopped_at.is_(None)
        )
        for row in conn.execute(live):
            labels = {"broker": row.id, "hostname": row.hostname}
            found += _age("portico_broker_heartbeat_age_seconds", labels, row.heartbeat_at, now)
    return tuple(found)


def _age(name: str, labels: Mapping[str, str], at: datetime | None, now: datetime) -> list[Measure]:
    if at is None:
        return []
    return [Measure(name, "Time since the last sign of life.", "gauge", labels, max(0.0, (now - at).total_seconds()))]
