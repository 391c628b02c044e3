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


def readiness(desktop: Desktop, now: datetime) -> Readiness:
    """Return the first thing that keeps the desktop from being used, from the gravest to the slightest."""
    for look in (_existence, _making, _power, _reach):
        found = look(desktop, now)
        if found.reason is not None:
            return found
    return Readiness()


def wake_action(power: Power) -> PowerAction | None:
    """Return what to ask of the cloud so that a resting desktop runs again; None when it does not rest."""
    return WAKE.get(power)


def is_gone(desktop: Desktop) -> bool:
    """Tell whether the machine is no more."""
    return desktop.stage is Stage.GONE or desktop.status is Status.DELETED


def _existence(desktop: Desktop, now: datetime) -> Readiness:
    reason = None
    if is_gone(desktop):
        reason = Reason("desktop.deleted")
    elif desktop.stage is Stage.DELETING:
        reason = Reason("desktop.deleting")
    elif desktop.stage is Stage.QUARANTINED:
        reason = Reason("desktop.quarantined")
    elif desktop.stage is Stage.FAILED:
        reason = Reason("desktop.failed", {"detail": desktop.stage_reason})
    elif desktop.maintenance:
        reason = Reason("desktop.maintenance")
    return Readiness(reason, stuck=True)


def _making(desktop: Desktop, now: datetime) -> Readiness:
    if desktop.stage not in IN_FLIGHT:
        return Readiness()
    if desktop.deadline_at is not None and desktop.deadline_at < now:
        return Readiness(Reason("desktop.late"))
    return Readiness(Reason("desktop.preparing" if desktop.stage is Stage.PREPARING else "desktop.building"))


def _power(desktop: Desktop, now: datetime) -> Readiness:
    """Judge the power; a center that knows nothing of power (`unknown`) is believed to have its machines running."""
    match desktop.power:
        case Power.ERROR:
            return Readiness(Reason("desktop.error"), stuck=True)
        case Power.STOPPED:
            return Readiness(Reason("desktop.stopped"), needs_start=True)
        case Power.SUSPENDED:
            return Readiness(Reason("desktop.suspended"), needs_start=True)
        case Power.PAUSED:
            return Readiness(Reason("desktop.paused"), needs_start=True)
        case Power.SHELVED:
            return Readiness(Reason("desktop.shelved"), needs_start=True)
        case Power.STARTING:
            return Readiness(Reason("desktop.starting"))
        case Power.STOPPING:
            return Readiness(Reason("desktop.stopping"))
        case Power.RUNNING | Power.UNKNOWN:
            return Readiness()


def _reach(desktop: Desktop, now: datetime) -> Readiness:
    if desktop.agent is AgentState.UNREACHABLE:
        return Readiness(Reason("desktop.agent_unreachable"))
    if desktop.agent is AgentState.WAITING:
        return Readiness(Reason("desktop.agent_waiting"))
    if not desktop.address and not desktop.public_address:
        return Readiness(Reason("desktop.no_address"))
    if not desktop.protocols:
        return Readiness(Reason("desktop.no_protocol"))
    return Readiness()
