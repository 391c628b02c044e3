"""The nouns that administrators list, read and write: where each lives, who reaches it, and what may be written of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Integer, Table, or_, select

from portico.domain.directories import DirectoryRecord
from portico.domain.gateways import GatewayGroup
from portico.domain.locations import Location
from portico.domain.model import Policy, Pool, PowerPlan, ProtocolPlan, ReleasePlan, Role
from portico.domain.second_factors import RadiusServers
from portico.services.fields import FIELDS
from portico.services.noun_forms import (
    CenterForm,
    ClientForm,
    DesktopForm,
    GatewayForm,
    JoinKeyForm,
    RadiusForm,
    SettingForm,
    TenantForm,
    TokenForm,
    UserForm,
)
from portico.services.shapes import FieldInfo, field_infos, form_of
from portico.store import tables as t

Filter = Callable[[str], ColumnElement[bool]]

RECORD_COLUMNS = ("id", "name", "version", "created_at", "updated_at")
NOT_WRITTEN = ("id", "tenant_id", "version")
MADE_ONCE = ("tokens", "join-keys")  # secrets: made and revoked, never changed


@dataclass(frozen=True)
class Noun:
    """One noun. `reach`: whose rows ("tenant", "tenant+shared", "tenant+deployment", "deployment", "own"); `form`: what may be written."""

    name: str
    title: str
    area: str
    table: Table
    columns: tuple[str, ...]
    record: type | None = None
    form: type[BaseModel] | None = None
    search: tuple[str, ...] = ("name",)
    sorts: tuple[str, ...] = ("name", "created_at", "updated_at")
    filters: Mapping[str, Filter] = field(default_factory=dict)
    reach: str = "tenant"
    may_create: bool = False
    may_delete: bool = False
    actions: tuple[str, ...] = ()

    @property
    def is_versioned(self) -> bool:
        """Whether each change raises the row's version (a gateway's `version` is that of its software)."""
        return "version" in self.table.c and isinstance(self.table.c.version.type, Integer)

    @property
    def singular(self) -> str:
        """The noun for one, as event codes and schemas name it: "pool", "release-plan"."""
        return {"policies": "policy", "directories": "directory"}.get(self.name, self.name.removesuffix("s"))


@dataclass(frozen=True, slots=True)
class NounInfo:
    """What a form, the API's description and the reference need of a noun."""

    name: str
    title: str
    fields: tuple[FieldInfo, ...]
    actions: tuple[str, ...]


def _equals(column: ColumnElement[Any]) -> Filter:
    return lambda text: column == text


def _flag(column: ColumnElement[Any]) -> Filter:
    return lambda text: column.is_(text.lower() in ("1", "true", "yes", "on"))


def _any_of(*columns: ColumnElement[Any]) -> Filter:
    return lambda text: or_(*(column == text.replace("_", " ") for column in columns))


def _named(column: ColumnElement[Any], table: Table) -> Filter:
    """Match a reference by the other's id or the beginning of its name."""
    return lambda text: column.in_(
        select(table.c.id).where((table.c.id == text) | table.c.name.istartswith(text, autoescape=True))
    )


def _in_pool(text: str) -> ColumnElement[bool]:
    pool = (t.pools.c.id == text) | t.pools.c.name.istartswith(text, autoescape=True)
    members = select(t.pool_members.c.desktop_id).join(t.pools, t.pools.c.id == t.pool_members.c.pool_id).where(pool)
    return t.desktops.c.id.in_(members) | t.desktops.c.built_for_pool.in_(select(t.pools.c.id).where(pool))


def _held_by(text: str) -> ColumnElement[bool]:
    person = (t.users.c.id == text) | (t.users.c.login_name == text.casefold())
    held = select(t.assignments.c.desktop_id).join(t.users, t.users.c.id == t.assignments.c.user_id)
    return t.desktops.c.id.in_(held.where(person, t.assignments.c.released_at.is_(None)))


def _held_at(text: str) -> ColumnElement[bool]:
    person = (t.users.c.id == text) | (t.users.c.login_name == text.casefold())
    return t.clients.c.user_id.in_(select(t.users.c.id).where(person))


