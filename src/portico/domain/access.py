"""Who may do what. Services ask here before they act; UI, API and command line all go through services."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from portico.domain.model import Pool, Role


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
# What a restricted role can reach: areas whose objects belong to a pool or a center. All others are refused to it.
NARROWED_AREAS = frozenset(
    ("centers", "images", "desktops", "pools", "sessions", "shadowing", "recordings", "jobs", "events")
)
# The nouns in these areas that are narrowed row by row; log-ins and join keys, say, belong to no pool.
NARROWED_NOUNS = frozenset(
    ("centers", "images", "desktops", "pools", "desktop-sessions", "recordings", "jobs", "events", "leaks",
     "waiting-agents", "tokens")
)  # fmt: skip
# What a restricted role makes: pools below its own, and API tokens, which have its reach.
MADE_WITHIN = frozenset(("pools", "tokens"))


@dataclass(frozen=True, slots=True)
class Reach:
    """The ids of the pools, with those below them, and of the centers that a restricted role is for."""

    pools: frozenset[str] = frozenset()
    centers: frozenset[str] = frozenset()


def reach_of(role: Role, pools: Mapping[str, Pool]) -> Reach | None:
    """Return what a restricted role reaches among the pools there are; None for a role that reaches all of its tenant."""
    if not role.restricted:
        return None
    below: dict[str, list[str]] = {}
    for pool in pools.values():
        if pool.parent_id and pool.tenant_id == role.tenant_id:
            below.setdefault(pool.parent_id, []).append(pool.id)
    found, waiting = set[str](), list(role.pools)
    while waiting:
        id = waiting.pop()
        if id not in found:
            found.add(id)
            waiting += below.get(id, ())
    return Reach(frozenset(found), frozenset(role.centers))


def reaches_beyond(own: Role, other: Role) -> bool:
    """Tell whether a role's console reaches further than one's own: an area, a level, a pool or a center more."""
    if any(own.areas.get(area) not in (Level.EDIT, level) for area, level in other.areas.items()):
        return True
    if not own.restricted or not other.areas:
        return False
    return not (other.restricted and set(other.pools) <= set(own.pools) and set(other.centers) <= set(own.centers))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a logged-in user with a role, in a tenant. `session_id` is None for API tokens and the command line.

    `within` narrows what a restricted role reaches; without it, such a role reaches nothing.
    """

    user_id: str
    login_name: str
    tenant_id: str
    role: Role
    session_id: str | None = None
    within: Reach | None = None
    scoped: bool = False  # by a token that is for some areas only; `role` is what remains of the owner's

    @property
    def reach(self) -> Reach | None:
        """What the actor's console is restricted to; None: it is not."""
        return (self.within or Reach()) if self.role.restricted else None


def held_to(role: Role, scopes: Mapping[str, str]) -> Role:
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
    if actor.role.restricted and area not in NARROWED_AREAS:
        return False
    granted = actor.role.areas.get(area)
    return granted == Level.EDIT or (granted == Level.VIEW and level is Level.VIEW)


def rights_on_desktop(role: Role) -> tuple[str, ...]:
    """Return what the account of somebody's session may do on the desktop, in the words of wire.agent."""
    given = (("administrator", role.may_administer_desktop), ("rdp", role.may_join_rdp_users))
    return tuple(right for right, has in given if has)


def may_handle(actor: Actor, noun: str, area: str, level: Level = Level.VIEW) -> bool:
    """Tell whether the actor's role reaches `level` in `area`, and reaches rows of the noun there at all."""
    return may(actor, area, level) and (not actor.role.restricted or noun in NARROWED_NOUNS)


def may_make(actor: Actor, noun: str) -> bool:
    """Tell whether somebody who may edit the noun may also make one: a restricted role does so only within its reach."""
    return not actor.role.restricted or noun in MADE_WITHIN


def having_made(actor: Actor, noun: str, id: str) -> Actor:
    """Return the actor with what they made in reach: a pool that they made stands below one of theirs."""
    if actor.reach is None or noun != "pools":
        return actor
    return replace(actor, within=Reach(actor.reach.pools | {id}, actor.reach.centers))


def is_administrator(actor: Actor) -> bool:
    """Tell whether the console has anything to show to the actor."""
    return bool(actor.role.areas)
