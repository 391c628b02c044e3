"""Taking desktops back: a user gives one up, a plan's time has come, an administrator decides; then a clean hand-over."""

from sqlalchemy import Connection

from portico import faults
from portico.domain.access import Actor, Level
from portico.domain.assign import hand_over, has_left
from portico.domain.explain import as_json
from portico.domain.idle import still_holds
from portico.domain.jobs import AssignmentTimer, DesktopPower, OfDesktop, OfPool
from portico.domain.model import Assignment, AssignmentState, Desktop, PowerAction, Reason, Stage
from portico.domain.states import USABLE, Event
from portico.errors import AgentUnreachable, Denied, NotFound
from portico.services import agent_channel, deletion, endings, evidence, idleness, settling
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.guards import require, require_portal, scope_of
from portico.services.queueing import When, enqueue
from portico.services.sessions import SignedIn
from portico.store import assignments, desktops, events
from portico.store.records import assignment as record
from portico.store.scope import System, Tenant

LOG_OUT_TRIES = 6  # so often the agent is asked before the machine is rebooted or quarantined
RETRY_SECONDS = 5
_SCOPE = System("releasing desktops")


def log_out(broker: Broker, me: SignedIn, assignment_id: str) -> None:
    """End the user's session on the desktop; the agent's word of it then moves the release plan."""
    assignment, desktop = _own(broker, me, assignment_id)
    end_session(broker, assignment, desktop, me.user.login_name)


def release(broker: Broker, me: SignedIn, assignment_id: str) -> None:
    """Give the desktop back, if the policy lets users do so. Raises Denied."""
    assignment, _ = _own(broker, me, assignment_id)
    line = broker.snapshots.get().pool_assignments.get(assignment.pool_assignment_id or "")
    if not me.role.may_release or (line is not None and line.prevent_release):
        raise Denied("Your administrator keeps this desktop assigned to you.")
    evidence.apply(broker, assignment.id, Event.RELEASE, me.user.login_name, Reason("release.by_user"))


def release_desktop(broker: Broker, actor: Actor, desktop_id: str) -> None:
    """Take a desktop back from whoever has it, as an administrator."""
    require(actor, "desktops", Level.EDIT, narrowed=True)
    with broker.db.read() as conn:
        if desktops.get(conn, scope_of(actor), desktop_id) is None:
            raise NotFound("There is no such desktop.")
        live = assignments.list_live_of_desktop(conn, desktop_id)
    for row in live:
        evidence.apply(broker, row.id, Event.RELEASE, actor.login_name, Reason("release.by_administrator"))


def _own(broker: Broker, me: SignedIn, assignment_id: str) -> tuple[Assignment, Desktop]:
    require_portal(me, Level.EDIT)
    with broker.db.read() as conn:
        assignment = assignments.get(conn, Tenant(me.user.tenant_id), assignment_id)
        desktop = desktops.get(conn, Tenant(me.user.tenant_id), assignment.desktop_id) if assignment else None
    if assignment is None or desktop is None or assignment.user_id != me.user.id or assignment.state not in USABLE:
        raise NotFound("This desktop is not yours any more.")
    return assignment, desktop


def end_session(broker: Broker, assignment: Assignment, desktop: Desktop, actor: str, epoch: int | None = None) -> None:
    """Ask the agent to end the session; where there is none to ask, the desktop is taken back at once."""
    with broker.db.write() as conn:
        endings.close_connections(broker, conn, assignment.id, "session.ended")
    try:
        agent_channel.command(broker, desktop.id, "log_out", {"session": None})
    except AgentUnreachable:
        reason = Reason("release.log_out_without_agent")
        evidence.apply(broker, assignment.id, Event.RELEASE, actor, reason, epoch)


