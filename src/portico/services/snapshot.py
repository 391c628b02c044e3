"""What administrators configure, as every broker keeps it in memory: read again when its version number moves."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Table, select

from portico.domain.directories import DirectoryRecord
from portico.domain.gateways import GatewayGroup
from portico.domain.locations import Location, locate
from portico.domain.model import Client, Policy, Pool, PoolAssignment, PowerPlan, ProtocolPlan, ReleasePlan, Role
from portico.domain.second_factors import RadiusServers
from portico.domain.tenants import Tenant
from portico.store import records, tables
from portico.store.engine import Database

CONFIGURATION = "configuration"
LOOK_SECONDS = 1.0  # how old a snapshot may be before its version is looked at


@dataclass(frozen=True)
class Snapshot:
    """The configuration at one version, over all tenants; ids are unique, so maps go by id."""

    version: int = -1
    roles: Mapping[str, Role] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)
    pool_assignments: Mapping[str, PoolAssignment] = field(default_factory=dict)
    protocol_plans: Mapping[str, ProtocolPlan] = field(default_factory=dict)
    power_plans: Mapping[str, PowerPlan] = field(default_factory=dict)
    release_plans: Mapping[str, ReleasePlan] = field(default_factory=dict)
    locations: Mapping[str, Location] = field(default_factory=dict)
    gateway_groups: Mapping[str, GatewayGroup] = field(default_factory=dict)
    directories: Mapping[str, DirectoryRecord] = field(default_factory=dict)
    radius_servers: Mapping[str, RadiusServers] = field(default_factory=dict)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)  # the oldest one first: the common log-in page is its
    default_policy: Mapping[str, str] = field(default_factory=dict)  # tenant → policy id

    def policy_of(self, tenant_id: str, policy_id: str | None) -> Policy:
        """Return a user's policy, or the tenant's default one."""
        return self.policies.get(policy_id or "") or self.policies[self.default_policy[tenant_id]]

    @property
    def home(self) -> str:
        """The tenant whose people need not say whose they are."""
        return next(iter(self.tenants), "")

    def location_of(self, tenant_id: str, client: Client) -> Location | None:
        """Return where a client of a tenant's is."""
        return locate(client, (one for one in self.locations.values() if one.tenant_id == tenant_id))

    def release_plan(self, plan_id: str | None, tenant_id: str) -> ReleasePlan:
        """Return a release plan, or the one that holds where none was chosen."""
        return self.release_plans.get(plan_id or "") or ReleasePlan("", tenant_id, "Default")

    def power_plan(self, plan_id: str | None, tenant_id: str) -> PowerPlan:
        """Return a power plan, or the one that holds where none was chosen."""
        return self.power_plans.get(plan_id or "") or PowerPlan("", tenant_id, "Default")

    def protocol_plan(self, plan_id: str | None, tenant_id: str) -> ProtocolPlan:
        """Return a protocol plan, or the one that holds where none was chosen."""
        return self.protocol_plans.get(plan_id or "") or ProtocolPlan("", tenant_id, "Default")


class SnapshotHolder:
    """Keeps the newest snapshot of a broker."""

    def __init__(self, db: Database) -> None:
        """Start with nothing; the first look reads."""
        self._db = db
        self._lock = threading.Lock()
        self._snapshot = Snapshot()
        self._looked = float("-inf")

    def get(self, *, fresh: bool = False) -> Snapshot:
        """Return the configuration, at most a second old; with `fresh`, as it is now."""
        if not fresh and time.monotonic() - self._looked < LOOK_SECONDS:
            return self._snapshot
        with self._lock:
            if fresh or time.monotonic() - self._looked >= LOOK_SECONDS:
                with self._db.aside() as conn:
                    self._look(conn)
            return self._snapshot

    def expire(self) -> None:
        """Let the next look ask whether the configuration has changed."""
        with self._lock:
            self._looked = float("-inf")

    def _look(self, conn: Connection) -> None:
        looked = time.monotonic()
        number = conn.scalar(select(tables.versions.c.number).where(tables.versions.c.name == CONFIGURATION)) or 0
        if number != self._snapshot.version:
            self._snapshot = load(conn, number)
        self._looked = looked


def load(conn: Connection, version: int) -> Snapshot:
    """Read the whole configuration."""
    assigned = {
        row.id: records.pool_assignment(row)
        for row in conn.execute(
            select(tables.pool_assignments)
            .where(tables.pool_assignments.c.deleted_at.is_(None))
            .order_by(tables.pool_assignments.c.position, tables.pool_assignments.c.id)
        )
    }
    by_policy: dict[str, list[PoolAssignment]] = {}
    for item in assigned.values():
        by_policy.setdefault(item.policy_id, []).append(item)
    policies = {
        key: replace(policy, assignments=tuple(by_policy.get(key, ())))
        for key, policy in _all(conn, tables.policies, Policy).items()
    }
    return Snapshot(
        version=version,
        roles=_all(conn, tables.roles, Role),
        policies=MappingProxyType(policies),
        pools=_all(conn, tables.pools, Pool),
        pool_assignments=MappingProxyType(assigned),
        protocol_plans=_all(conn, tables.protocol_plans, ProtocolPlan),
        power_plans=_all(conn, tables.power_plans, PowerPlan),
        release_plans=_all(conn, tables.release_plans, ReleasePlan),
        locations=_all(conn, tables.locations, Location),
        gateway_groups=_all(conn, tables.gateway_groups, GatewayGroup),
        directories=_all(conn, tables.directories, DirectoryRecord),
        radius_servers=_all(conn, tables.radius_servers, RadiusServers),
        tenants=_tenants(conn),
        default_policy={policy.tenant_id: policy.id for policy in policies.values() if policy.is_default},
    )


def _tenants(conn: Connection) -> Mapping[str, Tenant]:
    rows = conn.execute(select(tables.tenants).order_by(tables.tenants.c.created_at, tables.tenants.c.id))
    return MappingProxyType({row.id: Tenant(row.id, row.name, row.path or "", tuple(row.hosts or ())) for row in rows})


def _all(conn: Connection, table: Table, record: type[Any]) -> Mapping[str, Any]:
    rows = conn.execute(select(table).where(table.c.deleted_at.is_(None)) if "deleted_at" in table.c else select(table))
    return MappingProxyType({row.id: records.from_row(record, row) for row in rows})
