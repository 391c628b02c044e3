"""An assignment's life: what each event changes, which timers it starts and ends, and how a desktop is handed on."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from portico.domain.model import (
    AgentState,
    Assignment,
    AssignmentState,
    Desktop,
    Power,
    PowerPlan,
    Reason,
    ReleasePlan,
    SessionState,
    Timer,
)
from portico.domain.readiness import is_gone
from portico.domain.states import SESSION, Event, next_assignment_state

LEAVING = frozenset({Event.CLOSED, Event.DISCONNECTED})


@dataclass(frozen=True, slots=True)
class Change:
    """What an event changes.

    `timers` are armed under the epoch after the raise; `cancel_timers` says that the queued ones have lost their sense;
    `release` asks for the event `release` to follow at once; `desktop_session` is None where the event says nothing of it.
    """

    state: AssignmentState
    timers: tuple[Timer, ...] = ()
    cancel_timers: bool = False
    desktop_session: SessionState | None = None
    raise_epoch: bool = False
    release: bool = False


@dataclass(frozen=True, slots=True)
class HandOver:
    """What to do with a desktop that was taken back: "free" | "delete" | "log_out" | "reboot" | "quarantine"."""

    action: str
    reason: Reason


def on_event(
    assignment: Assignment, event: Event, release: ReleasePlan, power: PowerPlan, deletable: bool, now: datetime
) -> Change | None:
    """Return what the event changes, or None when it is only history in this state.

    Every event but a leaving client opens a new chapter: it raises the epoch, and with it ends all timers of the last.
    """
    state = next_assignment_state(assignment.state, event)
    if state is None:
        return None
    session = SESSION.get(event)
    if event in LEAVING:
        return Change(state, _on_disconnect(release, power), desktop_session=session)
    deletes = release.delete_after_release and deletable
    at_once = event is Event.LOGGED_OFF and release.release_after_log_out_minutes == 0
    timers: tuple[Timer, ...] = ()
    if event is Event.LOGGED_OFF and not at_once:
        timers = (*_on_log_out(release, power), *_maximum(assignment, release, now))
    elif event is Event.RELEASE:
        timers = () if deletes else _on_release(assignment, power, now)
    elif state is AssignmentState.CONNECTED:
        timers = _maximum(assignment, release, now)
    return Change(state, timers, cancel_timers=True, desktop_session=session, raise_epoch=True, release=at_once)


def longest(release: ReleasePlan, since: datetime, now: datetime) -> tuple[Timer, ...]:
    """Return the timer of the longest that a desktop may be somebody's who has had it `since`."""
    minutes = release.release_after_minutes
    if minutes is None:
        return ()
    return (Timer("release", _seconds_left(since, minutes, now), Reason("release.max_duration", {"minutes": minutes})),)


def on_assigned(release: ReleasePlan, now: datetime) -> tuple[Timer, ...]:
    """Return the timers that start with an assignment made `now`: for one never used, and for the longest it may last."""
    unused = release.release_if_never_connected_minutes
    timers: list[Timer] = []
    if unused is not None:
        timers.append(Timer("release", unused * 60, Reason("release.never_connected", {"minutes": unused})))
    return (*timers, *longest(release, now, now))


def has_left(assignment: Assignment, desktop: Desktop) -> bool:
    """Tell whether what is recorded proves that the assignment's user is gone from the desktop.

    Proof is a log-off since the last connect, a machine without power, or the agent's word that nobody was ever there.
    """
    if desktop.power in (Power.STOPPED, Power.SHELVED):
        return True
    if assignment.logged_out_at is not None:
        return assignment.connected_at is None or assignment.logged_out_at >= assignment.connected_at
    agent_sees_nobody = desktop.agent is AgentState.RUNNING and desktop.session is SessionState.NONE
    return assignment.connected_at is None and agent_sees_nobody


def hand_over(assignment: Assignment, desktop: Desktop, evidence_logged_off: bool, plan: ReleasePlan) -> HandOver:
    """Return what makes a desktop safe for its next user: free only after positive evidence, deleted only where it may be.

    A seat of a desktop on which others are at work is never bought with their sessions.
    """
    others = max(0, desktop.used_seats - 1)
    if is_gone(desktop):
        return HandOver("free", Reason("desktop.deleted"))  # Nobody can be on a machine that is no more.
    if plan.delete_after_release and desktop.deletable and not others:
        return HandOver("delete", Reason("release.delete"))
    if evidence_logged_off:
        return HandOver("free", Reason("release.clean"))
    if desktop.agent is AgentState.RUNNING:
        return HandOver("log_out", Reason("release.log_out_first"))
    if desktop.power is Power.RUNNING and desktop.external_id and not others:
        return HandOver("reboot", Reason("release.reboot_first"))
    return HandOver("quarantine", Reason("release.no_evidence"))


def _on_disconnect(release: ReleasePlan, power: PowerPlan) -> tuple[Timer, ...]:
    timers: list[Timer] = []
    minutes = release.log_out_after_disconnect_minutes
    if minutes is not None:
        timers.append(Timer("log_out", minutes * 60, Reason("release.log_out_after_disconnect", {"minutes": minutes})))
    minutes = release.release_after_disconnect_minutes
    if minutes is not None:
        timers.append(Timer("release", minutes * 60, Reason("release.after_disconnect", {"minutes": minutes})))
    action, minutes = power.on_disconnect, power.on_disconnect_minutes
    return (*timers, *_power(action, minutes * 60, Reason("power.on_disconnect", {"action": action})))


def _on_log_out(release: ReleasePlan, power: PowerPlan) -> tuple[Timer, ...]:
    timers: tuple[Timer, ...] = ()
    minutes = release.release_after_log_out_minutes
    if minutes is not None:
        timers = (Timer("release", minutes * 60, Reason("release.after_log_out", {"minutes": minutes})),)
    return (*timers, *_power_on_log_out(power, power.on_log_out_minutes * 60))


def _on_release(assignment: Assignment, power: PowerPlan, now: datetime) -> tuple[Timer, ...]:
    """Return the power timer of a release; without one, what the log-out had begun still stands."""
    if power.on_release != "none":
        reason = Reason("power.on_release", {"action": power.on_release})
        return _power(power.on_release, power.on_release_minutes * 60, reason)
    if assignment.state is not AssignmentState.LOGGED_OUT:
        return ()
    since = assignment.logged_out_at or now
    return _power_on_log_out(power, _seconds_left(since, power.on_log_out_minutes, now))


def _power_on_log_out(power: PowerPlan, seconds: int) -> tuple[Timer, ...]:
    return _power(power.on_log_out, seconds, Reason("power.on_log_out", {"action": power.on_log_out}))


def _power(action: str, seconds: int, reason: Reason) -> tuple[Timer, ...]:
    return () if action == "none" else (Timer("power", seconds, reason, argument=action),)


def _maximum(assignment: Assignment, release: ReleasePlan, now: datetime) -> tuple[Timer, ...]:
    # A new epoch ends the timer of the longest duration too, so it is armed anew with what is left of it.
    return longest(release, assignment.assigned_at or now, now)


def _seconds_left(since: datetime, minutes: int, now: datetime) -> int:
    return max(0, round((since + timedelta(minutes=minutes) - now).total_seconds()))
