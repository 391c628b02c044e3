"""Users who are kept here: one hash, and as long a one for names that nobody has."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.login import Lockout, after_failure, check_password_policy, locked_for, step_after_password
from portico.domain.model import Client, Reason
from portico.errors import Invalid
from portico.services import sessions
from portico.services.attempts import (
    COUNT_TRIES,
    Attempt,
    Facts,
    Outcome,
    Refused,
    arrived,
    count_name,
    enter,
    locked,
    lockout_of,
    password_changed,
    refuse,
)
from portico.services.broker import Broker
from portico.services.explaining import sentence
from portico.services.sessions import Given, SignedIn
from portico.store import events, users


def log_in(broker: Broker, wanted: Attempt, found: Facts) -> Outcome:
    """Compare the password, for names that nobody has as well."""
    now, row, name = broker.now(), found.row, found.login_name
    lockout = lockout_of(row, found.counters.get(users.name_key(name)))
    if seconds := locked_for(lockout, now):
        return locked(seconds)
    fits = bool(wanted.password) and broker.hasher.verify(row.password_hash if row else None, wanted.password)
    if not fits or row is None or row.disabled:
        return _refuse(broker, name, wanted.client, row, lockout)
    user = users.record(row)
    snapshot = broker.snapshots.get()
    role = snapshot.roles.get(user.role_id) or broker.snapshots.get(fresh=True).roles[user.role_id]
    if not role.may_log_in or (wanted.key.kind == "api" and not role.may_use_api):
        return refuse(broker, wanted, Reason("login.not_allowed"), user)
    policy = snapshot.policy_of(user.tenant_id, user.policy_id)
    given = Given(policy, pending=step_after_password(user, role, policy))
    with broker.db.write() as conn:
        if not users.note_login(conn, user.id, now):  # others guessed at the same time, until the account was locked
            return Refused(Reason("login.wrong"))
        enter(broker, conn, wanted, user, given)
    return arrived(broker, wanted, user, role, given, row.preferences)


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
    return locked(seconds) if seconds else Refused(reason)


def _count_failure(conn: Connection, login_name: str, row: Any, seen: Lockout, now: datetime) -> Lockout:
    """Raise the count of a name that somebody, or nobody, has; who guesses in parallel is counted each time."""
    if row is None:
        return count_name(conn, login_name, seen, now)
    before = seen
    for _ in range(COUNT_TRIES):
        after = after_failure(before, now)
        if users.note_failure(conn, row.id, before.failed, **asdict(after)):
            return after
        before = lockout_of(users.get_lockout(conn, row.id), None)
    return after_failure(before, now)


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
        password_changed(broker, conn, me)
