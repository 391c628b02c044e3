"""What the agent makes of what it sees."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.agent.session import Moment, Session, Sight, describe, step
from portico.wire.agent import EVENTS, STATES

pytestmark = pytest.mark.capability("S026", "S027")

NOW = Moment("2030-01-01T00:00:00+00:00", idle_after_seconds=300)


class Story:
    """Shows the agent one look after another, and collects what it says."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self.sessions: dict[str, Session] = {}
        self.users = dict(users)
        self.before: Sequence[Sight] = ()
        self.said: list[str] = []

    def sees(self, *sights: Sight, times: int = 2) -> "Story":
        for _ in range(times):
            after = step(self.sessions, self.users, self.before, sights, NOW)
            self.sessions, self.users, self.before = after.sessions, after.users, sights
            self.said += [f"{event.kind} {event.user}" for event in after.events]
        return self


def vnc(leader: str, clients: int, idle: int | None = None, locked: bool = False) -> Sight:
    return Sight("vnc", leader, clients, idle, locked)


def test_a_screen_becomes_a_session_when_the_expected_user_comes() -> None:
    """The first client on a prepared screen is a log-on, its leaving a disconnect, its return a reconnect."""
    story = Story({"vnc": "ada"}).sees(vnc("a", 0)).sees(vnc("a", 1)).sees(vnc("a", 0)).sees(vnc("a", 1))
    assert story.said == ["logged_on ada", "disconnected ada", "reconnected ada"]


def test_a_client_that_nobody_expects_is_no_session() -> None:
    """A connection to a screen that was not prepared for anybody is not reported."""
    assert Story({}).sees(vnc("a", 1)).said == []


def test_a_probe_of_the_port_is_no_user() -> None:
    """A connection that only one look saw neither begins a session nor reconnects one."""
    story = Story({"vnc": "ada"}).sees(vnc("a", 0)).sees(vnc("a", 1), times=1).sees(vnc("a", 0))
    assert story.said == []


def test_the_end_of_the_leader_is_the_log_off() -> None:
    """When the session's first process ends, the user is logged off and the next screen is nobody's."""
    story = Story({"vnc": "ada"}).sees(vnc("a", 1)).sees(vnc("", 0)).sees(vnc("b", 1))
    assert story.said == ["logged_on ada", "logged_off ada"]
    assert story.users == {}


def test_a_leader_that_was_replaced_between_two_looks_is_a_log_off_too() -> None:
    """A new leader's screen is not taken for the old session."""
    assert Story({"vnc": "ada"}).sees(vnc("a", 1)).sees(vnc("b", 0)).said == ["logged_on ada", "logged_off ada"]


def test_a_terminal_is_a_session_from_its_appearance() -> None:
    """A tmux server that appears is a log-on; it lives on without clients until it is gone."""
    story = Story({"ssh": "ada"}).sees(Sight("ssh", "1", 1)).sees(Sight("ssh", "1", 0)).sees(Sight("ssh", "", 0))
    assert story.said == ["logged_on ada", "disconnected ada", "logged_off ada"]


def test_both_kinds_are_told_apart() -> None:
    """The end of the terminal leaves the screen alone."""
    story = (
        Story({"vnc": "ada", "ssh": "bob"})
        .sees(vnc("a", 1), Sight("ssh", "1", 1))
        .sees(vnc("a", 1), Sight("ssh", "", 0))
    )
    assert story.said == ["logged_on bob", "logged_on ada", "logged_off bob"]
    assert set(story.sessions) == {"vnc"}


def test_idle_and_locked_are_said_once_and_taken_back() -> None:
    """Crossing the idle time and the lock are events, staying there is not."""
    story = Story({"vnc": "ada"}).sees(vnc("a", 1, 10)).sees(vnc("a", 1, 300, True)).sees(vnc("a", 1, 2))
    assert story.said == ["logged_on ada", "locked ada", "idle ada", "unlocked ada", "active ada"]


def test_what_is_described_is_of_the_wire_format() -> None:
    """A locked session is "locked" to the broker, a disconnected one is that whatever else it is."""
    session = Session("a", "ada", "vnc", "logged on", NOW.now, locked=True, idle=True)
    assert describe(session, 7)["state"] == "locked"
    assert describe(session._replace(locked=False), 7)["state"] == "idle"
    assert describe(session._replace(state="disconnected"), None)["state"] == "disconnected"


sights = st.builds(
    Sight,
    st.just("vnc"),
    st.sampled_from(["", "a", "b"]),
    st.integers(0, 2),
    st.none() | st.integers(0, 600),
    st.booleans(),
)


@given(st.lists(sights, max_size=40))
def test_whatever_is_seen_the_story_makes_sense(seen: list[Sight]) -> None:
    """Each session begins with a log-on, ends with at most one log-off, and comes and goes in turns between."""
    story = Story({})
    for sight in seen:
        story.users["vnc"] = "ada"
        story.sees(sight, times=1)
    kinds = [line.split()[0] for line in story.said]
    assert set(kinds) <= set(EVENTS)
    coming_and_going = [kind for kind in kinds if kind in ("logged_on", "reconnected", "disconnected", "logged_off")]
    state = "none"
    for kind in coming_and_going:
        state = {
            ("none", "logged_on"): "on",
            ("on", "disconnected"): "away",
            ("away", "reconnected"): "on",
            ("on", "logged_off"): "none",
            ("away", "logged_off"): "none",
        }[state, kind]
    assert all(describe(session, None)["state"] in STATES for session in story.sessions.values())
