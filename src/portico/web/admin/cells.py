"""What stands in the cells of a list: references by name, the rest as the item has it. One query per noun that is named."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from portico.domain import access
from portico.domain.access import Actor
from portico.domain.jobs import KINDS
from portico.services import clients, configure, naming
from portico.services.broker import Broker
from portico.services.configure import Query
from portico.services.naming import Named
from portico.services.overview import is_alive
from portico.web.admin.areas import AREAS, Area
from portico.web.admin.kinds import KINDS as KIND_WORDS
from portico.web.forms import Option, get
from portico.web.rendering import N_, as_time, translate
from portico.web.words import CLIENT_KINDS, SYSTEM_WORDS, job_word

ALL = 500
# The column of a list → the reference behind it and the noun that names it.
REFERENCES = {
    "locations": {"gateway_group": ("gateway_group_id", "gateway-groups")},
    "gateways": {"group": ("group_id", "gateway-groups")},
    "users": {
        "role": ("role_id", "roles"),
        "policy": ("policy_id", "policies"),
        "comes_from": ("directory", "directories"),
    },
    "images": {"center": ("center_id", "centers")},
    "leaks": {"center": ("center_id", "centers")},
    "join-keys": {"center": ("center_id", "centers")},
    "sessions": {"user": ("user_id", "users")},
    "clients": {"user": ("user_id", "users")},
    "policies": {"pool_names": ("assignments", "pools")},
}


def options_of(broker: Broker, actor: Actor, noun: str) -> tuple[Option, ...]:
    """Return the items of a noun as a menu, by name; nothing when the role does not reach it."""
    if not access.may_handle(actor, noun, AREAS[noun].access):
        return ()
    items = configure.list_items(broker, actor, noun, Query(limit=ALL, sort=AREAS[noun].sort)).items
    return tuple(Option(item["id"], title_of(noun, item)) for item in items)


def with_names(broker: Broker, actor: Actor, area: Area, items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the items with the words of their list's columns added."""
    references = REFERENCES.get(area.noun, {}) if items else {}
    known = {noun: {one.value: one.label for one in options_of(broker, actor, noun)} for _, noun in references.values()}
    rows = []
    for item in items:
        row = dict(item)
        for column, (field, noun) in references.items():
            ids = [line["pool_id"] for line in item.get(field) or ()] if field == "assignments" else [item.get(field)]
            row[column] = ", ".join(dict.fromkeys(known[noun].get(id, "") for id in ids if id))
        if area.noun == "desktops":
            row["user"] = ", ".join(person["name"] for person in item.get("users") or ())
            row["pools"] = ", ".join(pool["name"] for pool in item.get("pools") or ())
            row["center"] = item.get("center_name", "")
        if area.noun == "directories":
            row["kind_name"] = translate(KIND_WORDS[item["kind"]][0]) if item["kind"] in KIND_WORDS else item["kind"]
        if area.noun == "users" and item.get("service"):
            row["kind_name"] = translate(N_("Service account"))
        if area.noun == "clients":
            row["system"] = f"{translate(SYSTEM_WORDS.get(item['os'], ''))} {item['os_version']}".strip()
            row["device"] = f"{item['maker']} {item['model']}".strip()
            row["kind_name"] = translate(CLIENT_KINDS.get(item["kind"], ""))
            where = broker.snapshots.get().location_of(actor.tenant_id, clients.of_record(item))
            row["location"] = where.name if where else ""
        if area.noun == "recordings":
            row["megabytes"] = round(item["bytes"] / 1e6, 1) if item["bytes"] else ""
        if area.noun in ("gateways", "brokers"):
            row["alive"] = is_alive(as_time(item.get("heartbeat_at")), broker.now())
        rows.append(row)
    if area.noun == "roles":
        _with_reach(broker, actor, rows)
    return with_targets(broker, actor, rows) if area.noun == "jobs" else rows


def _with_reach(broker: Broker, actor: Actor, roles: Sequence[dict[str, Any]]) -> None:
    """Add what roles are restricted to, by name: two statements."""
    wanted = {noun: {id for role in roles for id in role[noun]} for noun in ("pools", "centers")}
    known = naming.names(broker, actor, wanted)
    for role in roles:
        keys = [(noun, id) for noun in wanted for id in role[noun]]
        names = [known[key].name for key in keys if key in known]
        if not role["areas"]:
            role["reach"] = ""
            continue
        role["reach"] = (
            (", ".join(names) or translate(N_("Nothing"))) if role["restricted"] else translate(N_("Everything"))
        )


def with_targets(broker: Broker, actor: Actor, jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return jobs with their name in words, what they work on as a link, their tries and when the next one is due."""
    subjects = naming.subject_of_job(broker, actor, [job["id"] for job in jobs])
    wanted: dict[str, set[str]] = {}
    for noun, id in subjects.values():
        wanted.setdefault(noun, set()).add(id)
    names = naming.names(broker, actor, wanted)
    for job in jobs:
        key = subjects.get(job["id"])
        kind = KINDS.get(job["kind"])
        job["title"] = translate(job_word(job["kind"]))
        job["target"] = linked(actor, *key, names[key]) if key in names and key else ""
        job["tries"] = f"{job['attempts']}/{kind.max_attempts}" if kind else str(job["attempts"])
        job["next_at"] = job["run_at"] if job["state"] == "queued" else None
    return list(jobs)


def of_deployment(broker: Broker) -> dict[str, Any]:
    """Return where agents find this deployment, and by which CA they know it."""
    return {"broker_url": broker.config.public_url, "ca_fingerprint": broker.keys.ca_fingerprint}


def linked(actor: Actor, noun: str, id: str, named: Named) -> Markup:
    """Return a name as a link to its object, or plain when it is gone or out of the role's reach."""
    if not named.is_there or not access.may_handle(actor, noun, AREAS[noun].access):
        return Markup('<b class="named">{}</b>').format(named.name)
    return Markup('<a href="/admin/{}/{}">{}</a>').format(noun, id, named.name)


def cell(item: Mapping[str, Any], name: str) -> Any:
    """Return what a column shows of an item; lists as words."""
    if name == "state" and "state" not in item:
        return item
    value = get(item, name)
    return ", ".join(str(part) for part in value) if isinstance(value, list | tuple) else value


def title_of(noun: str, item: Mapping[str, Any]) -> str:
    """Return what an item is called."""
    for name in ("name", "login_name", "title", "hostname", "kind", "code", "id"):
        if item.get(name):
            return str(item[name])
    return noun
