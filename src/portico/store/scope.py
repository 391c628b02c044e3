"""Whose rows: every store function takes a Scope first. Only jobs and wiring may build System."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, true

from portico.domain.access import Reach
from portico.store.narrowing import in_reach


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's rows; with a reach, only those that a restricted role handles."""

    id: str
    reach: Reach | None = None


@dataclass(frozen=True, slots=True)
class System:
    """All tenants' rows, for work of the deployment itself; `reason` says which."""

    reason: str


Scope = Tenant | System


def within(scope: Scope, table: Table) -> ColumnElement[bool]:
    """Return the condition that keeps a query inside the scope."""
    if isinstance(scope, Tenant):
        mine = table.c.tenant_id == scope.id
        return mine if scope.reach is None else and_(mine, in_reach(scope.reach, table))
    return true()
