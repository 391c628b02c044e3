"""Forms of the console: widgets from what a noun says of its fields, with menus that are read live."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from portico.domain import access
from portico.domain.access import Actor
from portico.errors import PorticoError
from portico.services import centers, configure, directories
from portico.services.broker import Broker
from portico.services.driver_settings import KindInfo
from portico.web.admin import cells
from portico.web.admin.areas import AREAS, Area
from portico.web.forms import Option, Widget, get
from portico.web.rendering import N_

# Fields that name items of another noun: path → noun.
MENUS = {
    "role_id": "roles", "pools": "pools", "centers": "centers", "center_id": "centers", "policy_id": "policies", "parent_id": "pools", "rule.centers": "centers",
    "provisioning.center_id": "centers", "assignments.pool_id": "pools",
    "assignments.protocol_plan_id": "protocol-plans", "assignments.power_plan_id": "power-plans",
    "assignments.release_plan_id": "release-plans", "rules.role_id": "roles", "rules.policy_id": "policies",
    "rules.location_id": "locations", "default_role_id": "roles", "default_policy_id": "policies", "group_id": "gateway-groups", "gateway_group_id": "gateway-groups", "radius_id": "radius-servers",
}  # fmt: skip
CLOUD_MENUS = {
    "provisioning.image": "images", "provisioning.flavor": "flavors", "provisioning.network": "networks",
    "provisioning.placement.zone": "zones", "provisioning.placement.security_groups": "security_groups",
    "provisioning.placement.floating_network": "floating_networks", "provisioning.placement.volume.type": "volume_types",
    "provisioning.placement.server_group": "server_groups", "provisioning.placement.key_pair": "key_pairs",
}  # fmt: skip
PLACEMENT = "provisioning.placement"
VOLUME = f"{PLACEMENT}.volume"
# What says nothing without a flag above it, and what is not asked for where the cloud has none of what it is about.
NEEDS = (
    {f"{PLACEMENT}.floating_network": f"{PLACEMENT}.floating_ip"}
    | {"pools": "restricted", "centers": "restricted"}
    | {f"{VOLUME}.{name}": f"{VOLUME}.create" for name in ("size_gib", "type", "delete_with_machine")}
)
BELONGS = {
    f"{PLACEMENT}.default_security_group": "security_groups",
    f"{PLACEMENT}.floating_ip": "floating_networks",
} | {f"{VOLUME}.{name}": "volume_types" for name in ("create", "size_gib", "delete_with_machine")}
DAYS = tuple(
    Option(str(number), day)
    for number, day in enumerate((N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun")))
)
KINDS = {
    "provisioning.time_limits.start": "time", "provisioning.time_limits.stop": "time", f"{PLACEMENT}.metadata": "pairs",
    "may_reach": "words", "domains": "words", "hosts": "words", "servers": "words",
}  # fmt: skip
LINES = ("assignments", "rules", "rule.rules", "conditions", "provisioning.time_limits", "provisioning.actions")
ORDERS = {"protocols": ("vnc", "ssh", "rdp", "rgs", "tgx", "nomachine", "dcv", "pcoip")}
PROSE = ("notes", "provisioning.user_data")
HIDDEN_IN_LINES = ("id",)
WORDS = {
    "none": N_("Nothing"), "shutdown": N_("Shut down"), "stop": N_("Cut the power"), "suspend": N_("Suspend"), "reboot": N_("Reboot"),
    "same_port": N_("The desktop's own, for the person's address"), "random_filtered": N_("Any, for the person's address"),
    "random_open": N_("Any, for the first address that comes"), "off": N_("None: straight to the desktop"),
    "fewest": N_("The one with the fewest sessions"), "entrance": N_("The one where the person logged in"),
    "all": N_("Any: a balancer before them chooses"),
    "and": N_("All conditions"), "or": N_("Any condition"), "available": N_("Available"), "unavailable": N_("Unavailable"),
    "random": N_("Any"), "previously assigned": N_("The one used last"), "oldest first": N_("The oldest"),
    "least recently offered": N_("The one that rested longest"), "running first": N_("A running one"),
    "start": N_("Start it"), "poweroff": N_("Switch it off"), "snapshot": N_("Make an image of it"),
    "set_available": N_("Set it available"), "set_unavailable": N_("Set it unavailable"),
    "desktop": N_("Name of the desktop"), "pool": N_("Name of the pool"), "display name": N_("Display name"),
    "eq": N_("is"), "ne": N_("is not"), "ct": N_("contains"), "nc": N_("does not contain"), "bw": N_("begins with"),
    "ew": N_("ends with"), "gt": N_("is more than"), "lt": N_("is less than"), "ip": N_("is in network"), "np": N_("is not in network"),
}  # fmt: skip
# Words of one field, where the same value means something else in another.
FIELD_WORDS = {
    "conditions.attribute": {
        "address": N_("Address"), "kind": N_("Kind of client"), "os": N_("Operating system"), "os_version": N_("Version of the system"),
        "maker": N_("Maker"), "model": N_("Model"), "mac": N_("Network card"), "software": N_("Software"), "name": N_("Name of the device"),
        "user_agent": N_("What the browser says it is"), "entrance": N_("Address where the person logged in"),
    },
    "send_name": {"login_name": N_("User name"), "email": N_("Email"), "with_domain": N_("User name with the domain")},
    "when_disabled": {"keep": N_("Keep what is open"), "lock": N_("Lock their desktops"), "log_out": N_("Log out everywhere")},
    "shadowing": {"off": N_("Nobody may"), "view": N_("To watch"), "control": N_("To watch, and to help")},
    "recording": {"off": N_("No"), "on": N_("Yes; a session goes on where it fails"), "required": N_("Yes; without it there is no session")},
}  # fmt: skip
AREA_WORDS = {
    "centers": N_("Centers"), "images": N_("Images"), "desktops": N_("Desktops"), "pools": N_("Pools"), "policies": N_("Policies"),
    "plans": N_("Plans"), "locations": N_("Locations"), "directories": N_("Directories"), "roles": N_("Roles"), "users": N_("Users"),
    "tenants": N_("Tenants"), "clients": N_("Clients"), "sessions": N_("Sessions"), "shadowing": N_("Joining sessions"), "recordings": N_("Recordings"), "gateways": N_("Gateways"), "brokers": N_("Brokers"), "jobs": N_("Jobs"),
    "events": N_("Events"), "settings": N_("Settings"),
}  # fmt: skip
# Nouns of several kinds, each with settings of its own.
KINDED: Mapping[str, Callable[[Broker], list[KindInfo]]] = {"centers": centers.kinds, "directories": directories.kinds}
ATTRIBUTES = ("name", "display_name", "address", "public_address", "os_family", "image", "center", "power", "tag")


@dataclass(frozen=True, slots=True)
class Layout:
    """A form: its widgets by name, in sections, and what could not be read from the cloud."""

    widgets: Mapping[str, Widget]
    sections: tuple[tuple[Any, tuple[Widget, ...]], ...]
    cloud_problem: str = ""
    cloud_read: bool = False


def layout(broker: Broker, actor: Actor, area: Area, item: Mapping[str, Any]) -> Layout:
    """Return the empty form of an area; `item` tells which center's menus and which kind's settings to read."""
    infos = [info for info in configure.describe(area.noun).fields if not _below(info.name, LINES)]
    widgets = {info.name: _widget(broker, actor, info) for info in infos if info.name != "kind"}
    problem, read = "", False
    advanced: frozenset[str] = frozenset()
    if area.noun == "pools":
        widgets, problem, read = _with_cloud(broker, actor, widgets, item)
    if area.noun in KINDED:
        widgets, advanced = _with_settings(KINDED[area.noun](broker), widgets, str(item.get("kind") or ""))
    if area.noun == "centers":
        widgets, problem = _with_networks(broker, actor, widgets, item)
    for name in LINES:
        if name in widgets:
            widgets[name] = replace(widgets[name], kind="lines", columns=_line(broker, actor, area.noun, name))
    return Layout(widgets, _sections(area, widgets, advanced), problem, read)


def _widget(broker: Broker, actor: Actor, info: Any, path: str = "") -> Widget:
    name = info.name
    made = Widget(name, info.title, info.type, info.help, info.unit, info.default, required=info.required)
    if name in MENUS:
        kind = "many" if info.type == "list" else "choice"
        made = replace(made, kind=kind, options=cells.options_of(broker, actor, MENUS[name]))
    elif name in ORDERS:
        made = replace(made, kind="order", options=tuple(Option(value, value.upper()) for value in ORDERS[name]))
    elif name == "areas":
        made = replace(made, kind="areas", options=tuple(Option(area, AREA_WORDS[area]) for area in access.AREAS))
    elif name == "rule.rules.attribute":
        made = replace(
            made, kind="choice", options=tuple(Option(value, value.replace("_", " ")) for value in ATTRIBUTES)
        )
    elif info.choices:
        made = replace(
            made,
            kind="choice",
            required=True,
            options=tuple(
                Option(value, (WORDS | FIELD_WORDS.get(name, {})).get(value, value)) for value in info.choices
            ),
        )
    elif name in KINDS:
        made = replace(made, kind=KINDS[name])
    elif name == "provisioning.time_limits.weekdays":
        made = replace(made, kind="days", options=DAYS)
    elif name in PROSE:
        made = replace(made, kind="area")
    elif info.type == "list":
        made = replace(made, kind="many")
    return replace(made, needs=NEEDS.get(name, ""))


def _line(broker: Broker, actor: Actor, noun: str, name: str) -> tuple[Widget, ...]:
    prefix = f"{name}."
    found = []
    for info in configure.describe(noun).fields:
        if info.name.startswith(prefix) and info.name.removeprefix(prefix) not in HIDDEN_IN_LINES:
            found.append(replace(_widget(broker, actor, info), name=info.name.removeprefix(prefix)))
    return tuple(found)


def _with_cloud(
    broker: Broker, actor: Actor, widgets: dict[str, Widget], item: Mapping[str, Any]
) -> tuple[dict[str, Widget], str, bool]:
    """Fill the menus that only the cloud knows; without an answer they are fields to type into."""
    center_id = (item.get("provisioning") or {}).get("center_id")
    if not center_id:
        return {name: made for name, made in widgets.items() if not _below(name, (PLACEMENT,))}, "", False
    try:
        choices = centers.choices(broker, actor, center_id)
    except PorticoError as problem:
        groups = f"{PLACEMENT}.security_groups"
        return widgets | {groups: replace(widgets[groups], kind="words")}, problem.sentence, False
    filled = dict(widgets)
    for name, menu in (CLOUD_MENUS | BELONGS).items():
        options = tuple(Option(choice.value, choice.label, choice.note) for choice in getattr(choices, menu))
        widget = filled[name]
        if not options and _below(name, (PLACEMENT,)) and not get(item, name):
            del filled[name]
        elif name in CLOUD_MENUS and widget.kind == "many":
            filled[name] = replace(widget, options=options)
        elif name in CLOUD_MENUS and options:
            filled[name] = replace(widget, kind="choice", options=options, blank=widget.kind == "text")
    return filled, "", True


def _with_networks(
    broker: Broker, actor: Actor, widgets: dict[str, Widget], item: Mapping[str, Any]
) -> tuple[dict[str, Widget], str]:
    """Let an existing center's own network be chosen from those that it has."""
    if "settings.network" not in widgets or not item.get("id"):
        return widgets, ""
    try:
        found = centers.choices(broker, actor, str(item["id"])).networks
    except PorticoError as problem:
        return widgets, problem.sentence
    options = tuple(Option(choice.value, choice.label, choice.note) for choice in found)
    menu = replace(widgets["settings.network"], kind="choice", options=options, blank=True)
    return widgets | ({"settings.network": menu} if options else {}), ""


