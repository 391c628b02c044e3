"""The change feed: what pages that are open are told, filtered by tenant and role before it is sent."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from portico.domain.access import Actor, may
from portico.services.broker import Broker
from portico.services.guards import scope_of
from portico.store import events
from portico.store.scope import System


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event, as streams and lists show it."""

    id: int
    at: datetime
    level: str
    code: str
    params: Mapping[str, Any]
    reason: Mapping[str, Any] | None
    actor: str
    tenant_id: str | None
    user_id: str | None
    desktop_id: str | None
    pool_id: str | None
    center_id: str | None


_FIELDS = tuple(EventLine.__dataclass_fields__)


def feed(broker: Broker, actor: Actor, after_id: int, limit: int = 200) -> list[EventLine]:
    """Return the tenant's newer events, oldest first; who may not view events gets those about himself."""
    with broker.db.read() as conn:
        rows = events.list_after(conn, scope_of(actor), after_id, limit)
    lines = [EventLine(**{name: row._mapping[name] for name in _FIELDS}) for row in rows]
    return [line for line in lines if may_see(actor, line)]


def may_see(actor: Actor, line: EventLine) -> bool:
    """Tell whether an event may be sent to the actor."""
    if line.tenant_id != actor.tenant_id:
        return False
    return may(actor, "events") or line.user_id == actor.user_id


def all_after(broker: Broker, after_id: int, limit: int = 500) -> list[EventLine]:
    """Return newer events of all tenants, for the one feed that a broker's open pages share; filter with `may_see`."""
    with broker.db.read() as conn:
        rows = events.list_after(conn, System("change feed"), after_id, limit)
    return [EventLine(**{name: row._mapping[name] for name in _FIELDS}) for row in rows]


def last_id(broker: Broker) -> int:
    """Return the number of the newest event."""
    with broker.db.read() as conn:
        return events.last_id(conn)
