"""Directories: their settings checked against the driver's own, their secrets sealed, their rules and domains checked as a whole."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, select, update

from portico.domain.directories import LOCAL, AssignmentRule, check_rules
from portico.errors import Conflict
from portico.services import driver_settings
from portico.services.broker import Broker
from portico.services.configure_people import refuse_stronger
from portico.services.directories import PLACE
from portico.services.writing import Write, Writer, missing, unique
from portico.store import tables as t
from portico.store.records import adapter

# Where a secret is sent to: whoever changes that must know the secret.
WHERE = frozenset(
    {"servers", "dns_domain", "dns_server", "ca_certificates", "issuer", "bind_name", "auth_url", "service_account", "service_domain"}
)  # fmt: skip


class Directories(Writer):
    """Directories. A secret that is left out or empty stays as it is, as long as it goes where it went."""

    def prepare(self, broker: Broker, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """Make the keys that are ours and that nobody typed."""
        driver = broker.directory_drivers.get(str(fields.get("kind")))
        make_own = getattr(driver, "make_own", None)
        return {"own": make_own()} if new and make_own is not None else {}

    def form_values(self, conn: Connection, row: Any) -> dict[str, Any]:
        """Return the form without the secrets."""
        return {"name": row.name, "kind": row.kind, **row.body}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the kind and its settings, the domains and the rules; raises Denied for roles beyond the actor's own."""
        values, wrong = write.values, unique(write, "name")
        driver = write.broker.directory_drivers.get(values["kind"])
        if driver is None:
            known = ", ".join(sorted(write.broker.directory_drivers)) or "none: no driver is installed"
            return wrong | {"kind": f"Choose one of {known}."}
        if write.old is not None and write.old.kind != values["kind"]:
            wrong["kind"] = "A directory stays of its kind. Make a new one instead."
        typed = driver_settings.without_empty_secrets(driver.Settings, values["settings"])
        wrong |= driver_settings.check_settings(driver.Settings, _secrets(write) | typed)
        wrong |= _sent_elsewhere(write, driver.Settings) | _check_usable(write, driver, wrong)
        wrong |= _check_domains(write) | _check_rules(write)
        if not wrong:
            refuse_stronger(write, _roles(values) | (_roles(write.old.body) if write.old is not None else set()))
        return wrong

    def row(self, write: Write) -> dict[str, Any]:
        """Keep the secrets out of the body."""
        values = write.values
        settings = write.broker.directory_drivers[values["kind"]].Settings
        place = PLACE.format(write.id)
        before = {**write.ready.get("own", {}), **_secrets(write)}
        shown, sealed = driver_settings.parted(write.broker, settings, values["settings"], place, before)
        body = {key: value for key, value in values.items() if key not in ("name", "kind")} | {"settings": shown}
        return {"name": values["name"], "kind": values["kind"], "body": body, "sealed_secrets": sealed}

    def users(self, write: Write) -> list[str]:
        """Count the desktops of its people. Raises Conflict for the directory that the actor came from."""
        refuse_stronger(write, _roles(write.old.body))
        mine = select(t.users.c.directory).where(t.users.c.id == write.actor.user_id)
        if write.conn.scalar(mine) == write.id:
            raise Conflict("You came by this directory. Log in by another one, or as a local user, to delete it.")
        held = (
            select(func.count())
            .select_from(t.assignments.join(t.users, t.users.c.id == t.assignments.c.user_id))
            .where(t.users.c.directory == write.id, t.assignments.c.released_at.is_(None))
        )
        number = write.conn.scalar(held) or 0
        return [f"{number} desktops that its people have (release them first)"] if number else []

    def delete(self, write: Write) -> dict[str, Any]:
        """Delete it and end the sessions of its people, who cannot come back."""
        now = write.broker.now()
        people = select(t.users.c.id).where(t.users.c.directory == write.id)
        open_ones = t.sessions.c.user_id.in_(people) & t.sessions.c.ended_at.is_(None)
        ended = write.conn.execute(
            update(t.sessions).where(open_ones).values(ended_at=now, end_reason="directory deleted")
        ).rowcount
        return super().delete(write) | {"sessions": ended}


def _secrets(write: Write) -> dict[str, Any]:
    if write.old is None:
        return {}
    return driver_settings.opened(write.broker, PLACE.format(write.id), write.old.sealed_secrets)


def _sent_elsewhere(write: Write, settings: type) -> dict[str, str]:
    """Demand the secret again where it would go to a server that somebody has just named."""
    if write.old is None:
        return {}
    old, new = write.old.body.get("settings", {}), write.values["settings"]
    moved = any(old.get(name, "") != new.get(name, "") for name in WHERE)
    if not moved:
        return {}
    kept = _secrets(write)
    untyped = [name for name in driver_settings.secret_names(settings, sent=True) if name in kept and not new.get(name)]
    return {f"settings.{name}": "Type it again: it goes elsewhere now." for name in untyped}


def _check_usable(write: Write, driver: Any, wrong: Mapping[str, str]) -> dict[str, str]:
    """Ask the driver whether it can work with the settings as a whole; nothing is reached for."""
    if any(path.startswith("settings") for path in wrong):
        return {}
    given = {**_secrets(write), **driver_settings.without_empty_secrets(driver.Settings, write.values["settings"])}
    return driver_settings.refused_by(driver, adapter(driver.Settings).validate_python(given))


def _check_domains(write: Write) -> dict[str, str]:
    """Check that no other directory of the deployment has one of the domains: a password goes to one of them only."""
    mine = {domain.casefold() for domain in write.values["domains"]}
    if LOCAL in mine or any("@" in domain or "\\" in domain or not domain.strip() for domain in mine):
        return {"domains": "Give domains without @ and backslash, such as corp.example or CORP."}
    others = select(t.directories.c.body, t.directories.c.tenant_id, t.directories.c.name).where(
        t.directories.c.id != write.id, t.directories.c.deleted_at.is_(None)
    )
    for row in write.conn.execute(others):
        both = mine & {domain.casefold() for domain in row.body.get("domains", ())}
        if both:
            whose = f"the directory {row.name}" if row.tenant_id == write.actor.tenant_id else "another tenant"
            return {"domains": f"{min(both)} belongs to {whose}."}
    return {}


def _check_rules(write: Write) -> dict[str, str]:
    values = write.values
    wrong = check_rules(adapter(tuple[AssignmentRule, ...]).validate_python(values["rules"]))
    for table, field, what in (
        (t.roles, "role_id", "role"),
        (t.policies, "policy_id", "policy"),
        (t.locations, "location_id", "location"),
    ):
        wanted = {f"rules.{number}.{field}": line[field] for number, line in enumerate(values["rules"])}
        if f"default_{field}" in values:
            wanted[f"default_{field}"] = values[f"default_{field}"]
        wrong |= missing(write, table, wanted, what)
    return wrong


def _roles(body: Mapping[str, Any]) -> set[str]:
    return {
        str(id) for id in (body.get("default_role_id"), *(line.get("role_id") for line in body.get("rules", ()))) if id
    }
