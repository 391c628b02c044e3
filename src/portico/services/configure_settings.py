"""Settings: numbers and texts that hold for the tenant, each with the value that holds where none was set."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, insert, select, update

from portico.domain.access import Actor
from portico.errors import Invalid, NotFound
from portico.services.broker import Broker
from portico.services.changes import announce, follow, renumber
from portico.services.listing import Page
from portico.store import tables


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its meaning, what holds when nothing was set, and its limits (characters for texts)."""

    title: str
    help: str
    default: int | str
    least: int = 0
    most: int = 0
    unit: str = ""
    is_zone: bool = False  # the name of a time zone


SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "logs.days": Setting("Keep events for", "Older ones are removed once a day.", 30, 1, 3650, "days"),
        "recordings.days": Setting("Keep recordings for", "Older ones are deleted once a day.", 90, 1, 3650, "days"),
        "clients.days": Setting(
            "Keep clients for", "A device at which nobody has logged in for so long is forgotten.", 180, 1, 3650, "days"
        ),
        "time.zone": Setting(
            "Time zone", "By which pools read their windows of time, such as Europe/Berlin.", "UTC", 1, 60, is_zone=True
        ),
    }
)


def value_of(conn: Connection, tenant_id: str, name: str) -> int | str:
    """Return what holds for a tenant. Raises KeyError for a setting that does not exist."""
    settings = tables.settings
    row = conn.execute(select(settings.c.value).where(settings.c.scope == tenant_id, settings.c.name == name)).first()
    found: int | str = SETTINGS[name].default if row is None or row.value is None else row.value
    return found


def list_all(broker: Broker, actor: Actor) -> Page:
    """Return all settings: there are few, so this is the one page."""
    with broker.db.read() as conn:
        rows = conn.execute(select(tables.settings).where(tables.settings.c.scope == actor.tenant_id))
        set_now = {row.name: row.value for row in rows}
    return Page([_shown(name, set_now) for name in SETTINGS], None, len(SETTINGS))


def get(broker: Broker, actor: Actor, name: str) -> dict[str, Any]:
    """Return one setting. Raises NotFound."""
    found = {item["id"]: item for item in list_all(broker, actor).items}
    if name not in found:
        raise NotFound("There is no such setting.")
    return found[name]


def change(broker: Broker, actor: Actor, name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Set one setting; a value of null brings back what holds otherwise. Raises NotFound, Invalid."""
    if name not in SETTINGS:
        raise NotFound("There is no such setting.")
    value = _checked(SETTINGS[name], fields)
    settings, now = tables.settings, broker.now()
    here = (settings.c.scope == actor.tenant_id) & (settings.c.name == name)
    with broker.db.write() as conn:
        if conn.execute(update(settings).where(here).values(value=value, updated_at=now)).rowcount == 0:
            conn.execute(insert(settings).values(scope=actor.tenant_id, name=name, value=value, updated_at=now))
        announce(broker, conn, actor, "setting.changed", {"id": name, "name": name})
        renumber(conn)
        follow(broker, conn, "settings", name)
    return get(broker, actor, name)


def is_zone(name: str) -> bool:
    """Tell whether this machine knows a time zone of that name."""
    try:
        return bool(name) and ZoneInfo(name).key == name
    except (KeyError, OSError, ValueError):  # unknown, or not a name of a zone at all
        return False


def _checked(setting: Setting, fields: Mapping[str, Any]) -> int | str | None:
    wrong = {name: "There is no such field. Leave it out." for name in fields if name != "value"}
    value = fields.get("value")
    if "value" not in fields:
        wrong["value"] = "Fill this in."
    elif value is None:
        pass
    elif isinstance(setting.default, int):
        value = (
            int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
        )
        if not isinstance(value, int) or isinstance(value, bool) or not setting.least <= value <= setting.most:
            wrong["value"] = f"Give a number from {setting.least} to {setting.most}."
    elif not isinstance(value, str) or not setting.least <= len(value) <= setting.most or not value.isprintable():
        wrong["value"] = f"Give a text of {setting.least} to {setting.most} characters."
    elif setting.is_zone and not is_zone(value):
        wrong["value"] = "There is no such time zone. Give one such as Europe/Berlin or UTC."
    if wrong:
        raise Invalid("The setting was not changed.", wrong)
    return value


def _shown(name: str, set_now: Mapping[str, Any]) -> dict[str, Any]:
    setting = SETTINGS[name]
    value = set_now.get(name)
    return {
        "id": name,
        "name": name,
        "title": setting.title,
        "help": setting.help,
        "unit": setting.unit,
        "value": setting.default if value is None else value,
        "default": setting.default,
        "is_set": value is not None,
    }
