"""The limits of a pool at this moment: its own, or those of a window of time by the pool's or the tenant's clock."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from portico.domain.access import Actor
from portico.domain.model import Pool, ProvisionLimits
from portico.domain.windows import Change, limits_at, next_change
from portico.errors import NotFound
from portico.services.broker import Broker
from portico.services.configure_settings import value_of
from portico.services.guards import require, scope_of
from portico.store import pools


def zone_of(conn: Connection, tenant_id: str, name: str) -> tzinfo:
    """Return a time zone by its name, the tenant's for an empty one; UTC where this machine does not know it."""
    try:
        return ZoneInfo(name or str(value_of(conn, tenant_id, "time.zone")))
    except (KeyError, OSError, ValueError):
        return UTC


def limits_now(broker: Broker, conn: Connection, pool: Pool) -> ProvisionLimits:
    """Return the limits that hold now."""
    wanted = pool.provisioning
    if not wanted.time_limits:
        return wanted.limits
    return limits_at(wanted, broker.now(), zone_of(conn, pool.tenant_id, wanted.time_zone))


def change_of(broker: Broker, conn: Connection, pool: Pool) -> Change | None:
    """Return when other limits hold next; None where they stay as they are for a week."""
    wanted = pool.provisioning
    if not wanted.time_limits:
        return None
    return next_change(wanted, broker.now(), zone_of(conn, pool.tenant_id, wanted.time_zone))


def outlook(broker: Broker, actor: Actor, pool_id: str) -> tuple[ProvisionLimits, Change | None]:
    """Return the limits that hold now and when others do, for whoever may see pools. Raises Denied, NotFound."""
    require(actor, "pools", narrowed=True)
    with broker.db.read() as conn:
        pool = pools.get(conn, scope_of(actor), pool_id)
        if pool is None:
            raise NotFound("There is no such pool. Perhaps it was deleted.")
        return limits_now(broker, conn, pool), change_of(broker, conn, pool)
