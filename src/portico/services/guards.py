"""The authorisation that services ask for before they act."""

from portico.domain.access import Actor, Level, may
from portico.errors import Denied


def require(actor: Actor, area: str, level: Level = Level.VIEW) -> None:
    """Make sure that the actor's role reaches `level` in `area`. Raises Denied, naming what is missing."""
    if not may(actor, area, level):
        raise Denied(
            f"Your role “{actor.role.name}” does not allow to {level.value} {area}.", area=area, level=level.value
        )