def _starts(column: ColumnElement[Any]) -> Filter:
    return lambda text: column.istartswith(text, autoescape=True)


def _form(title: str, record: type, noun: str, *leave_out: str) -> type[BaseModel]:
    return form_of(title, record, FIELDS[noun], leave_out)


def _configuration(name: str, record: type, leave_out: tuple[str, ...] = (), **more: Any) -> Noun:
    """Describe a noun whose record an administrator edits as a whole."""
    title = name.replace("-", " ").capitalize()
    defaults: dict[str, Any] = {
        "area": "plans" if name.endswith("-plans") else name,
        "columns": RECORD_COLUMNS,
        "may_create": True,
        "may_delete": True,
        "actions": ("restore",),
    }
    form = _form(f"{record.__name__}Form", record, name, *NOT_WRITTEN, *leave_out)
    return Noun(
        name, title, table=t.metadata.tables[name.replace("-", "_")], record=record, form=form, **defaults | more
    )


_LINE = ("assignments.tenant_id", "assignments.policy_id", "assignments.position", "assignments.version")
_POOL_OWN = ("next_sequence", "build_epoch", "failures_in_row", "stopped_reason")
_DESKTOP_COLUMNS = (
    "id", "name", "display_name", "notes", "status", "power", "agent", "session", "stage", "stage_reason", "center_id",
    "external_id", "image_id", "os_family", "address", "public_address", "protocols", "tags", "deletable", "maintenance",
    "max_sessions", "free_seats", "used_seats", "built_for_pool", "last_user_id", "last_offered_at", "created_at", "updated_at",
)  # fmt: skip
_d, _j, _e, _s = t.desktops.c, t.jobs.c, t.events.c, t.sessions.c