def _with_settings(
    known: Sequence[KindInfo], widgets: dict[str, Widget], kind: str
) -> tuple[dict[str, Widget], frozenset[str]]:
    """Put the settings of a kind in the place of the one field that stands for them; name the advanced ones."""
    found = {name: widget for name, widget in widgets.items() if name != "settings"}
    fields = next((one.fields for one in known if one.kind == kind), ())
    for info in fields:
        options = tuple(Option(value, value) for value in info.choices)
        shown = "choice" if options else info.type
        if info.multiline:
            shown = "secret area" if shown == "secret" else "area"
        name = f"settings.{info.name}"
        found[name] = Widget(
            name, info.title, shown, info.help, info.unit, info.default, options, info.required,
        )  # fmt: skip
    return found, frozenset(f"settings.{info.name}" for info in fields if info.advanced)


def _sections(
    area: Area, widgets: Mapping[str, Widget], advanced: frozenset[str]
) -> tuple[tuple[Any, tuple[Widget, ...]], ...]:
    """Lay the widgets out; what no section names stands in the last one, folded."""
    left = dict(widgets)
    laid = []
    for section in area.sections:
        names = [
            name
            for wanted in section.fields
            for name in left
            if (name == wanted or name.startswith(f"{wanted}.")) and name not in advanced
        ]
        laid.append((section, tuple(left.pop(name) for name in dict.fromkeys(names))))
    if left:
        more = replace(area.sections[0], title=N_("More"), help="", is_open=False) if area.sections else None
        if more:
            laid.append((more, tuple(left.values())))
    return tuple((section, fields) for section, fields in laid if fields)


def _below(name: str, parents: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{parent}.") for parent in parents)


def title(noun: str) -> str:
    """Return the title of a noun."""
    return AREAS[noun].title
