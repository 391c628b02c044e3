"""What clouds hold for us and no desktop needs, until it is removed, adopted or needed after all."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from portico.store.scope import Scope, within
from portico.store.tables import centers, leaks

OPEN, KEPT, REMOVING = "open", "kept", "removing"
_HERE = leaks.c.deleted_at.is_(None)


def get(conn: Connection, scope: Scope, leak_id: str) -> Row[Any] | None:
    """Return a leak that still is one."""
    return conn.execute(select(leaks).where(within(scope, leaks), leaks.c.id == leak_id, _HERE)).first()


def list_of_center(conn: Connection, center_id: str) -> list[Row[Any]]:
    """Return what is left over in a center."""
    return list(conn.execute(select(leaks).where(leaks.c.center_id == center_id, _HERE)))


def add(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Record leaks. Only work in the center's lane does this, so that none is recorded twice."""
    if rows:
        conn.execute(insert(leaks), [{"state": OPEN, "decided_by": "", "deleted_at": None} | row for row in rows])


def change(conn: Connection, leak_id: str, before: Collection[str], **values: Any) -> bool:
    """Change a leak that is in one of the states `before`. False when it is not, or none any more."""
    here = (leaks.c.id == leak_id) & leaks.c.state.in_(before) & _HERE
    return conn.execute(update(leaks).where(here).values(**values)).rowcount == 1


def seen(conn: Connection, leak_ids: Sequence[str], now: datetime) -> None:
    """Note that these are still there."""
    for start in range(0, len(leak_ids), 500):
        conn.execute(update(leaks).where(leaks.c.id.in_(leak_ids[start : start + 500])).values(seen_at=now))


def end(conn: Connection, leak_ids: Sequence[str], now: datetime) -> None:
    """Note that these are no leaks any more."""
    for start in range(0, len(leak_ids), 500):
        conn.execute(update(leaks).where(leaks.c.id.in_(leak_ids[start : start + 500]), _HERE).values(deleted_at=now))


def count_open(conn: Connection, scope: Scope) -> list[Row[Any]]:
    """Return, by center, how many leaks nobody has decided on: one statement."""
    wanted = (within(scope, leaks), _HERE, leaks.c.state == OPEN, centers.c.deleted_at.is_(None))
    query = select(centers.c.id, centers.c.name, func.count().label("number"))
    joined = query.select_from(leaks.join(centers, centers.c.id == leaks.c.center_id))
    return list(conn.execute(joined.where(*wanted).group_by(centers.c.id, centers.c.name)))
