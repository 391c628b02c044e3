"""What happens when nobody touches keyboard and mouse of a session, as its agent tells. Pure."""

from portico.domain.model import (
    Assignment,
    AssignmentState,
    Desktop,
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
_STILL = (SessionState.IDLE, SessionState.LOCKED)


def timers(release: ReleasePlan, power: PowerPlan, idle_seconds: int) -> tuple[Timer, ...]:
    """Return the timers that start when a session has been idle for `idle_seconds`; what is due already is due at once."""
    waits = (
        ("lock", release.lock_after_idle_minutes, Reason(LOCK, {"minutes": release.lock_after_idle_minutes or 0}), ""),
        ("disconnect", release.disconnect_after_idle_minutes, Reason(DISCONNECT, {"minutes": release.disconnect_after_idle_minutes or 0}), ""),
        ("log_out", release.log_out_after_idle_minutes, Reason(LOG_OUT, {"minutes": release.log_out_after_idle_minutes or 0}), ""),
        ("power", None if power.on_idle == "none" else power.on_idle_minutes, Reason(POWER, {"action": power.on_idle}), power.on_idle),
    )  # fmt: skip
    return tuple(
        Timer(action, max(0, minutes * 60 - idle_seconds), reason, argument)
        for action, minutes, reason, argument in waits
        if minutes is not None
    )


def still_holds(reason: str, assignment: Assignment, desktop: Desktop) -> bool:
    """Tell whether a timer that started with idleness may still act: its person is there, and has not moved since.

    Where several work on a desktop, its own state is the liveliest of theirs and says nothing of this one.
    """
    if reason not in CODES:
        return True
    alone = desktop.max_sessions == 1
    return assignment.state is AssignmentState.CONNECTED and (not alone or desktop.session in _STILL)
