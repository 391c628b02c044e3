"""Logging in: facts, one hash, one transaction. Unknown, wrong and locked look and last the same for names nobody has."""

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.access import Actor
from portico.domain.explain import as_json
from portico.domain.login import Lockout, after_failure, check_password_policy, locked_for, split_name
from portico.domain.model import Client, Reason, User
from portico.errors import Invalid
from portico.services import sessions
from portico.services.broker import Broker
from portico.services.explaining import sentence
from portico.services.sessions import SignedIn
from portico.store import events, users
from portico.store import sessions as session_store

ADDRESS_LIMIT = 30  # failures a minute from one address
MAX_NAME = 200
MAX_ADDRESS = 40
COUNT_TRIES = 50  # more than guesses fit into the queue of the hashes at once


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


def login(broker: Broker, name: str, password: str, client: Client, *, kind: str = "web") -> LoggedIn | Refused:
    """Log a local user in: at most six statements."""
    now, client = broker.now(), replace(client, address=client.address[:MAX_ADDRESS])
    login_name = split_name(name[:MAX_NAME])[0][:MAX_NAME]
    with broker.db.read() as conn:
        row, counters = users.login_facts(conn, login_name, client.address)
    crowd = counters.get(users.address_key(client.address))
    if crowd is not None and crowd.failed >= ADDRESS_LIMIT:
        wait = timedelta(seconds=users.ADDRESS_WINDOW_SECONDS) - (now - crowd.window_at)
        if wait > timedelta():
            return Refused(
                Reason("login.rate_limited", {"seconds": int(wait.total_seconds()) + 1}),
                int(wait.total_seconds()) + 1,
            )
    lockout = _lockout(row, counters.get(users.name_key(login_name)))
    if seconds := locked_for(lockout, now):
        return Refused(Reason("login.locked", {"seconds": seconds, "minutes": -(-seconds // 60)}), seconds)
    fits = bool(password) and broker.hasher.verify(row.password_hash if row else None, password)
    if not fits or row is None or row.disabled:
        return _refuse(broker, login_name, client, row, lockout)
    user = users.record(row)
    snapshot = broker.snapshots.get()
    role = snapshot.roles.get(user.role_id) or broker.snapshots.get(fresh=True).roles[user.role_id]
    if not role.may_log_in or (kind == "api" and not role.may_use_api):
        return _refuse_role(broker, user, client)
    policy = snapshot.policy_of(user.tenant_id, user.policy_id)
    with broker.db.write() as conn:
        if not users.note_login(conn, user.id, now):  # others guessed at the same time, until the account was locked
            return Refused(Reason("login.wrong"))
        session_id, secret = sessions.open_session(broker, conn, user, client, kind, policy)
        params = {"address": client.address, "policy": policy.name}
        entry = events.Entry(
            now, "login.ok", user.tenant_id, user.login_name, params=params, user_id=user.id, correlation=session_id
        )
        events.add(conn, entry)
    actor = Actor(user.id, user.login_name, user.tenant_id, role, session_id)
    me = SignedIn(
        session_id, user, actor, role, policy, client.address, now + timedelta(hours=policy.session_hours),
        sessions.csrf_of(secret), row.preferences or {}, client,
    )  # fmt: skip
    return LoggedIn(me, secret)


def _lockout(row: Any, counter: Any) -> Lockout:
    if row is not None:
        return Lockout(row.failed, row.last_failed_at, row.locked_until)
    if counter is not None:
        return Lockout(counter.failed, counter.window_at, counter.locked_until)
    return Lockout()


def _refuse(broker: Broker, login_name: str, client: Client, row: Any, lockout: Lockout) -> Refused:
    now = broker.now()
    reason = Reason("login.wrong")
    with broker.db.write() as conn:
        after = _count_failure(conn, login_name, row, lockout, now)
        users.note_address_failure(conn, client.address, now)
        known = Reason("login.disabled") if row is not None and row.disabled else reason
        entry = events.Entry(
            now, "login.refused", row.tenant_id if row else None, login_name, "warning",
            params={"address": client.address, "failed": after.failed}, reason=as_json(known),
            user_id=row.id if row else None,
        )  # fmt: skip
        events.add(conn, entry)
    seconds = locked_for(after, now)
    return (
        Refused(Reason("login.locked", {"seconds": seconds, "minutes": -(-seconds // 60)}), seconds)
        if seconds
        else Refused(reason)
    )


def _count_failure(conn: Connection, login_name: str, row: Any, seen: Lockout, now: datetime) -> Lockout:
    """Raise the count of a name that somebody, or nobody, has; who guesses in parallel is counted each time."""
    before = seen
    for _ in range(COUNT_TRIES):
        after = after_failure(before, now)
        if row is not None:
            if users.note_failure(conn, row.id, before.failed, **asdict(after)):
                return after
            before = _lockout(users.get_lockout(conn, row.id), None)
        else:
            if users.note_name_failure(conn, login_name, before.failed, **asdict(after)):
                return after
            before = _lockout(None, users.get_counter(conn, users.name_key(login_name)))
    return after_failure(before, now)


def _refuse_role(broker: Broker, user: User, client: Client) -> Refused:
    reason = Reason("login.not_allowed")
    with broker.db.write() as conn:
        entry = events.Entry(
            broker.now(), "login.refused", user.tenant_id, user.login_name, "warning",
            params={"address": client.address}, reason=as_json(reason), user_id=user.id,
        )  # fmt: skip
        events.add(conn, entry)
    return Refused(reason)


def change_password(broker: Broker, me: SignedIn, old: str, new: str) -> None:
    """Set one's own password and end one's other sessions. Raises Invalid naming the field `old` or `new`."""
    now = broker.now()
    with broker.db.read() as conn:
        row = users.get_row(conn, sessions.tenant_of(me), me.user.id)
    lockout = Lockout(row.failed, row.last_failed_at, row.locked_until) if row else Lockout()
    if locked_for(lockout, now):
        raise Invalid("Too many tries.", {"old": "Wait some minutes, then try again."})
    if row is None or not broker.hasher.verify(row.password_hash, old):
        if row is not None:
            with broker.db.write() as conn:
                _count_failure(conn, row.login_name, row, lockout, now)
        raise Invalid("The password was not changed.", {"old": "This is not your password."})
    if (reason := check_password_policy(new, me.user.login_name)) is not None:
        raise Invalid("The password was not changed.", {"new": sentence(reason)})
    if old == new:
        raise Invalid("The password was not changed.", {"new": "Choose one that you have not now."})
    hashed = broker.hasher.hash(new)
    with broker.db.write() as conn:
        users.set_password(conn, me.user.id, hashed, now, must_change=False)
        session_store.end_all(conn, me.user.id, now, "password changed", keep=me.session_id)
        events.add(
            conn, events.Entry(now, "user.password_changed", me.user.tenant_id, me.user.login_name, user_id=me.user.id)
        )
