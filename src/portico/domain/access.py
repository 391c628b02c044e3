"""Who may do what. Services ask here before they act; UI, API and command line all go through services."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from portico.domain.model import Role


class Level(StrEnum):
    """How far a role reaches into an area of the console."""

    VIEW = "view"
    EDIT = "edit"


# The areas of the console: one per noun of the REST interface that an administrator handles.
AREAS = (
    "centers", "images", "desktops", "pools", "policies", "plans", "locations", "directories", "roles", "users",
    "tenants", "clients", "sessions", "shadowing", "recordings", "gateways", "brokers", "jobs", "events", "settings",
)  # fmt: skip


PORTAL = "portal"  # besides the areas, what a token may be for: to see and use the desktops of its owner


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a logged-in user with a role, in a tenant. `session_id` is None for API tokens and the command line."""

    user_id: str
    login_name: str
    tenant_id: str
    role: Role
    session_id: str | None = None
    scoped: bool = False  # by a token that is for some areas only; `role` is what remains of the owner's


def narrowed(role: Role, scopes: Mapping[str, str]) -> Role:
    """Return what a token with scopes leaves of a role: in each area the lesser of both."""
    areas = {
        area: Level.EDIT if level == Level.EDIT and scopes[area] == Level.EDIT else Level.VIEW
        for area, level in role.areas.items()
        if area in scopes
    }
    acts = scopes.get(PORTAL) == Level.EDIT
    return replace(role, areas=areas, may_release=role.may_release and acts, may_power=role.may_power and acts)


def may(actor: Actor, area: str, level: Level = Level.VIEW) -> bool:
    """Tell whether the actor's role reaches `level` in `area`."""
    granted = actor.role.areas.get(area)
    return granted == Level.EDIT or (granted == Level.VIEW and level is Level.VIEW)


def rights_on_desktop(role: Role) -> tuple[str, ...]:
    """Return what the account of somebody's session may do on the desktop, in the words of wire.agent."""
    given = (("administrator", role.may_administer_desktop), ("rdp", role.may_join_rdp_users))
    return tuple(right for right, has in given if has)


def is_administrator(actor: Actor) -> bool:
    """Tell whether the console has anything to show to the actor."""
    return bool(actor.role.areas)
