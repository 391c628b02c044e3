"""What agent and gateway report moves assignments: one state machine, each step a conditional UPDATE on (state, epoch)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.assign import Change, on_event
from portico.domain.explain import as_json
from portico.domain.jobs import AssignmentTimer, OfAssignment
from portico.domain.model import Assignment, AssignmentState, Desktop, PowerPlan, Reason, ReleasePlan, Timer
from portico.domain.states import Event
from portico.errors import Conflict
from portico.services.broker import Broker
from portico.services.queueing import When, enqueue
from portico.store import assignments, desktops, events
from portico.store.scope import System

TRIES = 5  # how often an event is decided anew when somebody else moved the assignment in between
_SCOPE = System("evidence of agents and gateways")


def plans_of(broker: Broker, assignment: Assignment) -> tuple[ReleasePlan, PowerPlan]:
    """Return the release and the power plan that hold for an assignment."""
    snapshot = broker.snapshots.get()
    line = snapshot.pool_assignments.get(assignment.pool_assignment_id or "")
    return (
        snapshot.release_plan(line.release_plan_id if line else None, assignment.tenant_id),
        snapshot.power_plan(line.power_plan_id if line else None, assignment.tenant_id),
    )


@dataclass(frozen=True, slots=True)
class Happening:
    """An event, who says so, and why; with an epoch, it counts only while the assignment's is still the same."""

    event: Event
    actor: str
    reason: Reason | None = None
    epoch: int | None = None


def apply(
    broker: Broker, assignment_id: str, event: Event, actor: str, reason: Reason | None = None, epoch: int | None = None
) -> Assignment | None:
    """Let an event move an assignment; returns it as it is afterwards, None when there is none or its epoch is another."""
    happening = Happening(event, actor, reason, epoch)
    for _ in range(TRIES):
        with broker.db.write() as conn:
            assignment = assignments.get(conn, _SCOPE, assignment_id)
            desktop = desktops.get(conn, _SCOPE, assignment.desktop_id) if assignment else None
            if assignment is None or desktop is None or (epoch is not None and assignment.epoch != epoch):
                return None
            moved = step(broker, conn, assignment, desktop, happening)
            if moved is not None:
                return moved
    raise Conflict("This desktop changes hands too quickly at the moment. Try again.")


def step(
    broker: Broker, conn: Connection, assignment: Assignment, desktop: Desktop, happening: Happening
) -> Assignment | None:
    """Decide and record one event within a transaction; None when another was quicker (then read again)."""
    event, reason = happening.event, happening.reason
    release, power = plans_of(broker, assignment)
    change = on_event(assignment, event, release, power, desktop.deletable, broker.now())
    if event is Event.LOGGED_OFF:
        assignments.note_evidence(conn, assignment.id)
        if assignment.state is AssignmentState.RELEASING:  # what the hand-over waits for
            enqueue_hand_over(broker, conn, assignment.id, assignment.tenant_id)
    if change is None:
        return assignment
    epoch = assignment.epoch + (1 if change.raise_epoch else 0)
    more: dict[str, Any] = {"epoch": epoch}
    if change.state is AssignmentState.CONNECTED:
        more["evidence"] = False
    if change.state is AssignmentState.RELEASING:
        more |= {"claim_key": None, "release_reason": as_json(reason or Reason("release.asked"))}
    if not assignments.move(conn, assignment, change.state, broker.now(), **more):
        return None
    _follow(broker, conn, assignment, desktop, change, epoch)
    events.add(
        conn,
        events.Entry(
            broker.now(), f"assignment.{change.state.value.replace(' ', '_')}", assignment.tenant_id, happening.actor,
            params={"desktop": desktop.name, "event": event.value}, reason=as_json(reason) if reason else None,
            user_id=assignment.user_id, desktop_id=desktop.id, pool_id=assignment.pool_id, correlation=assignment.id,
        ),
    )  # fmt: skip
    after = assignments.get(conn, _SCOPE, assignment.id)
    if change.release and after is not None:
        follows = Happening(Event.RELEASE, happening.actor, Reason("release.logged_out"))
        return step(broker, conn, after, desktop, follows)
    return after


def _follow(
    broker: Broker, conn: Connection, assignment: Assignment, desktop: Desktop, change: Change, epoch: int
) -> None:
    """Carry out what a change asks for besides the state itself."""
    if change.desktop_session is not None:
        desktops.change(conn, desktop.id, broker.now(), session=str(change.desktop_session))
    if change.state is AssignmentState.CONNECTED:
        desktops.raise_epoch(conn, desktop.id)  # a power action that a plan ordered before is not carried out any more
    arm(broker, conn, assignment, change.timers, epoch)
    if change.state is AssignmentState.RELEASING:
        enqueue_hand_over(broker, conn, assignment.id, assignment.tenant_id)


def arm(broker: Broker, conn: Connection, assignment: Assignment, timers: tuple[Timer, ...], epoch: int) -> None:
    """Queue timers: jobs that name the epoch of the assignment that armed them."""
    now = broker.now()
    for timer in timers:
        minutes = timer.reason.params.get("minutes")
        payload = AssignmentTimer(
            assignment.id, epoch, timer.action, timer.reason.code, timer.argument,
            minutes if isinstance(minutes, int) else None,
        )  # fmt: skip
        enqueue(
            broker, conn, "assignment_timer", payload, tenant_id=assignment.tenant_id,
            when=When(now + timedelta(seconds=timer.after_seconds), timer.reason),
        )  # fmt: skip


def enqueue_hand_over(broker: Broker, conn: Connection, assignment_id: str, tenant_id: str) -> None:
    """Queue the work that makes a desktop which was taken back safe for its next user."""
    enqueue(broker, conn, "hand_over", OfAssignment(assignment_id), tenant_id=tenant_id)
