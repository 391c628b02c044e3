"""Sessions that nobody touches: an agent says when that begins and ends, the plans what follows."""

from typing import Any

from sqlalchemy import select

from portico.domain import idle
from portico.domain.assign import longest
from portico.domain.jobs import AssignmentTimer, OfAssignment, lane
from portico.domain.model import Assignment, AssignmentState, Desktop
from portico.errors import AgentUnreachable
from portico.services import agent_channel, endings, evidence
from portico.services.broker import Broker
from portico.services.screen_lock import lock
from portico.store import assignments, desktops
from portico.store import tables as t
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
        desktops.raise_epoch(
            conn, assignment.desktop_id
        )  # a power action that is on its way is not carried out any more
        release, _ = evidence.plans_of(broker, assignment)
        evidence.arm(broker, conn, assignment, longest(release, assignment.assigned_at or now, now), epoch)


def _armed(conn: Any, assignment: Assignment) -> bool:
    """Tell whether idleness has armed a timer, or a power action on its way, of this epoch."""
    j = t.jobs.c
    mine = j.lane == lane("assignment_timer", OfAssignment(assignment.id))
    rows = conn.execute(select(j.payload).where(j.kind == "assignment_timer", mine))
    return any(row.payload["epoch"] == assignment.epoch and row.payload["reason"] in idle.CODES for row in rows)


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
