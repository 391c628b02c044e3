"""How near a desktop is to being used: what stands in the way, whether that passes by itself, and which start it needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from portico.domain.model import AgentState, Desktop, Power, PowerAction, Reason, Stage, Status
from portico.domain.states import IN_FLIGHT

# What brings a desktop back from each state of rest.
WAKE: Mapping[Power, PowerAction] = {
    Power.STOPPED: PowerAction.START,
    Power.SUSPENDED: PowerAction.RESUME,
    Power.PAUSED: PowerAction.UNPAUSE,
    Power.SHELVED: PowerAction.UNSHELVE,
}


@dataclass(frozen=True, slots=True)
class Readiness:
    """What stands in a desktop's way: nothing (`reason` None), something that passes, or something for good (`stuck`)."""

    reason: Reason | None = None
    stuck: bool = False
    needs_start: bool = False


READY = Readiness()

# What each power state says. A center that knows nothing of power (`unknown`) is believed to have its machines running.
POWER: Mapping[Power, Readiness] = {
    Power.ERROR: Readiness(Reason("desktop.error"), stuck=True),
    Power.STOPPED: Readiness(Reason("desktop.stopped"), needs_start=True),
    Power.SUSPENDED: Readiness(Reason("desktop.suspended"), needs_start=True),
    Power.PAUSED: Readiness(Reason("desktop.paused"), needs_start=True),
    Power.SHELVED: Readiness(Reason("desktop.shelved"), needs_start=True),
    Power.STARTING: Readiness(Reason("desktop.starting")),
    Power.STOPPING: Readiness(Reason("desktop.stopping")),
}


def readiness(desktop: Desktop, now: datetime) -> Readiness:
    """Return the first thing that keeps the desktop from being used, from the gravest to the slightest."""
    return _existence(desktop) or _making(desktop, now) or POWER.get(desktop.power) or _reach(desktop) or READY


def wake_action(power: Power) -> PowerAction | None:
    """Return what to ask of the cloud so that a resting desktop runs again; None when it does not rest."""
    return WAKE.get(power)


def is_gone(desktop: Desktop) -> bool:
    """Tell whether the machine is no more."""
    return desktop.stage is Stage.GONE or desktop.status is Status.DELETED


def _existence(desktop: Desktop) -> Readiness | None:
    if is_gone(desktop):
        return Readiness(Reason("desktop.deleted"), stuck=True)
    if desktop.stage is Stage.DELETING:
        return Readiness(Reason("desktop.deleting"), stuck=True)
    if desktop.stage is Stage.QUARANTINED:
        return Readiness(Reason("desktop.quarantined"), stuck=True)
    if desktop.stage is Stage.FAILED:
        return Readiness(Reason("desktop.failed", {"detail": desktop.stage_reason}), stuck=True)
    if desktop.maintenance:
        return Readiness(Reason("desktop.maintenance"), stuck=True)
    return None


def _making(desktop: Desktop, now: datetime) -> Readiness | None:
    if desktop.stage not in IN_FLIGHT:
        return None
    if desktop.deadline_at is not None and desktop.deadline_at < now:
        return Readiness(Reason("desktop.late"))
    return Readiness(Reason("desktop.preparing" if desktop.stage is Stage.PREPARING else "desktop.building"))


def _reach(desktop: Desktop) -> Readiness | None:
    if desktop.agent is AgentState.UNREACHABLE:
        return Readiness(Reason("desktop.agent_unreachable"))
    if desktop.agent is AgentState.WAITING:
        return Readiness(Reason("desktop.agent_waiting"))
    if not desktop.address and not desktop.public_address:
        return Readiness(Reason("desktop.no_address"))
    if not desktop.protocols:
        return Readiness(Reason("desktop.no_protocol"))
    return None
