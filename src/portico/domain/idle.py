"""What happens when nobody touches keyboard and mouse of a session, as its agent tells. Pure."""

from portico.domain.model import (
    Assignment,
    AssignmentState,
    Desktop,
    PowerAction,
    PowerPlan,
    Reason,
    ReleasePlan,
    SessionState,
    Timer,
)

NOTICED_SECONDS = 300  # after so long an agent calls a session idle, unless it says itself for how long it has been
LOCK, DISCONNECT, LOG_OUT, POWER = (
    "release.lock_after_idle", "release.disconnect_after_idle", "release.log_out_after_idle", "power.on_idle",
)  # fmt: skip
CODES = frozenset({LOCK, DISCONNECT, LOG_OUT, POWER})
# Whatever idleness can arm: action, code, argument, as a timer's job names them.
WHAT = (
    ("lock", LOCK, ""), ("disconnect", DISCONNECT, ""), ("log_out", LOG_OUT, ""), *(("power", POWER, str(one)) for one in PowerAction),
)  # fmt: skip
_STILL = (SessionState.IDLE, SessionState.LOCKED)


def timers(release: ReleasePlan, power: PowerPlan, idle_seconds: int) -> tuple[Timer, ...]:
    """Return the timers that start when a session has been idle for `idle_seconds`; what is due already is due at once."""
    made = []
    for action, code, minutes in (
        ("lock", LOCK, release.lock_after_idle_minutes),
        ("disconnect", DISCONNECT, release.disconnect_after_idle_minutes),
        ("log_out", LOG_OUT, release.log_out_after_idle_minutes),
    ):
        if minutes is not None:
            made.append(Timer(action, _left(minutes, idle_seconds), Reason(code, {"minutes": minutes})))
    if power.on_idle != "none":
        left, why = _left(power.on_idle_minutes, idle_seconds), Reason(POWER, {"action": power.on_idle})
        made.append(Timer("power", left, why, power.on_idle))
    return tuple(made)


def _left(minutes: int, idle_seconds: int) -> int:
    return max(0, minutes * 60 - idle_seconds)


def still_holds(reason: str, assignment: Assignment, desktop: Desktop) -> bool:
    """Tell whether a timer that started with idleness may still act: its person is there, and has not moved since.

    Where several work on a desktop, its own state is the liveliest of theirs and says nothing of this one.
    """
    if reason not in CODES:
        return True
    alone = desktop.max_sessions == 1
    return assignment.state is AssignmentState.CONNECTED and (not alone or desktop.session in _STILL)
