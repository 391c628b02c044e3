"""The authorisation that services ask for before they act."""

from portico.domain.access import PORTAL, Actor, Level, may
from portico.errors import Denied
from portico.services.sessions import SignedIn


def require(actor: Actor, area: str, level: Level = Level.VIEW) -> None:
    """Make sure that the actor's role reaches `level` in `area`. Raises Denied, naming what is missing."""
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
