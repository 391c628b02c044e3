"""What every way to log in shares: the attempt, its outcome, the session at its end, and what is written down."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.access import Actor, reach_of
from portico.domain.directories import DirectoryRecord
from portico.domain.explain import as_json
from portico.domain.login import Lockout, after_failure
from portico.domain.model import Client, Reason, Role, User
from portico.services import clients, sessions
from portico.services.broker import Broker
from portico.services.sessions import Given, Key, SignedIn
from portico.store import events, users
from portico.store import sessions as session_store

MAX_NAME = 200
MAX_ADDRESS = 40
COUNT_TRIES = 50  # more than guesses fit into the queue of the hashes at once


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to log in. `tenant_id`: at its own page; `directory_id`: chosen there; `key`: what the session will be known by.

    `passkey`: proven by one, without a password.
    """

    name: str
    password: str
    client: Client
    key: Key
    tenant_id: str = ""
    directory_id: str = ""
    passkey: bool = False


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A log-in that succeeded; `secret` is the value of the cookie or bearer."""

    me: SignedIn
    secret: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A log-in that did not, why, and how many seconds to wait before the next try (0: none)."""

    reason: Reason
    retry_after: int = 0


Outcome = LoggedIn | Refused


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known before anything is proven."""

    login_name: str  # folded, without its domain
    asked: tuple[DirectoryRecord, ...]  # in this order
    row: Any  # of the local user
    counters: dict[str, Any]


def attempt(broker: Broker, name: str, password: str, client: Client, kind: str = "web", **more: Any) -> Attempt:
    """Read what was typed; names and addresses of any length are bounded here."""
    client = replace(client, address=client.address[:MAX_ADDRESS])
    return Attempt(name[:MAX_NAME], password, client, sessions.new_key(broker, kind), **more)


def enter(broker: Broker, conn: Connection, wanted: Attempt, user: User, given: Given) -> None:
    """Open the session and write down that somebody came, and where: three statements."""
    sessions.open_session(broker, conn, user, wanted.client, wanted.key, given)
    clients.saw(broker, conn, user, wanted.client)
    params: dict[str, Any] = {"address": wanted.client.address, "policy": given.policy.name}
    params |= {"by": "passkey"} if wanted.passkey else {}
    entry = events.Entry(
        broker.now(), "login.ok", user.tenant_id, user.login_name, params=params, reason=given.reason, user_id=user.id,
        correlation=wanted.key.id,
    )  # fmt: skip
    events.add(conn, entry)


def arrived(broker: Broker, wanted: Attempt, user: User, role: Role, given: Given, preferences: Any) -> LoggedIn:
    """Return who has logged in."""
    key, policy = wanted.key, given.policy
    within = reach_of(role, broker.snapshots.get().pools)
    actor = Actor(user.id, user.login_name, user.tenant_id, role, key.id, within=within)
    me = SignedIn(
        key.id, user, actor, role, policy, wanted.client.address, broker.now() + timedelta(hours=policy.session_hours),
        sessions.csrf_of(key.secret), preferences or {}, wanted.client, given.pending,
    )  # fmt: skip
    return LoggedIn(me, key.value)


def lockout_of(row: Any, counter: Any) -> Lockout:
    """Return how often in a row somebody, or a name that nobody here has, has failed."""
    if row is not None:
        return Lockout(row.failed, row.last_failed_at, row.locked_until)
    if counter is not None:
        return Lockout(counter.failed, counter.window_at, counter.locked_until)
    return Lockout()


def locked(seconds: int) -> Refused:
    """Return the refusal of a name that was tried too often."""
    return Refused(Reason("login.locked", {"seconds": seconds, "minutes": -(-seconds // 60)}), seconds)


def count_name(conn: Connection, name: str, seen: Lockout, now: datetime) -> Lockout:
    """Raise the count of a name that no local user has."""
    before = seen
    for _ in range(COUNT_TRIES):
        after = after_failure(before, now)
        if users.note_name_failure(conn, name, before.failed, **asdict(after)):
            return after
        before = lockout_of(None, users.get_counter(conn, users.name_key(name)))
    return after_failure(before, now)


def refuse(broker: Broker, wanted: Attempt, reason: Reason, user: User) -> Refused:
    """Write down that somebody whose password was right does not come in, and why."""
    with broker.db.write() as conn:
        entry = events.Entry(
            broker.now(), "login.refused", user.tenant_id, user.login_name, "warning",
            params={"address": wanted.client.address}, reason=as_json(reason), user_id=user.id or None,
        )  # fmt: skip
        events.add(conn, entry)
    return Refused(reason)


def password_changed(broker: Broker, conn: Connection, me: SignedIn) -> None:
    """End the other sessions of whoever has a new password, and write it down."""
    now = broker.now()
    session_store.end_all(conn, me.user.id, now, "password changed", keep=me.session_id)
    entry = events.Entry(now, "user.password_changed", me.user.tenant_id, me.user.login_name, user_id=me.user.id)
    events.add(conn, entry)
