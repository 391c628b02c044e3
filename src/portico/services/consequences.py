"""What a change or a deletion would touch, in numbers, before anybody presses the button."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Table, func, select

from portico.domain import pools as pool_rules
from portico.domain.access import Actor
from portico.domain.model import Desktop, Pool, Provisioning, ProvisionLimits, TimeLimit
from portico.domain.provisioning import counted, desktops_to_build, desktops_to_retire
from portico.services import configure, pool_limits
from portico.services.broker import Broker
from portico.services.guards import scope_of
from portico.store import desktops, pools
from portico.store import tables as t
from portico.store.records import adapter

Item = Mapping[str, Any]
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Touched:
    """How many of something a change touches; `what` names it: users, policies, desktops, machines, …"""

    what: str
    number: int


def of_change(broker: Broker, actor: Actor, noun: str, id: str) -> list[Touched]:
    """Return what saving an item touches; nothing for what touches only itself. Raises Denied, NotFound."""
    item = configure.get_item(broker, actor, noun, id)
    return _counted(broker, actor, CHANGES.get(noun), item)


def of_deletion(broker: Broker, actor: Actor, noun: str, id: str) -> list[Touched]:
    """Return what deleting an item takes with it or stands in its way. Raises Denied, NotFound."""
    item = configure.get_item(broker, actor, noun, id)
    return _counted(broker, actor, DELETIONS.get(noun), item)


@dataclass(frozen=True, slots=True)
class Effect:
    """How many desktops saving a pool starts to build at once, and how many it deletes."""

    build: int = 0
    retire: int = 0


def of_provisioning(broker: Broker, actor: Actor, pool_id: str, typed: Item) -> Effect:
    """Return what a pool does at once about limits that are being typed; `pool_id` is "" for a new one.

    Of `typed`, what cannot be read (yet) is left aside. Raises nothing: a preview is a courtesy.
    """
    pool, there = Pool("", actor.tenant_id, ""), list[Desktop]()
    with broker.db.read() as conn:
        if pool_id and (found := pools.get(conn, scope_of(actor), pool_id)) is not None:
            pool, there = found, desktops.list_of_pool(conn, pool_id)
        pool = replace(pool, provisioning=_typed(typed))
        limits = pool_limits.limits_now(broker, conn, pool)
    seen = counted(pool.provisioning, pool_rules.counts(there))
    gone = desktops_to_retire(pool, limits, there)
    return Effect(0 if gone else desktops_to_build(limits, seen), len(gone))


def _typed(typed: Item) -> Provisioning:
    """Return as much of what was typed as decides on sizes."""
    limits = _record(ProvisionLimits, typed.get("limits")) or ProvisionLimits(False)
    found = [_record(TimeLimit, window) for window in typed.get("time_limits") or ()]
    windows = tuple(window for window in found if window is not None)
    return Provisioning(
        limits, time_limits=windows, time_zone=str(typed.get("time_zone") or ""), enforce=bool(typed.get("enforce")),
        count_only_available=bool(typed.get("count_only_available")),
    )  # fmt: skip


def _record(kind: type[Record], typed: Any) -> Record | None:
    try:
        return adapter(kind).validate_python({key: value for key, value in typed.items() if value is not None})
    except (AttributeError, ValueError):
        return None


Counter = Callable[[Connection, Actor, Item], list[Touched]]


def _counted(broker: Broker, actor: Actor, counter: Counter | None, item: Item) -> list[Touched]:
    if counter is None:
        return []
    with broker.db.read() as conn:
        return [touched for touched in counter(conn, actor, item) if touched.number]


def _count(conn: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    there = [table.c.deleted_at.is_(None)] if "deleted_at" in table.c else []
    return conn.scalar(select(func.count()).select_from(table).where(*there, *conditions)) or 0


def _held(conn: Connection, *conditions: ColumnElement[bool]) -> int:
    joined = t.assignments.join(t.desktops, t.desktops.c.id == t.assignments.c.desktop_id)
    query = select(func.count()).select_from(joined).where(t.assignments.c.released_at.is_(None), *conditions)
    return conn.scalar(query) or 0


def _users_of_policy(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    mine, policy = t.users.c.tenant_id == actor.tenant_id, t.users.c.policy_id
    having: Any = policy == item["id"]
    if item["is_default"]:
        having |= policy.is_(None)
    return [Touched("users", _count(conn, t.users, mine, having))]


def _users_of_role(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    return [Touched("users", _count(conn, t.users, t.users.c.role_id == item["id"]))]


def _lines(conn: Connection, field: str, id: str, tenant: str) -> set[str]:
    lines = t.pool_assignments
    rows = conn.execute(select(lines).where(lines.c.tenant_id == tenant, lines.c.deleted_at.is_(None)))
    return {row.policy_id for row in rows if (row.pool_id if field == "pool_id" else row.body.get(field)) == id}


def _policies_of_plan(field: str) -> Counter:
    def count(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
        found = _lines(conn, field, item["id"], actor.tenant_id)
        return [Touched("policies", len(found)), Touched("users", _users_of(conn, actor, found))]

    return count


def _users_of(conn: Connection, actor: Actor, policies: set[str]) -> int:
    """Count the people of policies; those without one of their own have the default one."""
    p = t.policies.c
    default = conn.scalar(select(p.id).where(p.tenant_id == actor.tenant_id, p.is_default, p.deleted_at.is_(None)))
    having: Any = t.users.c.policy_id.in_(policies)
    if default in policies:
        having |= t.users.c.policy_id.is_(None)
    return _count(conn, t.users, t.users.c.tenant_id == actor.tenant_id, having)


def _pool(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    offering = _lines(conn, "pool_id", item["id"], actor.tenant_id)
    members = _count(conn, t.pool_members, t.pool_members.c.pool_id == item["id"])
    return [Touched("policies", len(offering)), Touched("kept desktops", members)]


def _desktop(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    return [
        Touched("machines", 1 if item["external_id"] else 0),
        Touched("floating addresses", 1 if item["public_address"] else 0),
        Touched("holders", _held(conn, t.desktops.c.id == item["id"])),
    ]


def _center(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    here = t.desktops.c.center_id == item["id"]
    return [Touched("desktops", _count(conn, t.desktops, here)), Touched("people at work", _held(conn, here))]


def _user(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    open_here = (t.sessions.c.user_id == item["id"]) & t.sessions.c.ended_at.is_(None)
    return [
        Touched("held desktops", _held(conn, t.assignments.c.user_id == item["id"])),
        Touched("portal sessions", _count(conn, t.sessions, open_here)),
    ]


def _gateway(conn: Connection, actor: Actor, item: Item) -> list[Touched]:
    c = t.connections.c
    return [Touched("connections", _count(conn, t.connections, c.gateway_id == item["id"], c.state == "open"))]


_PLANS: Mapping[str, Counter] = {
    "protocol-plans": _policies_of_plan("protocol_plan_id"),
    "power-plans": _policies_of_plan("power_plan_id"),
    "release-plans": _policies_of_plan("release_plan_id"),
}
CHANGES: Mapping[str, Counter] = {**_PLANS, "policies": _users_of_policy, "roles": _users_of_role}
DELETIONS: Mapping[str, Counter] = {
    **CHANGES, "pools": _pool, "desktops": _desktop, "centers": _center, "users": _user, "gateways": _gateway,
}  # fmt: skip
