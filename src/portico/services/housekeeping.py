"""Keeping house: counts and history of pools, purging what is old, health."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from portico.domain import pools as pool_rules
from portico.services import idempotency, provision, recordings
from portico.services.broker import Broker
from portico.services.configure_settings import value_of
from portico.store import (
    clients,
    desktops,
    directories,
    fleet,
    founding,
    jobs,
    outbox,
    pools,
    purging,
    radius,
    users,
    waiting,
)
from portico.store.scope import System

JOB_DAYS = 7
WAITING_DAYS = 1  # an agent that waits asks every half a minute; one that is silent for a day is no more
_SCOPE = System("housekeeping")


@dataclass(frozen=True, slots=True)
class Health:
    """Whether this broker can serve, and each part that it depends on in a word."""

    ok: bool
    parts: Mapping[str, str]


def pool_stats(broker: Broker, pool_id: str) -> None:
    """Refresh a pool's counts and start building what it lacks."""
    provision.refill(broker, pool_id)


def pool_history(broker: Broker, pool_id: str) -> None:
    """Append a pool's counts to its history, and see to its limits."""
    now = broker.now()
    with broker.db.read() as conn:
        counts = pool_rules.counts(desktops.list_of_pool(conn, pool_id))
    with broker.db.write() as conn:
        pools.add_history(conn, pool_id, now, asdict(counts))
    provision.refill(broker, pool_id)


def purge(broker: Broker) -> dict[str, int]:
    """Remove what is older than each tenant's log retention and referenced by nothing; returns how much of each."""
    now = broker.now()
    removed: Counter[str] = Counter()
    with broker.db.read() as conn:
        tenants = founding.list_tenants(conn)
        days = {tenant_id: int(value_of(conn, tenant_id, "logs.days")) for tenant_id in tenants}
        known = {tenant_id: int(value_of(conn, tenant_id, "clients.days")) for tenant_id in tenants}
        watched = {tenant_id: int(value_of(conn, tenant_id, "recordings.days")) for tenant_id in tenants}
    with broker.db.write() as conn:
        removed.update(purging.purge_common(conn, now - timedelta(days=max(days.values(), default=0)), now))
        removed["jobs"] = jobs.purge(conn, now - timedelta(days=JOB_DAYS))
        removed["messages"] = outbox.purge(conn, now)
        removed["attempts"] = users.purge_attempts(conn, now - timedelta(days=2))
        removed["waiting log-ins"] = directories.purge(conn, now - timedelta(days=1))
        removed["answers of providers"] = directories.forget_answers(conn, now - timedelta(hours=1))
        removed["RADIUS tries"] = radius.purge(conn, now - timedelta(days=1))
        removed["waiting agents"] = waiting.purge(conn, now - timedelta(days=WAITING_DAYS))
        removed["idempotency"] = idempotency.purge(conn, now)
    for tenant_id, kept in days.items():
        with broker.db.write() as conn:
            removed.update(purging.purge(conn, tenant_id, now - timedelta(days=kept)))
            removed["clients"] += clients.purge(conn, tenant_id, now - timedelta(days=known[tenant_id]))
        removed["recordings"] += recordings.purge(broker, tenant_id, watched[tenant_id])
    recordings.sweep(broker)
    return dict(removed)


def beat(broker: Broker) -> None:
    """Give a sign of life, and learn the database's time."""
    broker.db.learn_time()
    with broker.db.write() as conn:
        fleet.beat(conn, broker.id, broker.now())


def health(broker: Broker) -> Health:
    """Look whether this broker can serve people now."""
    parts = {}
    try:
        with broker.db.read() as conn:
            conn.execute(text("SELECT 1"))
            parts["database"] = "ok"
            alive = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=30))
            parts["gateways"] = "ok" if alive else "none in service"
        if known := broker.snapshots.get().directories:
            down = [known[one].name for one in broker.gates.down() if one in known]
            parts["directories"] = f"no answer from {', '.join(sorted(down))}" if down else "ok"
        if asked := broker.snapshots.get().radius_servers:
            down = [asked[one].name for one in broker.gates.down() if one in asked]
            parts["RADIUS servers"] = f"no answer from {', '.join(sorted(down))}" if down else "ok"
    except SQLAlchemyError as problem:
        parts["database"] = f"does not answer ({type(problem).__name__})"
    return Health(parts["database"] == "ok", parts)
