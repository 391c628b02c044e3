"""Sessions that nobody touches: an agent says when that begins and ends, the plans what follows."""

from sqlalchemy import Connection

from portico.domain import idle
from portico.domain.assign import longest
from portico.domain.jobs import AssignmentTimer, DesktopPower, lane, waiting_key
from portico.domain.model import Assignment, AssignmentState, Desktop, PowerAction
from portico.errors import AgentUnreachable
from portico.services import agent_channel, endings, evidence
from portico.services.broker import Broker
from portico.services.screen_lock import lock
from portico.store import assignments, desktops, jobs
from portico.store.scope import System

_SCOPE = System("idle sessions")


def began(broker: Broker, assignment_id: str, idle_seconds: int | None) -> None:
    """Arm what the plans want of a session that has been idle for so long."""
    with broker.db.write() as conn:
        assignment = assignments.get(conn, _SCOPE, assignment_id)
        if assignment is None or assignment.state is not AssignmentState.CONNECTED:
            return
        release, power = evidence.plans_of(broker, assignment)
        seconds = idle.NOTICED_SECONDS if idle_seconds is None else idle_seconds
        evidence.arm(broker, conn, assignment, idle.timers(release, power, seconds), assignment.epoch)


def ended(broker: Broker, assignment_id: str) -> None:
    """End what idleness had armed: the epoch rises, as when somebody comes back."""
    with broker.db.write() as conn:
        assignment = assignments.get(conn, _SCOPE, assignment_id)
        if assignment is None or assignment.state is not AssignmentState.CONNECTED or not _armed(conn, assignment):
            return
        now, epoch = broker.now(), assignment.epoch + 1
        here = {"epoch": epoch, "connected_at": assignment.connected_at}
        if not assignments.move(conn, assignment, assignment.state, now, **here):
            return  # something else has ended them
        # A power action that is on its way is not carried out any more.
        desktops.raise_epoch(conn, assignment.desktop_id)
        release, _ = evidence.plans_of(broker, assignment)
        evidence.arm(broker, conn, assignment, longest(release, assignment.assigned_at or now, now), epoch)


def _armed(conn: Connection, assignment: Assignment) -> bool:
    """Tell whether idleness has armed a timer of this epoch, or ordered a power action that is on its way; by their keys alone."""
    desktop = desktops.get(conn, _SCOPE, assignment.desktop_id)
    armed = [
        AssignmentTimer(assignment.id, assignment.epoch, action, code, argument) for action, code, argument in idle.WHAT
    ]
    ordered = [DesktopPower(desktop.id, action, desktop.epoch) for action in PowerAction] if desktop else []
    keys = [waiting_key("assignment_timer", timer) for timer in armed]
    keys += [waiting_key("desktop_power", action) for action in ordered]
    # What is being carried out at this moment looks at the epoch last of all.
    lanes = {lane("assignment_timer", armed[0]), *(lane("desktop_power", action) for action in ordered)}
    return jobs.any_of(conn, keys, lanes)


def act(broker: Broker, timer: AssignmentTimer, assignment: Assignment, desktop: Desktop) -> None:
    """Lock a screen, or close a session's connections and leave it running."""
    if timer.action == "lock":
        lock(broker, desktop)
        return
    with broker.db.write() as conn:
        endings.close_connections(broker, conn, assignment.id, "idle")
    try:  # clients that come past the gateways
        agent_channel.command(broker, desktop.id, "disconnect", {"session": None})
    except AgentUnreachable:
        return
