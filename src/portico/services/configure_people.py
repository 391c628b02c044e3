"""Users, roles and tenants. Nobody gives away, or takes over, more than they have themselves."""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from portico.domain import explain
from portico.domain.access import AREAS, Actor, Level, reaches_beyond
from portico.domain.directories import LOCAL
from portico.domain.login import check_password_policy, split_name
from portico.domain.model import Role
from portico.errors import Conflict, Denied
from portico.services.broker import Broker
from portico.services.narrowing import restriction
from portico.services.writing import Write, Writer, missing, unique
from portico.store import sessions
from portico.store import tables as t
from portico.store.records import adapter, from_row

_PATH = re.compile(r"[a-z0-9][a-z0-9-]{0,38}")
_HOST = re.compile(r"[a-z0-9.-]{1,253}")
GENERATED_BYTES = 12  # 96 bits, 16 characters


class Users(Writer):
    """Local users, and service accounts."""

    def prepare(self, broker: Broker, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """Hash the password, which takes long, before the transaction; make one for a new user without."""
        typed = fields.get("password")
        if isinstance(typed, str) and typed:
            if len(typed) > 1024 or check_password_policy(typed, str(fields.get("login_name", ""))):
                return {}  # It will not do: check() says so.
            return {"hash": broker.hasher.hash(typed), "generated": False}
        if not new:
            return {}
        if fields.get("service") is True:  # nobody knows the password
            return {"hash": broker.hasher.hash(secrets.token_urlsafe(32)), "generated": False}
        made = secrets.token_urlsafe(GENERATED_BYTES)
        return {"hash": broker.hasher.hash(made), "generated": True, "answer": {"generated_password": made}}

    def form_values(self, conn: Any, row: Any) -> dict[str, Any]:
        """Return the form, without a password."""
        return {
            name: row._mapping[name]
            for name in (
                "login_name",
                "display_name",
                "email",
                "role_id",
                "policy_id",
                "disabled",
                "must_change_password",
            )
        } | {"service": bool(row.service)}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name over all tenants (people log in without naming theirs), the password, role and policy."""
        values = write.values
        name = split_name(str(values["login_name"]))[0]
        taken = select(t.users.c.id).where(
            t.users.c.login_name == name,
            t.users.c.directory == LOCAL,
            t.users.c.id != write.id,
            t.users.c.deleted_at.is_(None),
        )
        if write.old is not None and write.old.directory != LOCAL:
            return _refuse_directory(write)
        wrong = missing(write, t.roles, {"role_id": values["role_id"]}, "role")
        wrong |= missing(write, t.policies, {"policy_id": values["policy_id"]}, "policy")
        if not name or any(letter in "\\@ " for letter in str(values["login_name"])):
            wrong["login_name"] = "Give a name without spaces, @ and backslash."
        elif write.conn.scalar(taken.limit(1)):
            wrong["login_name"] = "This name is taken. Choose another one."
        wrong |= _refuse_service(write)
        if values["password"]:
            reason = check_password_policy(values["password"], name)
            if reason:
                message, filling = explain.sentence(reason)
                wrong["password"] = f"{message} {explain.remedy(reason.code)}" % filling
        if write.old is not None and write.old.id == write.actor.user_id and values["disabled"]:
            wrong["disabled"] = "You cannot lock yourself out. Ask another administrator."
        if not wrong:
            refuse_stronger(write, {values["role_id"], write.old.role_id if write.old is not None else ""})
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Fold the name; change the password only when one was typed."""
        values = {key: value for key, value in write.values.items() if key != "password"}
        values["login_name"] = split_name(str(values["login_name"]))[0]
        if "hash" in write.ready:
            values["password_hash"] = write.ready["hash"]
            values |= {"failed": 0, "locked_until": None, "last_failed_at": None}
            values["must_change_password"] = values["must_change_password"] or write.ready["generated"]
        return values

    def first(self, write: Write) -> dict[str, Any]:
        """Begin as a local user who has never failed."""
        return {"directory": "local", "failed": 0, "preferences": {}}

    def after(self, write: Write) -> dict[str, Any]:
        """End the sessions of whoever may no longer be in, or has a new password."""
        if write.old is not None and (write.values["disabled"] or "hash" in write.ready):
            keep = write.actor.session_id if write.id == write.actor.user_id else None
            sessions.end_all(write.conn, write.id, write.broker.now(), "changed by administrator", keep)
        return super().after(write)

    def users(self, write: Write) -> list[str]:
        """Name the desktops that the person still has."""
        if write.id == write.actor.user_id:
            raise Conflict("You cannot delete yourself. Ask another administrator.")
        refuse_stronger(write, {write.old.role_id})
        held = select(t.desktops.c.name).join(t.assignments, t.assignments.c.desktop_id == t.desktops.c.id)
        held = held.where(t.assignments.c.user_id == write.id, t.assignments.c.released_at.is_(None))
        return [f"desktop {name}" for name in write.conn.scalars(held)]

    def delete(self, write: Write) -> dict[str, Any]:
        """End the sessions and revoke the tokens with the user."""
        now, tokens = write.broker.now(), t.api_tokens
        ended = sessions.end_all(write.conn, write.id, now, "user deleted")
        live = (tokens.c.user_id == write.id) & tokens.c.revoked_at.is_(None)
        revoked = write.conn.execute(update(tokens).where(live).values(revoked_at=now)).rowcount
        return super().delete(write) | {"sessions": ended, "tokens": revoked}


def _refuse_service(write: Write) -> dict[str, str]:
    """Refuse what makes no sense of a program: a password, and to become a person, or a person a program."""
    values, was = write.values, bool(write.old.service) if write.old is not None else None
    wrong = {}
    if was is not None and values["service"] is not was:
        wrong["service"] = "It stays what it is. Make another account instead."
    if values["service"] and values["password"]:
        wrong["password"] = "A service account has none: it has tokens."  # noqa: S105 - a sentence
    if values["service"] and values["must_change_password"]:
        wrong["must_change_password"] = "A service account has no password."  # noqa: S105 - a sentence
    return wrong


def _refuse_directory(write: Write) -> dict[str, str]:
    """Refuse to change by hand what a directory and its rules say anew at each log-in."""
    old, values = write.old, write.values
    mine = ("login_name", "display_name", "email", "role_id", "policy_id", "must_change_password")
    wrong = {name: "The directory says this." for name in mine if values[name] != getattr(old, name)}
    if values["password"]:
        wrong["password"] = "It is changed in the directory."  # noqa: S105 - a sentence
    if old.id == write.actor.user_id and values["disabled"]:
        wrong["disabled"] = "You cannot lock yourself out. Ask another administrator."
    if not wrong:
        refuse_stronger(write, {old.role_id})
    return wrong


class Roles(Writer):
    """Roles."""

    def check(self, write: Write) -> dict[str, str]:
        """Check the name and the areas; raises Denied for areas beyond the actor's own."""
        areas, wrong = write.values["areas"], unique(write, "name")
        for area, level in areas.items():
            if area not in AREAS:
                wrong[f"areas.{area}"] = f"Choose one of {', '.join(AREAS)}."
            elif level not in tuple(Level):
                wrong[f"areas.{area}"] = 'Choose "view" or "edit".'
        wrong |= missing(write, t.radius_servers, {"radius_id": write.values["radius_id"]}, "entry of RADIUS servers")
        wrong |= restriction(write)
        if write.old is not None and write.old.body.get("builtin"):
            wrong["name"] = "A built-in role stays as it is. Make a new role instead."
        if not wrong:
            values = {**write.values, "id": write.id, "tenant_id": write.actor.tenant_id}
            _refuse_beyond(write.actor, adapter(Role).validate_python(values))
            if write.old is not None:
                _refuse_beyond(write.actor, from_row(Role, write.old))
        return wrong

    def form_values(self, conn: Any, row: Any) -> dict[str, Any]:
        """Return the form without the built-in mark."""
        return {key: value for key, value in super().form_values(conn, row).items() if key != "builtin"}

    def users(self, write: Write) -> list[str]:
        """Name the people with the role. Raises Conflict for a built-in one."""
        if write.old.body.get("builtin"):
            raise Conflict("A built-in role cannot be deleted.")
        _refuse_beyond(write.actor, from_row(Role, write.old))
        named = select(t.users.c.login_name).where(t.users.c.role_id == write.id, t.users.c.deleted_at.is_(None))
        people = [f"user {name}" for name in write.conn.scalars(named.limit(20))]
        return people + naming_directories(write, "role_id")


class Tenants(Writer):
    """Tenants; a new one begins with its roles and a default policy that offers nothing."""

    def form_values(self, conn: Any, row: Any) -> dict[str, Any]:
        """Return the form."""
        return {"name": row.name, "path": row.path or "", "hosts": row.hosts or []}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, and that the way to its log-in page is nobody else's."""
        wrong, values = unique(write, "name"), write.values
        if values["path"] and not _PATH.fullmatch(values["path"]):
            wrong["path"] = "Use small letters, digits and hyphens, such as acme."
        hosts = [host.casefold() for host in values["hosts"]]
        if any(not _HOST.fullmatch(host) for host in hosts):
            wrong["hosts"] = "Give names of hosts, such as desktops.acme.example."
        for row in write.conn.execute(select(t.tenants).where(t.tenants.c.id != write.id)):
            if values["path"] and row.path == values["path"]:
                wrong["path"] = f"{row.name} has this one. Choose another."
            if set(hosts) & {host.casefold() for host in row.hosts or ()}:
                wrong["hosts"] = f"One of them leads to {row.name}. Take it out."
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Return the row's values."""
        return {"name": write.values["name"], "path": write.values["path"] or None, "hosts": write.values["hosts"]}

    def after(self, write: Write) -> dict[str, Any]:
        """Give a new tenant what every tenant has."""
        if write.old is None:
            begin_tenant(write)
        return {}

    def users(self, write: Write) -> list[str]:
        """Tell what the tenant still has; it can be deleted only when it is empty."""
        if write.id == write.actor.tenant_id:
            raise Conflict("You cannot delete the tenant that you belong to.")
        found = []
        for table in (t.users, t.centers, t.desktops, t.pools):
            there = table.c.tenant_id == write.id
            number = write.conn.scalar(select(func.count()).select_from(table).where(there)) or 0
            found += [f"{number} {table.name}"] if number else []
        return found

    def delete(self, write: Write) -> dict[str, Any]:
        """Delete the tenant with its roles, policies, plans and directories."""
        provisioned = select(t.scim_users.c.id).where(t.scim_users.c.tenant_id == write.id)
        write.conn.execute(t.scim_members.delete().where(t.scim_members.c.user_id.in_(provisioned)))
        for table in (
            t.scim_users, t.scim_groups,
            t.pool_assignments, t.policies, t.roles, t.protocol_plans, t.power_plans, t.release_plans, t.locations, t.directories, t.radius_servers, t.join_keys, t.waiting_agents,
        ):  # fmt: skip
            write.conn.execute(table.delete().where(table.c.tenant_id == write.id))
        return {"deleted": write.conn.execute(t.tenants.delete().where(t.tenants.c.id == write.id)).rowcount}


def begin_tenant(write: Write) -> None:
    """Insert the roles and the default policy of a tenant, in the transaction that makes it."""
    now = write.broker.now()
    common = {"tenant_id": write.id, "version": 1, "created_at": now, "updated_at": now}
    # A tenant's own administrators reach all but what is the deployment's.
    areas = {area: "edit" for area in AREAS if area not in ("tenants", "brokers", "gateways", "settings")}
    for name, granted in (("Administrator", areas), ("User", {})):
        body = {"areas": granted, "builtin": True}
        write.conn.execute(insert(t.roles).values(id=write.broker.new_id(), name=name, body=body, **common))
    write.conn.execute(
        insert(t.policies).values(id=write.broker.new_id(), name="Default", body={}, is_default=True, **common)
    )


def refuse_stronger(write: Write, role_ids: set[str]) -> None:
    """Raise Denied where one of the roles reaches further than the actor's own."""
    refuse_stronger_roles(write.conn, write.actor, role_ids)


def refuse_stronger_roles(conn: Connection, actor: Actor, role_ids: set[str]) -> None:
    """Raise Denied where one of the roles reaches further than the actor's own."""
    for row in conn.execute(select(t.roles).where(t.roles.c.id.in_([id for id in role_ids if id]))):
        _refuse_beyond(actor, from_row(Role, row))


def _refuse_beyond(actor: Actor, role: Role) -> None:
    if reaches_beyond(actor.role, role):
        raise Denied("That role reaches further than yours. Ask an administrator whose role does.")


def naming_directories(write: Write, field: str) -> list[str]:
    """Name the directories whose rules name what is written: its id in `field` of a line, or as the default."""
    mine = (t.directories.c.tenant_id == write.actor.tenant_id) & t.directories.c.deleted_at.is_(None)
    return [
        f"directory {row.name}"
        for row in write.conn.execute(select(t.directories.c.name, t.directories.c.body).where(mine))
        if write.id in (row.body.get(f"default_{field}"), *(line.get(field) for line in row.body.get("rules", ())))
    ]
