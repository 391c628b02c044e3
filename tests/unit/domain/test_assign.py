from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, assignment, desktop, desktops, power_plan, release_plan

from portico.domain.assign import Change, hand_over, has_left, on_assigned, on_event
from portico.domain.model import AgentState, Assignment, AssignmentState, Desktop, Power, SessionState, Stage
from portico.domain.states import Event

pytestmark = pytest.mark.capability("S032")

A = AssignmentState


def after(event: Event, state: A = A.CONNECTED, *, deletable: bool = False, **plans: Any) -> Change:
    release = release_plan(**{key: value for key, value in plans.items() if not key.startswith("on_")})
    power = power_plan(**{key: value for key, value in plans.items() if key.startswith("on_")})
    mine = assignment(state=state, connected_at=NOW, logged_out_at=NOW)
    change = on_event(mine, event, release, power, deletable, NOW + 10 * MINUTE)
    assert change is not None
    return change


def timers(change: Change) -> list[tuple[str, int, str, str]]:
    return [(one.action, one.after_seconds, one.argument, one.reason.code) for one in change.timers]


@pytest.mark.parametrize("event", [Event.CLOSED, Event.DISCONNECTED])
def test_a_leaving_client_starts_the_timers_of_both_plans(event: Event) -> None:
    change = after(
        event,
        log_out_after_disconnect_minutes=5,
        release_after_disconnect_minutes=60,
        on_disconnect="suspend",
        on_disconnect_minutes=30,
    )
    assert change.state is A.DISCONNECTED
    assert timers(change) == [
        ("log_out", 300, "", "release.log_out_after_disconnect"),
        ("release", 3600, "", "release.after_disconnect"),
        ("power", 1800, "suspend", "power.on_disconnect"),
    ]
    assert not (change.raise_epoch or change.cancel_timers or change.release)


@pytest.mark.parametrize("event", [Event.OPENED, Event.RECONNECTED, Event.LOGGED_ON])
def test_coming_back_raises_the_epoch_and_thereby_ends_the_timers(event: Event) -> None:
    change = after(event, A.DISCONNECTED, release_after_disconnect_minutes=60, on_disconnect="stop")
    assert (change.state, change.raise_epoch, change.cancel_timers) == (A.CONNECTED, True, True)
    assert change.timers == ()


def test_the_longest_duration_survives_a_reconnect() -> None:
    change = after(Event.RECONNECTED, A.DISCONNECTED, release_after_minutes=60)
    assert timers(change) == [("release", 50 * 60, "", "release.max_duration")]


def test_a_duration_that_is_over_is_due_at_once() -> None:
    assert timers(after(Event.LOGGED_OFF, release_after_minutes=5)) == [("release", 0, "", "release.max_duration")]


@pytest.mark.capability("S027", "S113")
def test_a_log_off_releases_at_once_where_the_plan_says_zero() -> None:
    change = after(Event.LOGGED_OFF, release_after_log_out_minutes=0, on_log_out="stop")
    assert change.release
    assert (change.state, change.desktop_session, change.timers) == (A.LOGGED_OUT, SessionState.NONE, ())


def test_a_log_off_starts_its_own_timers() -> None:
    change = after(Event.LOGGED_OFF, release_after_log_out_minutes=15, on_log_out="shutdown", on_log_out_minutes=5)
    assert timers(change) == [
        ("release", 900, "", "release.after_log_out"),
        ("power", 300, "shutdown", "power.on_log_out"),
    ]
    assert change.raise_epoch
    assert not change.release


@pytest.mark.capability("S025")
def test_a_permanent_desktop_is_kept_after_log_off() -> None:
    assert after(Event.LOGGED_OFF) == Change(A.LOGGED_OUT, (), True, SessionState.NONE, True, False)


def test_a_release_runs_the_power_plan_unless_the_desktop_is_deleted() -> None:
    change = after(Event.RELEASE, on_release="stop", on_release_minutes=2)
    assert change.state is A.RELEASING
    assert timers(change) == [("power", 120, "stop", "power.on_release")]
    gone = after(Event.RELEASE, on_release="stop", delete_after_release=True, deletable=True)
    assert gone.timers == ()
    kept = after(Event.RELEASE, on_release="stop", delete_after_release=True, deletable=False)
    assert timers(kept) == [("power", 0, "stop", "power.on_release")]


