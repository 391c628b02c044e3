"""One machine in two centers, which happens when both are of one project: the older row counts, the other is a duplicate."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, or_, select

from portico.domain.model import Status
from portico.store.centers import Center
from portico.store.tables import centers, desktops

_twin = desktops.alias("twin")


def list_others(conn: Connection, center: Center) -> list[str]:
    """Return the tenant's other centers of the same kind."""
    c = centers.c
    others = select(c.id).where(c.tenant_id == center.tenant_id, c.kind == center.kind, c.id != center.id)
    return list(conn.scalars(others.where(c.deleted_at.is_(None))))


def list_living(
    conn: Connection, others: Sequence[str], machines: Sequence[str], tags: Sequence[str]
) -> list[Row[Any]]:
    """Return (id, external_id) of living desktops of other centers that these machines, or these tags, are."""
    found: list[Row[Any]] = []
    living = and_(desktops.c.center_id.in_(others), desktops.c.deleted_at.is_(None))
    for column, wanted in ((desktops.c.external_id, machines), (desktops.c.id, tags)):
        for start in range(0, len(wanted), 500):
            query = select(desktops.c.id, desktops.c.external_id)
            found += conn.execute(query.where(living, column.in_(wanted[start : start + 500])))
    return found


def _has_older(others: Sequence[str]) -> ColumnElement[bool]:
    """Build the condition that a living row of another center has the same machine, and had it first."""
    same = and_(_twin.c.center_id.in_(others), _twin.c.external_id == desktops.c.external_id)
    counts = and_(_twin.c.deleted_at.is_(None), _twin.c.status != str(Status.DUPLICATE))
    first = or_(
        _twin.c.created_at < desktops.c.created_at,
        and_(_twin.c.created_at == desktops.c.created_at, _twin.c.id < desktops.c.id),
    )
    return exists(select(1).where(same, counts, first))


def list_new(conn: Connection, center_id: str, others: Sequence[str]) -> list[Row[Any]]:
    """Return the rows of a center that nobody uses and that turn out to be duplicates."""
    free = and_(
        desktops.c.center_id == center_id, desktops.c.deleted_at.is_(None), desktops.c.used_seats == 0,
        desktops.c.status != str(Status.DUPLICATE),
    )  # fmt: skip
    return list(conn.execute(select(desktops).where(free, _has_older(others))))


def list_single(conn: Connection, center_id: str, others: Sequence[str]) -> list[Row[Any]]:
    """Return the duplicates of a center whose older twin is no more."""
    marked = and_(
        desktops.c.center_id == center_id, desktops.c.deleted_at.is_(None), desktops.c.status == str(Status.DUPLICATE)
    )
    counts = and_(
        _twin.c.center_id.in_(others), _twin.c.external_id == desktops.c.external_id, _twin.c.deleted_at.is_(None),
        _twin.c.status != str(Status.DUPLICATE),
    )  # fmt: skip
    return list(conn.execute(select(desktops).where(marked, ~exists(select(1).where(counts)))))
