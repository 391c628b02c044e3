"""The authorisation that services ask for before they act."""

from collections.abc import Mapping

from portico.domain.access import PORTAL, Actor, Level, may
from portico.domain.model import Pool
from portico.errors import Denied
from portico.services.sessions import SignedIn
from portico.store.scope import Tenant


def require(actor: Actor, area: str, level: Level = Level.VIEW, *, narrowed: bool = False) -> None:
    """Make sure that the actor's role reaches `level` in `area`. Raises Denied, naming what is missing.

    Restricted roles are refused, unless the caller says that it narrows what it does by `scope_of`.
    """
    if actor.role.restricted and not narrowed:
        raise Denied(f"Your role “{actor.role.name}” is restricted to its pools and centers.", area=area)
    if not may(actor, area, level):
        raise Denied(
            f"Your role “{actor.role.name}” does not allow to {level.value} {area}.", area=area, level=level.value
        )


def require_portal(me: SignedIn, level: Level = Level.VIEW) -> None:
    """Make sure that who comes by a token with scopes may see (or use) the desktops of its owner. Raises Denied."""
    if me.scopes is not None and me.scopes.get(PORTAL) not in (level, Level.EDIT):
        raise Denied(f"This token does not allow to {level.value} {PORTAL}.", area=PORTAL, level=level.value)


def require_oneself(me: SignedIn) -> None:
    """Refuse a token with scopes what only its owner changes: password and preferences. Raises Denied."""
    if me.scopes is not None:
        raise Denied("A token with scopes does not change its owner's account.")


def scope_of(actor: Actor) -> Tenant:
    """Return the rows that the actor handles as an administrator: the tenant's, narrowed to a restricted role's reach."""
    return Tenant(actor.tenant_id, actor.reach)


def own_pools(pools: Mapping[str, Pool], actor: Actor) -> list[Pool]:
    """Return those of the pools that the actor handles."""
    mine = [pool for pool in pools.values() if pool.tenant_id == actor.tenant_id]
    return mine if actor.reach is None else [pool for pool in mine if pool.id in actor.reach.pools]
