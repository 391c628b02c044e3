"""What the plans want of a session that nobody touches."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import assignment, desktop, power_plan, release_plan

from portico.domain import idle
from portico.domain.model import AssignmentState, SessionState

pytestmark = pytest.mark.capability("S032")
MINUTES = st.none() | st.integers(5, 10_000)


def test_each_wait_counts_from_when_the_person_stopped() -> None:
    release = release_plan(lock_after_idle_minutes=5, disconnect_after_idle_minutes=10, log_out_after_idle_minutes=60)
    made = idle.timers(release, power_plan(on_idle="suspend", on_idle_minutes=20), 300)
    assert [(one.action, one.after_seconds, one.argument, one.reason.code) for one in made] == [
        ("lock", 0, "", "release.lock_after_idle"),
        ("disconnect", 300, "", "release.disconnect_after_idle"),
        ("log_out", 3300, "", "release.log_out_after_idle"),
        ("power", 900, "suspend", "power.on_idle"),
    ]


@given(MINUTES, MINUTES, MINUTES, st.integers(0, 10**9))
def test_what_no_plan_wants_is_not_done_and_nothing_is_due_in_the_past(
    lock: Any, off: Any, out: Any, so_far: int
) -> None:
    release = release_plan(
        lock_after_idle_minutes=lock, disconnect_after_idle_minutes=off, log_out_after_idle_minutes=out
    )
    made = idle.timers(release, power_plan(), so_far)
    assert len(made) == sum(one is not None for one in (lock, off, out))
    assert all(one.after_seconds >= 0 and one.reason.code in idle.CODES for one in made)


@pytest.mark.parametrize(
    ("state", "session", "seats", "holds"),
    [
        ("connected", "idle", 1, True),
        ("connected", "locked", 1, True),
        ("connected", "logged on", 1, False),
        ("disconnected", "idle", 1, False),
        ("connected", "logged on", 4, True),  # somebody else is at work there
    ],
)
def test_a_timer_of_idleness_acts_only_on_who_is_there_and_still(
    state: str, session: str, seats: int, holds: bool
) -> None:
    mine = assignment(state=AssignmentState(state))
    there = desktop(session=SessionState(session), max_sessions=seats)
    assert idle.still_holds(idle.LOG_OUT, mine, there) is holds
    assert idle.still_holds("release.after_disconnect", mine, there)
