"""Users, and what stops a guesser: counters by user and by client address."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.domain.model import User
from portico.store.scope import Scope, within
from portico.store.tables import attempts, users

ADDRESS_WINDOW_SECONDS = 60

# Built once: to build the statements of a log-in costs as much as to run them.
_BY_NAME = select(users).where(
    users.c.directory == "local", users.c.login_name == bindparam("name"), users.c.deleted_at.is_(None)
)
_COUNTERS = select(attempts).where(attempts.c.key.in_(bindparam("keys", expanding=True)))
_NOTE_LOGIN = (
    update(users)
    .where(users.c.id == bindparam("user"), users.c.locked_until.is_(None) | (users.c.locked_until <= bindparam("now")))
    .values(last_login_at=bindparam("now"), failed=0, locked_until=None, last_failed_at=None)
)


def record(row: Row[Any]) -> User:
    """Build a user from a row."""
    return User(
        id=row.id,
        tenant_id=row.tenant_id,
        login_name=row.login_name,
        domain="",
        display_name=row.display_name,
        email=row.email,
        role_id=row.role_id,
        policy_id=row.policy_id,
        disabled=row.disabled,
        must_change_password=row.must_change_password,
        directory=row.directory,
        barred=row.barred is not None,
        service=bool(row.service),
        second_factor=row.second_factor is not None,
    )


def address_key(address: str) -> str:
    """Return the key under which failures from an address are counted."""
    return f"a:{address}"


def name_key(login_name: str) -> str:
    """Return the key under which failures for a name that nobody has are counted."""
    return "n:" + sha256(login_name.encode()).hexdigest()[:60]


def login_facts(
    conn: Connection, login_name: str, keys: Sequence[str]
) -> tuple[Row[Any] | None, Mapping[str, Row[Any]]]:
    """Return the local user's row, and the counters of some keys: two statements, for unknown users too."""
    row = conn.execute(_BY_NAME, {"name": login_name}).first()
    return row, {found.key: found for found in conn.execute(_COUNTERS, {"keys": list(keys)})}


def note_failure(conn: Connection, user_id: str, failed_before: int, **lockout: Any) -> bool:
    """Keep a user's new lock-out state, unless another failure was counted since; the row count says so."""
    as_seen = (users.c.id == user_id) & (users.c.failed == failed_before)
    return conn.execute(update(users).where(as_seen).values(lockout)).rowcount == 1


def get_lockout(conn: Connection, user_id: str) -> Row[Any] | None:
    """Return a user's lock-out state as it is now."""
    return conn.execute(select(users).where(users.c.id == user_id)).first()


def get_counter(conn: Connection, key: str) -> Row[Any] | None:
    """Return one counter as it is now."""
    return conn.execute(select(attempts).where(attempts.c.key == key)).first()


def note_address_failure(conn: Connection, address: str, now: datetime) -> None:
    """Count a failure from an address; the window starts anew after a minute."""
    old = attempts.c.window_at < now - timedelta(seconds=ADDRESS_WINDOW_SECONDS)
    values = {
        "failed": case((old, 1), else_=attempts.c.failed + 1),
        "window_at": case((old, now), else_=attempts.c.window_at),
    }
    _count(conn, address_key(address), values, {"failed": 1, "window_at": now, "locked_until": None})


def note_name_failure(conn: Connection, login_name: str, failed_before: int, **lockout: Any) -> bool:
    """Keep the lock-out state of a name that nobody has, unless another failure was counted since."""
    key = name_key(login_name)
    values = {
        "failed": lockout["failed"], "window_at": lockout["last_failed_at"], "locked_until": lockout["locked_until"]
    }  # fmt: skip
    if failed_before:
        as_seen = (attempts.c.key == key) & (attempts.c.failed == failed_before)
        return conn.execute(update(attempts).where(as_seen).values(values)).rowcount == 1
    try:
        with conn.begin_nested():
            conn.execute(insert(attempts).values(key=key, **values))
        return True
    except IntegrityError:
        return False


def _count(conn: Connection, key: str, values: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    if conn.execute(update(attempts).where(attempts.c.key == key).values(values)).rowcount == 0:
        try:
            with conn.begin_nested():
                conn.execute(insert(attempts).values(key=key, **first))
        except IntegrityError:
            conn.execute(update(attempts).where(attempts.c.key == key).values(values))


def forget_failures(conn: Connection, key: str) -> None:
    """Forget the failures that were counted under a key."""
    conn.execute(delete(attempts).where(attempts.c.key == key))


def purge_attempts(conn: Connection, before: datetime) -> int:
    """Delete counters whose window began before a time."""
    return conn.execute(delete(attempts).where(attempts.c.window_at < before)).rowcount


def note_login(conn: Connection, user_id: str, now: datetime) -> bool:
    """Keep the time of a log-in and forget earlier failures. False when the account was locked meanwhile."""
    return conn.execute(_NOTE_LOGIN, {"user": user_id, "now": now}).rowcount == 1


def hold(conn: Connection, user_id: str) -> None:
    """Let this transaction be the only one that decides about a user until it ends."""
    conn.execute(update(users).where(users.c.id == user_id).values(failed=users.c.failed))


def get_row(conn: Connection, scope: Scope, user_id: str) -> Row[Any] | None:
    """Return a user's row."""
    query = select(users).where(within(scope, users), users.c.id == user_id, users.c.deleted_at.is_(None))
    return conn.execute(query).first()


def set_password(conn: Connection, user_id: str, password_hash: str, now: datetime, *, must_change: bool) -> None:
    """Keep a new password's hash."""
    values = {
        "password_hash": password_hash, "must_change_password": must_change, "updated_at": now,
        "failed": 0, "locked_until": None, "last_failed_at": None,
    }  # fmt: skip
    conn.execute(update(users).where(users.c.id == user_id).values(values))


def set_preferences(conn: Connection, user_id: str, preferences: dict[str, str], now: datetime) -> None:
    """Keep a user's language, time zone and theme."""
    conn.execute(update(users).where(users.c.id == user_id).values(preferences=preferences, updated_at=now))


def names(conn: Connection, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the login names of some users."""
    return {
        row.id: row.login_name
        for row in conn.execute(select(users.c.id, users.c.login_name).where(users.c.id.in_(user_ids)))
    }