def fire(broker: Broker, timer: AssignmentTimer, claim: Claim) -> float | None:
    """Do what a timer says, unless the epoch that armed it has passed. Returns seconds when it is too early to know."""
    with broker.db.write() as conn:
        claim.check(conn)
        states = (*USABLE, AssignmentState.RELEASING, AssignmentState.RELEASED) if timer.action == "power" else USABLE
        assignment = assignments.has_epoch(conn, timer.assignment_id, timer.epoch, tuple(states))
        desktop = desktops.get(conn, _SCOPE, assignment.desktop_id) if assignment else None
        if assignment is None or desktop is None:
            return None
        if settling.must_wait(broker, conn, desktop.id):
            return settling.AGAIN_SECONDS
        never_used = timer.reason == "release.never_connected" and assignment.state is not AssignmentState.ASSIGNED
        if never_used or not still_holds(timer.reason, assignment, desktop):
            return None
        if timer.action == "power":
            if not _is_in_others_hands(assignment, desktop):
                job = DesktopPower(desktop.id, timer.argument, desktop.epoch)
                enqueue(broker, conn, "desktop_power", job, tenant_id=desktop.tenant_id)
            return None
    # Who reconnects at this very moment raises the epoch: then what the timer wanted is not done.
    if timer.action == "log_out":
        end_session(broker, assignment, desktop, "broker", timer.epoch)
    elif timer.action in ("lock", "disconnect"):
        idleness.act(broker, timer, assignment, desktop)
    else:
        reason = Reason(timer.reason, {"minutes": timer.minutes})
        evidence.apply(broker, assignment.id, Event.RELEASE, "broker", reason, timer.epoch)
    return None


def _is_in_others_hands(assignment: Assignment, desktop: Desktop) -> bool:
    return assignment.state is AssignmentState.RELEASED and desktop.used_seats > 0


def carry_out(broker: Broker, assignment_id: str, claim: Claim) -> float | None:
    """Make a desktop that was taken back safe for its next user. Returns seconds to wait for evidence, None when done."""
    with broker.db.read() as conn:
        row = assignments.get_row(conn, _SCOPE, assignment_id)
        desktop = desktops.get(conn, _SCOPE, row.desktop_id) if row else None
    if row is None or desktop is None or row.state != AssignmentState.RELEASING:
        return None
    assignment = record(row)
    plan, _ = evidence.plans_of(broker, assignment)
    decision = hand_over(assignment, desktop, row.evidence or has_left(assignment, desktop), plan)
    if decision.action == "log_out" and claim.attempt <= LOG_OUT_TRIES:
        return _ask_to_log_out(broker, assignment, desktop)
    with broker.db.write() as conn:
        claim.check(conn)
        now = broker.now()
        desktop_row = desktops.get_row(conn, _SCOPE, desktop.id)
        if decision.action == "delete":
            deletion.begin(conn, desktop.id, now)
            enqueue(
                broker,
                conn,
                "desktop_delete",
                OfDesktop(desktop.id),
                tenant_id=desktop.tenant_id,
                when=When(why=decision.reason),
            )
        elif decision.action != "free":
            _quarantine(broker, conn, desktop, decision.reason)
        endings.finish(broker, conn, assignment, desktop_row, decision.reason)
        if desktop.built_for_pool:
            enqueue(broker, conn, "pool_refill", OfPool(desktop.built_for_pool), tenant_id=desktop.tenant_id)
        faults.point("hand_over.before_commit")
    faults.point("hand_over.after_commit")
    return None


def _ask_to_log_out(broker: Broker, assignment: Assignment, desktop: Desktop) -> float:
    with broker.db.write() as conn:
        endings.close_connections(broker, conn, assignment.id, "session.ended")
    try:
        agent_channel.command(broker, desktop.id, "log_out", {"session": None})
    except AgentUnreachable as problem:
        return problem.retry_after
    return RETRY_SECONDS


def _quarantine(broker: Broker, conn: Connection, desktop: Desktop, reason: Reason) -> None:
    """Nobody knows whether the last user has left: nobody gets the desktop until it was rebooted."""
    now = broker.now()
    moved = desktops.move_stage(
        conn, desktop.id, [Stage.READY], Stage.QUARANTINED, now, stage_reason=reason.code,
    )  # fmt: skip
    if moved:
        job = DesktopPower(desktop.id, PowerAction.RESET.value)
        enqueue(broker, conn, "desktop_power", job, tenant_id=desktop.tenant_id, when=When(why=reason))
        entry = events.Entry(
            now, "desktop.quarantined", desktop.tenant_id, level="warning", params={"desktop": desktop.name},
            reason=as_json(reason), desktop_id=desktop.id,
        )  # fmt: skip
        events.add(conn, entry)
