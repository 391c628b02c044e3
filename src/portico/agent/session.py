"""What the operating system shows → what the broker is told. Pure: no clock, no files, no processes.

A session begins when its first client is there (a graphical one) or when it appears (a terminal), and ends when the process that
leads it is gone. Between them clients come and go. A client counts only when two looks in a row saw it: who merely tries a port
is no user.
"""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple


class Sight(NamedTuple):
    """One kind of session as the system shows it now. `id` names its leader, empty when there is none."""

    kind: str
    id: str
    clients: int
    idle_seconds: Optional[int] = None
    locked: bool = False


class Session(NamedTuple):
    """A session that the broker knows of. `state` is "logged on" or "disconnected"."""

    id: str
    user: str
    kind: str
    state: str
    since: str
    locked: bool = False
    idle: bool = False


class Event(NamedTuple):
    """Something that happened to a session, one of wire.agent.EVENTS."""

    kind: str
    session: str
    user: str
    session_kind: str
    at: str


class Step(NamedTuple):
    """What a look has led to."""

    sessions: Dict[str, Session]
    users: Dict[str, str]
    events: List[Event]


class Moment(NamedTuple):
    """When the look was taken (ISO 8601), and from how many seconds on a session is idle."""

    now: str
    idle_after_seconds: int = 300


def step(
    sessions: Dict[str, Session],
    users: Dict[str, str],
    before: Sequence[Sight],
    sights: Sequence[Sight],
    moment: Moment,
) -> Step:
    """Compare two looks with what is known and return what is known now, with the events in the order that they happened.

    `sessions` and `users` are by kind; `users` holds whom the last `prepare` named and forgets him when his session ends.
    """
    found = dict(sessions)
    named = dict(users)
    events: List[Event] = []
    earlier = {sight.kind: sight for sight in before}
    for sight in sights:
        known = found.get(sight.kind)
        if known is not None and known.id != sight.id:
            events.append(_event("logged_off", known, moment))
            del found[sight.kind]
            named.pop(sight.kind, None)
            known = None
        then = earlier.get(sight.kind)
        settled = then is not None and then.id == sight.id and (then.clients > 0) == (sight.clients > 0)
        if known is None:
            known = _begin(sight, named.get(sight.kind), settled, moment)
            if known is None:
                continue
            events.append(_event("logged_on", known, moment))
        found[sight.kind], more = _go_on(known, sight, settled, moment)
        events.extend(more)
    return Step(found, named, events)


def describe(session: Session, idle_seconds: Optional[int]) -> Dict[str, object]:
    """Return a session as the wire format has it (SESSION)."""
    state = session.state
    if state == "logged on" and session.locked:
        state = "locked"
    elif state == "logged on" and session.idle:
        state = "idle"
    return {
        "id": session.id,
        "user": session.user,
        "kind": session.kind,
        "state": state,
        "since": session.since,
        "idle_seconds": idle_seconds,
    }


def _begin(sight: Sight, user: Optional[str], settled: bool, moment: Moment) -> Optional[Session]:
    if not sight.id:
        return None
    if sight.kind == "vnc" and not (user and settled and sight.clients):
        return None  # the screen is always there; it becomes somebody's when he is expected and comes
    return Session(sight.id, user or "", sight.kind, "logged on", moment.now)


def _go_on(session: Session, sight: Sight, settled: bool, moment: Moment) -> Tuple[Session, List[Event]]:
    events: List[Event] = []
    changes = (
        (settled and sight.clients == 0 and session.state == "logged on", "disconnected", {"state": "disconnected"}),
        (settled and sight.clients > 0 and session.state == "disconnected", "reconnected", {"state": "logged on"}),
        (sight.locked and not session.locked, "locked", {"locked": True}),
        (session.locked and not sight.locked, "unlocked", {"locked": False}),
        (not session.idle and _is_idle(sight, moment), "idle", {"idle": True}),
        (session.idle and not _is_idle(sight, moment), "active", {"idle": False}),
    )
    for happened, kind, values in changes:
        if happened:
            since = moment.now if "state" in values else session.since
            session = session._replace(since=since, **values)
            events.append(_event(kind, session, moment))
    return session, events


def _is_idle(sight: Sight, moment: Moment) -> bool:
    return sight.idle_seconds is not None and sight.idle_seconds >= moment.idle_after_seconds


def _event(kind: str, session: Session, moment: Moment) -> Event:
    return Event(kind, session.id, session.user, session.kind, moment.now)
