"""What leads where: the state machines of assignments and of desktops in the making. All that changes a state asks here."""

from collections.abc import Mapping
from enum import StrEnum

from portico.domain.model import AssignmentState as A
from portico.domain.model import SessionState, Stage


class Event(StrEnum):
    """Evidence that moves an assignment: from the agent, from the gateway, from a person, from a timer."""

    OPENED = "opened"  # the gateway carries a connection of this assignment
    CLOSED = "closed"  # the last carried connection has ended
    LOGGED_ON = "logged on"  # the agent saw the user's session start
    RECONNECTED = "reconnected"
    DISCONNECTED = "disconnected"  # the agent saw the user's client leave
    LOGGED_OFF = "logged off"  # the agent saw the user's session end: the positive evidence
    RELEASE = "release"  # a person, a plan or a timer takes the desktop back
    FREED = "freed"  # the desktop is clean (or gone): the seat may be given again


# Assignment: what each event leads to. An event that is not listed for a state is history, never a transition.
ASSIGNMENT: Mapping[A, Mapping[Event, A]] = {
    A.ASSIGNED: {
        Event.OPENED: A.CONNECTED,
        Event.LOGGED_ON: A.CONNECTED,
        Event.RECONNECTED: A.CONNECTED,
        Event.LOGGED_OFF: A.LOGGED_OUT,
        Event.RELEASE: A.RELEASING,
    },
    A.CONNECTED: {
        Event.CLOSED: A.DISCONNECTED,
        Event.DISCONNECTED: A.DISCONNECTED,
        Event.LOGGED_OFF: A.LOGGED_OUT,
        Event.RELEASE: A.RELEASING,
    },
    A.DISCONNECTED: {
        Event.OPENED: A.CONNECTED,
        Event.RECONNECTED: A.CONNECTED,
        Event.LOGGED_ON: A.CONNECTED,
        Event.LOGGED_OFF: A.LOGGED_OUT,
        Event.RELEASE: A.RELEASING,
    },
    A.LOGGED_OUT: {
        Event.OPENED: A.CONNECTED,
        Event.LOGGED_ON: A.CONNECTED,
        Event.RELEASE: A.RELEASING,
    },
    A.RELEASING: {Event.FREED: A.RELEASED},
    A.RELEASED: {},
}

LIVE = frozenset({A.ASSIGNED, A.CONNECTED, A.DISCONNECTED, A.LOGGED_OUT, A.RELEASING})
USABLE = frozenset({A.ASSIGNED, A.CONNECTED, A.DISCONNECTED, A.LOGGED_OUT})  # the user may (re)connect

# What an event of the agent says about the desktop's own session axis.
SESSION: Mapping[Event, SessionState] = {
    Event.LOGGED_ON: SessionState.LOGGED_ON,
    Event.RECONNECTED: SessionState.LOGGED_ON,
    Event.DISCONNECTED: SessionState.DISCONNECTED,
    Event.LOGGED_OFF: SessionState.NONE,
}

# A desktop in the making: which stage may follow which.
STAGE: Mapping[Stage, frozenset[Stage]] = {
    # From INTENT straight to BUILDING: inventory met the machine before the answer to its create was recorded.
    Stage.INTENT: frozenset({Stage.CREATING, Stage.BUILDING, Stage.FAILED, Stage.DELETING, Stage.GONE}),
    Stage.CREATING: frozenset({Stage.INTENT, Stage.BUILDING, Stage.FAILED, Stage.DELETING, Stage.GONE}),
    Stage.BUILDING: frozenset({Stage.PREPARING, Stage.READY, Stage.FAILED, Stage.DELETING, Stage.GONE}),
    Stage.PREPARING: frozenset({Stage.READY, Stage.FAILED, Stage.DELETING, Stage.GONE}),
    Stage.READY: frozenset({Stage.QUARANTINED, Stage.DELETING, Stage.GONE}),
    Stage.QUARANTINED: frozenset({Stage.READY, Stage.DELETING, Stage.GONE}),
    Stage.FAILED: frozenset({Stage.DELETING, Stage.GONE}),
    Stage.DELETING: frozenset({Stage.GONE}),
    Stage.GONE: frozenset(),
}

IN_FLIGHT = frozenset({Stage.INTENT, Stage.CREATING, Stage.BUILDING, Stage.PREPARING})


def next_assignment_state(state: A, event: Event) -> A | None:
    """Return the state that `event` leads to, or None when it is only history here."""
    return ASSIGNMENT[state].get(event)


def may_stage(before: Stage, after: Stage) -> bool:
    """Tell whether a desktop in stage `before` may go to `after`."""
    return after in STAGE[before]