def test_what_the_log_out_had_begun_still_stands_after_a_release() -> None:
    change = after(Event.RELEASE, A.LOGGED_OUT, on_log_out="stop", on_log_out_minutes=15)
    assert timers(change) == [("power", 5 * 60, "stop", "power.on_log_out")]
    assert after(Event.RELEASE, A.CONNECTED, on_log_out="stop").timers == ()


def test_a_freed_desktop_ends_its_assignment() -> None:
    change = after(Event.FREED, A.RELEASING)
    assert (change.state, change.timers, change.cancel_timers) == (A.RELEASED, (), True)


@given(st.sampled_from(A), st.sampled_from(Event), st.booleans(), st.integers(0, 99) | st.none())
def test_every_event_in_every_state_has_an_answer(state: A, event: Event, deletable: bool, minutes: int | None) -> None:
    plan = release_plan(release_after_log_out_minutes=minutes, release_after_minutes=minutes)
    change = on_event(assignment(state=state), event, plan, power_plan(on_log_out="stop"), deletable, NOW)
    if change is not None:
        assert change.state is not state
        assert change.raise_epoch is change.cancel_timers
        assert all(timer.after_seconds >= 0 for timer in change.timers)
        assert not change.release or event is Event.LOGGED_OFF


def test_a_late_report_is_history() -> None:
    late = assignment(state=A.RELEASED)
    assert on_event(late, Event.LOGGED_ON, release_plan(), power_plan(), True, NOW) is None


def test_an_assignment_begins_with_its_own_timers() -> None:
    plan = release_plan(release_if_never_connected_minutes=15, release_after_minutes=480)
    assert [(one.action, one.after_seconds) for one in on_assigned(plan, NOW)] == [("release", 900), ("release", 28800)]
    assert on_assigned(release_plan(), NOW) == ()


@pytest.mark.parametrize(
    ("times", "machine", "left"),
    [
        ({"connected_at": NOW, "logged_out_at": NOW + MINUTE}, {}, True),
        ({"connected_at": NOW + MINUTE, "logged_out_at": NOW}, {}, False),
        ({"connected_at": NOW}, {}, False),
        ({"connected_at": NOW}, {"power": Power.STOPPED}, True),
        ({"connected_at": NOW}, {"power": Power.SUSPENDED}, False),
        ({}, {}, True),
        ({}, {"session": SessionState.LOGGED_ON}, False),
        ({}, {"agent": AgentState.NOT_INSTALLED}, False),
        ({"logged_out_at": NOW}, {"agent": AgentState.UNREACHABLE}, True),
    ],
)
def test_only_proof_counts_as_having_left(times: dict[str, Any], machine: dict[str, Any], left: bool) -> None:
    assert has_left(assignment(**times), desktop(**machine)) is left


@pytest.mark.parametrize(
    ("machine", "evidence", "deletes", "action"),
    [
        ({"deletable": True}, False, True, "delete"),
        ({"deletable": False}, True, True, "free"),
        ({"deletable": True, "used_seats": 2}, True, True, "free"),
        ({"deletable": True, "used_seats": 2}, False, True, "log_out"),
        ({"deletable": True}, False, False, "log_out"),
        ({"agent": AgentState.UNREACHABLE}, False, False, "reboot"),
        ({"agent": AgentState.UNREACHABLE, "used_seats": 2}, False, False, "quarantine"),
        ({"agent": AgentState.UNREACHABLE, "external_id": None}, False, False, "quarantine"),
        ({"agent": AgentState.UNREACHABLE, "power": Power.PAUSED}, False, False, "quarantine"),
        ({"agent": AgentState.UNREACHABLE}, True, False, "free"),
        ({"stage": Stage.GONE}, False, False, "free"),
    ],
)
def test_a_desktop_is_made_safe_for_the_next_user(
    machine: dict[str, Any], evidence: bool, deletes: bool, action: str
) -> None:
    plan = release_plan(delete_after_release=deletes)
    assert hand_over(assignment(), desktop(**machine), evidence, plan).action == action


@pytest.mark.capability("S026")
@given(desktops(), st.sampled_from(A), st.booleans())
def test_nobody_gets_a_desktop_without_evidence_that_the_last_one_left(some: Desktop, state: A, deletes: bool) -> None:
    mine: Assignment = assignment(state=state)
    action = hand_over(mine, some, False, release_plan(delete_after_release=deletes)).action
    existing = some.stage is not Stage.GONE and some.status != "deleted"
    assert not (existing and action == "free")
    assert action != "delete" or (some.deletable and deletes and some.used_seats <= 1)