_ALL = (
    Noun(
        "centers", "Centers", "centers", t.centers,
        (*RECORD_COLUMNS, "kind", "status", "status_reason", "scanned_at"), None, _form("CenterForm", CenterForm, "centers"),
        filters={"kind": _equals(t.centers.c.kind), "status": _equals(t.centers.c.status)},
        may_create=True, may_delete=True, actions=("scan", "check", "choices", "usage", "restore"),
    ),
    Noun(
        "images", "Images", "images", t.images,
        ("id", "name", "center_id", "external_id", "os_family", "min_disk_gib", "min_ram_mib", "visibility", "boot_seconds", "seen_at"),
        sorts=("name", "seen_at"),
        filters={"center": _named(t.images.c.center_id, t.centers), "os": _equals(t.images.c.os_family)},
    ),
    Noun(
        "desktops", "Desktops", "desktops", t.desktops, _DESKTOP_COLUMNS, None, _form("DesktopForm", DesktopForm, "desktops"),
        search=("name", "display_name", "address"), sorts=("name", "status", "power", "stage", "created_at", "updated_at"),
        filters={
            "state": _any_of(_d.status, _d.power, _d.stage, _d.agent, _d.session), "status": _any_of(_d.status),
            "power": _any_of(_d.power), "stage": _any_of(_d.stage), "agent": _any_of(_d.agent), "session": _any_of(_d.session),
            "center": _named(_d.center_id, t.centers), "pool": _in_pool, "user": _held_by, "os": _equals(_d.os_family),
            "maintenance": _flag(_d.maintenance),
        },
        actions=("power", "release", "delete"),
    ),
    _configuration(
        "pools", Pool, _POOL_OWN, columns=(*RECORD_COLUMNS, "failures_in_row", "stopped_reason", "paused_until", "counts", "counted_at"),
        actions=("refill", "restore"),
    ),
    _configuration("policies", Policy, _LINE, columns=(*RECORD_COLUMNS, "is_default"), filters={"default": _flag(t.policies.c.is_default)}),
    _configuration("protocol-plans", ProtocolPlan),
    _configuration("power-plans", PowerPlan),
    _configuration("release-plans", ReleasePlan),
    _configuration("locations", Location),
    _configuration("roles", Role, ("builtin",)),
    _configuration("directories", DirectoryRecord, columns=(*RECORD_COLUMNS, "kind"), actions=("check", "restore")),
    Noun(
        "radius-servers", "RADIUS servers", "directories", t.radius_servers, RECORD_COLUMNS, RadiusServers,
        _form("RadiusServerForm", RadiusForm, "radius-servers"), may_create=True, may_delete=True, actions=("check", "restore"),
    ),
    Noun(
        "users", "Users", "users", t.users,
        ("id", "login_name", "display_name", "email", "directory", "barred", "second_factor", "role_id", "policy_id", "disabled", "must_change_password", "service",
         "failed", "locked_until", "last_login_at", "version", "created_at", "updated_at"),
        None, _form("UserForm", UserForm, "users"),
        search=("login_name", "display_name", "email"), sorts=("login_name", "display_name", "created_at", "updated_at"),
        filters={
            "role": _named(t.users.c.role_id, t.roles), "policy": _named(t.users.c.policy_id, t.policies),
            "disabled": _flag(t.users.c.disabled), "service": _flag(t.users.c.service), "directory": _equals(t.users.c.directory),
        },
        may_create=True, may_delete=True, actions=("unlock", "second-factor/reset", "sessions/end", "restore"),
    ),
    Noun(
        "tenants", "Tenants", "tenants", t.tenants, ("id", "name", "path", "hosts", "created_at"), None, _form("TenantForm", TenantForm, "tenants"),
        sorts=("name", "created_at"), reach="deployment", may_create=True, may_delete=True,
    ),
    Noun(
        "sessions", "Sessions", "sessions", t.sessions,
        ("id", "user_id", "kind", "client_address", "client", "client_id", "created_at", "seen_at", "expires_at", "ended_at", "end_reason"),
        search=("client_address",), sorts=("created_at", "seen_at"),
        filters={"user": _equals(_s.user_id), "client": _equals(_s.client_id), "kind": _equals(_s.kind), "open": lambda text: _s.ended_at.is_(None)}, actions=("end",),
    ),
    Noun(
        "clients", "Clients", "clients", t.clients,
        ("id", "name", "kind", "os", "os_version", "maker", "model", "macs", "software", "address", "user_id", "notes", "seen_at", "version",
         "created_at", "updated_at"),
        None, _form("ClientForm", ClientForm, "clients"),
        search=("name", "address", "maker", "model", "software"), sorts=("name", "seen_at", "created_at", "address"),
        filters={
            "user": _held_at, "kind": _equals(t.clients.c.kind), "os": _equals(t.clients.c.os), "software": _starts(t.clients.c.software),
            "maker": _starts(t.clients.c.maker),
        },
        may_delete=True,
    ),
    Noun(
        "recordings", "Recordings", "recordings", t.recordings,
        ("id", "name", "user_name", "user_id", "desktop_id", "connection_id", "protocol", "state", "bytes", "sha256", "created_at",
         "finished_at"),
        search=("name", "user_name"), sorts=("created_at", "name", "user_name", "bytes"),
        filters={
            "user": _equals(t.recordings.c.user_id), "desktop": _equals(t.recordings.c.desktop_id),
            "state": _any_of(t.recordings.c.state), "protocol": _equals(t.recordings.c.protocol),
        },
        may_delete=True, actions=("content",),
    ),
    Noun(
        "gateway-groups", "Gateway groups", "gateways", t.gateway_groups, RECORD_COLUMNS, GatewayGroup,
        _form("GatewayGroupForm", GatewayGroup, "gateway-groups", *NOT_WRITTEN), reach="tenant+shared", may_create=True, may_delete=True,
    ),
    Noun(
        "gateways", "Gateways", "gateways", t.gateways,
        ("id", "name", "group_id", "realm", "public_url", "version", "draining", "load", "heartbeat_at", "created_at"),
        None, _form("GatewayForm", GatewayForm, "gateways"), sorts=("name", "created_at"),
        filters={"group": _named(t.gateways.c.group_id, t.gateway_groups), "draining": _flag(t.gateways.c.draining)},
        reach="tenant+shared", may_delete=True, actions=("tokens",),
    ),
    Noun(
        "brokers", "Brokers", "brokers", t.brokers,
        ("id", "hostname", "version", "started_at", "heartbeat_at", "draining", "stopped_at"),
        search=("hostname",), sorts=("hostname", "started_at"), reach="deployment",
    ),
    Noun(
        "jobs", "Jobs", "jobs", t.jobs,
        ("id", "kind", "state", "lane", "run_at", "attempts", "broker_id", "error", "reason", "created_at", "started_at", "finished_at"),
        search=("kind", "error", "lane"), sorts=("created_at", "run_at"),
        filters={"state": _equals(_j.state), "kind": _equals(_j.kind), "broker": _equals(_j.broker_id)},
        reach="tenant+deployment", actions=("cancel", "retry"),
    ),
    Noun(
        "events", "Events", "events", t.events,
        ("id", "at", "level", "code", "params", "reason", "actor", "user_id", "desktop_id", "pool_id", "center_id", "correlation"),
        search=("code", "actor"), sorts=("id",),
        filters={
            "level": _equals(_e.level), "code": lambda text: _e.code.startswith(text, autoescape=True), "actor": _equals(_e.actor),
            "user": _equals(_e.user_id), "desktop": _equals(_e.desktop_id), "pool": _equals(_e.pool_id), "center": _equals(_e.center_id),
        },
        reach="tenant+deployment",
    ),
    Noun(
        "leaks", "Leaks", "centers", t.leaks,
        ("id", "kind", "name", "external_id", "center_id", "desktop_id", "machine_id", "reason", "state", "made_at",
         "created_at", "seen_at", "decided_by"),
        search=("name", "external_id", "kind"), sorts=("created_at", "name", "kind"),
        filters={
            "center": _named(t.leaks.c.center_id, t.centers), "kind": _any_of(t.leaks.c.kind), "state": _equals(t.leaks.c.state),
            "desktop": _equals(t.leaks.c.desktop_id),
        },
        actions=("remove", "keep", "adopt"),
    ),
    Noun(
        "waiting-agents", "Waiting agents", "desktops", t.waiting_agents,
        ("id", "name", "state", "instance_id", "addresses", "macs", "source_address", "os_name", "service", "version", "reason",
         "desktop_id", "created_at", "seen_at"),
        search=("name", "instance_id", "source_address"), sorts=("created_at", "name", "seen_at"),
        filters={"state": _equals(t.waiting_agents.c.state), "desktop": _equals(t.waiting_agents.c.desktop_id)},
        reach="tenant+deployment", actions=("admit", "refuse"),
    ),
    Noun(
        "join-keys", "Join keys", "desktops", t.join_keys,
        ("id", "name", "center_id", "uses", "used_at", "created_at", "expires_at"), None, _form("JoinKeyForm", JoinKeyForm, "join-keys"),
        sorts=("name", "created_at", "expires_at"), filters={"center": _named(t.join_keys.c.center_id, t.centers)},
        may_create=True, may_delete=True,
    ),
    Noun(
        "settings", "Settings", "settings", t.settings, ("updated_at",), None, _form("SettingForm", SettingForm, "settings"),
        sorts=("name",),
    ),
    Noun(
        "tokens", "API tokens", "", t.api_tokens, ("id", "name", "user_id", "scopes", "networks", "created_at", "expires_at", "used_at", "used_address", "before_until"), None,
        _form("TokenForm", TokenForm, "tokens"), sorts=("name", "created_at"), filters={"user": _equals(t.api_tokens.c.user_id)}, reach="own",
        may_create=True, may_delete=True, actions=("rotate",),
    ),
)  # fmt: skip

NOUNS: Mapping[str, Noun] = MappingProxyType({noun.name: noun for noun in _ALL})


def describe(name: str) -> NounInfo:
    """Describe a noun for forms, the API and the reference. Raises KeyError for an unknown one."""
    noun = NOUNS[name]
    infos = field_infos(noun.form, FIELDS[name]) if noun.form else ()
    return NounInfo(noun.name, noun.title, infos, noun.actions)
