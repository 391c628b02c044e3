"""The audit trail: written in the same transaction as the change that it tells of."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from portico.store.scope import Scope, within
from portico.store.tables import events

_ADD = insert(events)  # built once


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened. `code` is stable and has a sentence; `params` fill it; `actor` is a login name or "broker"."""

    at: datetime
    code: str
    tenant_id: str | None = None
    actor: str = "broker"
    level: str = "info"
    params: Mapping[str, Any] | None = None
    reason: Mapping[str, Any] | None = None
    user_id: str | None = None
    desktop_id: str | None = None
    pool_id: str | None = None
    center_id: str | None = None
    correlation: str = ""


def add(conn: Connection, *entries: Entry) -> None:
    """Append events."""
    if entries:
        conn.execute(
            _ADD,
            [
                {
                    "at": entry.at,
                    "code": entry.code,
                    "tenant_id": entry.tenant_id,
                    "actor": entry.actor,
                    "level": entry.level,
                    "params": dict(entry.params or {}),
                    "reason": entry.reason,
                    "user_id": entry.user_id,
                    "desktop_id": entry.desktop_id,
                    "pool_id": entry.pool_id,
                    "center_id": entry.center_id,
                    "correlation": entry.correlation,
                }
                for entry in entries
            ],
        )


def list_after(conn: Connection, scope: Scope, after_id: int, limit: int) -> list[Row[Any]]:
    """Return the events with a higher id, oldest first."""
    query = select(events).where(within(scope, events), events.c.id > after_id).order_by(events.c.id).limit(limit)
    return list(conn.execute(query))


def list_params(conn: Connection, pool_id: str, code: str, since: datetime, limit: int = 200) -> list[dict[str, Any]]:
    """Return the params of a pool's last events of one kind: one statement, by index."""
    mine = (events.c.pool_id == pool_id) & (events.c.code == code) & (events.c.at >= since)
    return list(conn.scalars(select(events.c.params).where(mine).order_by(events.c.at.desc()).limit(limit)))


def last_id(conn: Connection) -> int:
    """Return the highest id, 0 when there is none."""
    return conn.scalar(select(events.c.id).order_by(events.c.id.desc()).limit(1)) or 0


def happened(conn: Connection, center_id: str, code: str, correlation: str) -> bool:
    """Tell whether an event of this kind about this thing was noted before."""
    query = select(events.c.id).where(
        events.c.center_id == center_id, events.c.code == code, events.c.correlation == correlation[:40]
    )
    return conn.execute(query.limit(1)).first() is not None
