"""Policies with their lines, and the plans that the lines name."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from portico.domain import templates
from portico.domain.model import Policy, PoolAssignment
from portico.domain.protocol_plan import WATERMARK_TAGS
from portico.domain.tags import unknown
from portico.errors import Conflict
from portico.services.configure_people import naming_directories
from portico.services.nouns import Noun
from portico.services.writing import Write, Writer, missing, no_group, unique
from portico.store import tables as t
from portico.store.records import adapter, from_row, pool_assignment

_PLANS = {
    "protocol_plan_id": (t.protocol_plans, "protocol plan"),
    "power_plan_id": (t.power_plans, "power plan"),
    "release_plan_id": (t.release_plans, "release plan"),
}
_COLUMNS = ("id", "pool_id", "position")
_NOT_SHOWN = ("tenant_id", "policy_id", "version")


class Policies(Writer):
    """Policies are written as a whole: the lines that are no longer there are deleted, the others keep their ids."""

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form with its lines, so that they stay when they are not sent."""
        lines = [
            {key: value for key, value in line.items() if key != "position"}
            for line in lines_of(conn, [row.id])[row.id]
        ]
        return {"name": row.name, **row.body, "is_default": row.is_default, "assignments": lines}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the one default policy and what each line refers to."""
        lines, wrong = write.values["assignments"], unique(write, "name")
        if write.old is not None and write.old.is_default and not write.values["is_default"]:
            wrong["is_default"] = "One policy must be the default. Make another one the default instead."
        wrong |= missing(write, t.radius_servers, {"radius_id": write.values["radius_id"]}, "entry of RADIUS servers")
        path = "assignments.{}.{}".format
        wrong |= missing(write, t.pools, {path(i, "pool_id"): line["pool_id"] for i, line in enumerate(lines)}, "pool")
        for name, (table, what) in _PLANS.items():
            wrong |= missing(write, table, {path(i, name): line[name] for i, line in enumerate(lines)}, what)
        known = {row.id for row in _lines(write)} if write.old is not None else set()
        seen: set[str] = set()
        for i, line in enumerate(lines):
            if line["id"] and (line["id"] not in known or line["id"] in seen):
                wrong[path(i, "id")] = "This policy has no such line. Leave the id out to add a new one."
            seen.add(line["id"] or "")
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Keep the lines and the default mark out of the body: they have a place of their own."""
        body = {key: value for key, value in write.values.items() if key not in ("name", "is_default", "assignments")}
        return {"name": write.values["name"], "body": body, "is_default": write.values["is_default"]}

    def after(self, write: Write) -> dict[str, Any]:
        """Write the lines, and take the default mark from the policy that had it."""
        if write.values["is_default"]:
            mine = (t.policies.c.tenant_id == write.actor.tenant_id) & (t.policies.c.id != write.id)
            write.conn.execute(update(t.policies).where(mine, t.policies.c.is_default).values(is_default=False))
        kept = {row.id for row in _lines(write)}
        wanted = [line["id"] for line in write.values["assignments"] if line["id"]]
        gone = kept - set(wanted)
        lines = t.pool_assignments
        if gone:
            write.conn.execute(update(lines).where(lines.c.id.in_(gone)).values(deleted_at=write.broker.now()))
        for position, line in enumerate(write.values["assignments"]):
            values = {
                "pool_id": line["pool_id"],
                "position": position,
                "body": {key: value for key, value in line.items() if key not in _COLUMNS},
            }
            if line["id"]:
                write.conn.execute(update(lines).where(lines.c.id == line["id"]).values(**values))
            else:
                ids = {"id": write.broker.new_id(), "tenant_id": write.actor.tenant_id, "policy_id": write.id}
                write.conn.execute(insert(lines).values(**ids, **values))
        return {}

    def users(self, write: Write) -> list[str]:
        """Name the people who have the policy. Raises Conflict for the default one."""
        if write.old.is_default:
            raise Conflict("The default policy cannot be deleted. Make another one the default first.")
        named = select(t.users.c.login_name).where(t.users.c.policy_id == write.id, t.users.c.deleted_at.is_(None))
        people = [f"user {name}" for name in write.conn.scalars(named.limit(20))]
        return people + naming_directories(write, "policy_id")

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Add the lines of all policies in one statement."""
        by_policy = lines_of(conn, [row.id for row in rows])
        return {row.id: _policy(row) | {"assignments": by_policy[row.id]} for row in rows}


class Plans(Writer):
    """Protocol, power and release plans."""

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, and the tags of a watermark."""
        wrong = unique(write, "name")
        if tags := unknown(str(write.values.get("watermark", "")), WATERMARK_TAGS):
            wrong["watermark"] = f"There is no tag {tags[0]}. Use {templates.shown(WATERMARK_TAGS)}."
        return wrong | no_group(write, "gateway_group_id")

    def users(self, write: Write) -> list[str]:
        """Name the policies whose lines use the plan."""
        column = write.noun.name.replace("-", "_").removesuffix("s") + "_id"
        lines, policies = t.pool_assignments, t.policies
        joined = select(policies.c.name, lines.c.body).join(lines, lines.c.policy_id == policies.c.id)
        there = joined.where(
            policies.c.tenant_id == write.actor.tenant_id, policies.c.deleted_at.is_(None), lines.c.deleted_at.is_(None)
        )
        names = {row.name for row in write.conn.execute(there) if row.body.get(column) == write.id}
        return [f"policy {name}" for name in sorted(names)]


def lines_of(conn: Connection, policy_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the lines of policies in their order, in one statement."""
    lines = t.pool_assignments
    there = lines.c.policy_id.in_(policy_ids) & lines.c.deleted_at.is_(None)
    found: dict[str, list[dict[str, Any]]] = {id: [] for id in policy_ids}
    for line in conn.execute(select(lines).where(there).order_by(lines.c.position)):
        shown = adapter(PoolAssignment).dump_python(pool_assignment(line), mode="json")
        found[line.policy_id].append({key: value for key, value in shown.items() if key not in _NOT_SHOWN})
    return found


def _lines(write: Write) -> list[Any]:
    lines = t.pool_assignments
    return list(write.conn.execute(select(lines).where(lines.c.policy_id == write.id, lines.c.deleted_at.is_(None))))


def _policy(row: Any) -> dict[str, Any]:
    shown = adapter(Policy).dump_python(from_row(Policy, row), mode="json")
    return {key: value for key, value in shown.items() if key not in row._mapping and key != "tenant_id"}
