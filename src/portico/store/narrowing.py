"""Which rows a restricted role reaches: the one place that turns pools and centers into conditions."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, false, or_, select

from portico.domain.access import Reach
from portico.store import tables as t

Narrow = Callable[[Reach], ColumnElement[bool]]


def in_reach(reach: Reach, table: Table) -> ColumnElement[bool]:
    """Return the condition for a table's rows that the reach covers; none of a table that nobody thought of."""
    narrow = _BY_TABLE.get(table.name)
    return narrow(reach) if narrow else false()


def _desktop(reach: Reach) -> ColumnElement[bool]:
    d, members = t.desktops.c, t.pool_members.c
    ids = select(members.desktop_id).where(members.pool_id.in_(reach.pools))
    return or_(d.center_id.in_(reach.centers), d.built_for_pool.in_(reach.pools), d.id.in_(ids))


def _desktops(reach: Reach) -> Select[Any]:
    return select(t.desktops.c.id).where(_desktop(reach))


def _of_desktop(column: ColumnElement[Any]) -> Narrow:
    return lambda reach: column.in_(_desktops(reach))


def _of_center(column: ColumnElement[Any]) -> Narrow:
    return lambda reach: column.in_(reach.centers)


def _event(reach: Reach) -> ColumnElement[bool]:
    """An event is about its desktop, else its pool, else its center; one that names another pool besides is not shown."""
    e = t.events.c
    pool = or_(e.pool_id.is_(None), e.pool_id.in_(reach.pools))
    center = or_(e.center_id.is_(None), e.center_id.in_(reach.centers))
    return or_(
        and_(e.desktop_id.in_(_desktops(reach)), pool, center),
        and_(e.desktop_id.is_(None), e.pool_id.in_(reach.pools), center),
        and_(e.desktop_id.is_(None), e.pool_id.is_(None), e.center_id.in_(reach.centers)),
    )


def _job(reach: Reach) -> ColumnElement[bool]:
    """A job is about what its lane names (domain/jobs.py)."""
    lane, held = t.jobs.c.lane, select("assignment:" + t.assignments.c.id)
    leaks = select("leak:" + t.leaks.c.id).where(t.leaks.c.center_id.in_(reach.centers))
    return or_(
        lane.in_([f"center:{id}" for id in reach.centers]),
        lane.in_([f"pool:{id}" for id in reach.pools]),
        lane.in_(select("desktop:" + t.desktops.c.id).where(_desktop(reach))),
        lane.in_(held.where(t.assignments.c.desktop_id.in_(_desktops(reach)))),
        lane.in_(leaks),
    )


def _connection(reach: Reach) -> ColumnElement[bool]:
    held = select(t.assignments.c.id).where(t.assignments.c.desktop_id.in_(_desktops(reach)))
    return t.connections.c.assignment_id.in_(held)


_BY_TABLE: Mapping[str, Narrow] = MappingProxyType(
    {
        "centers": _of_center(t.centers.c.id),
        "images": _of_center(t.images.c.center_id),
        "leaks": _of_center(t.leaks.c.center_id),
        "pools": lambda reach: t.pools.c.id.in_(reach.pools),
        "desktops": _desktop,
        "assignments": _of_desktop(t.assignments.c.desktop_id),
        "connections": _connection,
        "shadows": _of_desktop(t.shadows.c.desktop_id),
        "recordings": _of_desktop(t.recordings.c.desktop_id),
        "waiting_agents": _of_desktop(t.waiting_agents.c.desktop_id),
        "events": _event,
        "jobs": _job,
    }
)
