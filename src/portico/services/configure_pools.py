"""Pools: their rule, their place in the tree, and how they are built."""

from typing import Any

from sqlalchemy import select

from portico.domain.model import Pool, PoolRule, Provisioning
from portico.domain.pools import check_rule, find_cycle
from portico.services import pool_checks
from portico.services.narrowing import pool_beyond
from portico.services.writing import Write, Writer, missing, unique
from portico.store import tables as t
from portico.store.records import adapter, from_row


class Pools(Writer):
    """Pools, whose rule and provisioning are checked as a whole."""

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the tree, the rule, the limits and what the pool refers to."""
        values, wrong = write.values, unique(write, "name")
        rule, provisioning = values["rule"], values["provisioning"]
        wrong |= {f"rule.{key}": text for key, text in check_rule(adapter(PoolRule).validate_python(rule)).items()}
        found = pool_checks.check(adapter(Provisioning).validate_python(provisioning))
        wrong |= {f"provisioning.{key}": text for key, text in found.items()}
        wrong |= missing(write, t.pools, {"parent_id": values["parent_id"]}, "pool")
        wrong |= missing(write, t.centers, {"provisioning.center_id": provisioning["center_id"]}, "center")
        wrong |= missing(write, t.centers, {f"rule.centers.{i}": id for i, id in enumerate(rule["centers"])}, "center")
        wrong |= missing(
            write, t.desktops, {f"rule.desktops.{i}": id for i, id in enumerate(rule["desktops"])}, "desktop"
        )
        return wrong | ({} if "parent_id" in wrong else _cycle(write) or pool_beyond(write))

    def first(self, write: Write) -> dict[str, Any]:
        """Start the pool's own counters."""
        start = write.values["provisioning"]["sequence_start"]
        return {"next_sequence": start, "build_epoch": 0, "failures_in_row": 0, "stopped_reason": "", "counts": {}}

    def users(self, write: Write) -> list[str]:
        """Name the policies that offer from the pool and the pools below it."""
        lines, policies = t.pool_assignments, t.policies
        offering = select(policies.c.name).join(lines, lines.c.policy_id == policies.c.id).distinct()
        offering = offering.where(
            lines.c.pool_id == write.id, lines.c.deleted_at.is_(None), policies.c.deleted_at.is_(None)
        )
        below = [row.name for row in _all(write) if row.body.get("parent_id") == write.id]
        return [*(f"policy {name}" for name in write.conn.scalars(offering)), *(f"pool {name}" for name in below)]


def _all(write: Write) -> list[Any]:
    mine = select(t.pools).where(t.pools.c.tenant_id == write.actor.tenant_id, t.pools.c.deleted_at.is_(None))
    return list(write.conn.execute(mine))


def _cycle(write: Write) -> dict[str, str]:
    pools = {row.id: from_row(Pool, row) for row in _all(write)}
    parent = write.values["parent_id"]
    pools[write.id] = Pool(write.id, write.actor.tenant_id, str(write.values["name"]), parent_id=parent)
    ring = find_cycle(pools)
    if not ring or write.id not in ring:
        return {}
    names = " → ".join(pools[id].name for id in ring if id in pools)
    return {"parent_id": f"A pool cannot be below itself ({names}). Choose another parent."}
