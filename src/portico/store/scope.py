"""Whose rows: every store function takes a Scope first. Only jobs and wiring may build System."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, true


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant's rows."""

    id: str


@dataclass(frozen=True, slots=True)
class System:
    """All tenants' rows, for work of the deployment itself; `reason` says which."""

    reason: str


Scope = Tenant | System


def within(scope: Scope, table: Table) -> ColumnElement[bool]:
    """Return the condition that keeps a query inside the scope."""
    if isinstance(scope, Tenant):
        return table.c.tenant_id == scope.id
    return true()
