"""Directories, the people that they brought, and log-ins that wait for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.store.tables import assignments, directories, sessions, used_answers, users, waiting_logins

_BY_SUBJECT = select(users).where(
    users.c.directory == bindparam("directory"), users.c.subject == bindparam("subject"), users.c.deleted_at.is_(None)
)
_SAME_NAME = select(users).where(
    users.c.tenant_id == bindparam("tenant"), users.c.directory == bindparam("directory"),
    users.c.login_name == bindparam("name"), users.c.deleted_at.is_(None),
)  # fmt: skip


def sealed_secrets(conn: Connection, directory_id: str) -> str | None:
    """Return a directory's sealed secrets."""
    return conn.scalar(select(directories.c.sealed_secrets).where(directories.c.id == directory_id))


def find(conn: Connection, directory_id: str, subject: str) -> Row[Any] | None:
    """Return the user that a directory's subject is."""
    return conn.execute(_BY_SUBJECT, {"directory": directory_id, "subject": subject}).first()


def same_name(conn: Connection, tenant_id: str, directory_id: str, login_name: str) -> Row[Any] | None:
    """Return who has a name now in a directory, so that somebody else of that name does not become them."""
    return conn.execute(_SAME_NAME, {"tenant": tenant_id, "directory": directory_id, "name": login_name}).first()


def add(conn: Connection, now: datetime, **values: Any) -> dict[str, Any]:
    """Insert a user whom a directory vouches for; returns the row's values."""
    first = {
        "password_hash": "", "must_change_password": False, "disabled": False, "failed": 0, "preferences": {}, "version": 1,
        "created_at": now, "updated_at": now, "last_login_at": now, "barred": None, "service": None,
        "second_factor": None, **values,
    }  # fmt: skip
    conn.execute(insert(users).values(**first))
    return first


def change(conn: Connection, user_id: str, **values: Any) -> None:
    """Keep what a directory says of a user."""
    conn.execute(update(users).where(users.c.id == user_id).values(**values))


def note_checked(conn: Connection, user_ids: Sequence[str], now: datetime) -> None:
    """Keep when it was asked about users."""
    conn.execute(update(users).where(users.c.id.in_(user_ids)).values(checked_at=now))


def bar(conn: Connection, user_id: str, why: str, *, out: bool) -> bool:
    """Keep out whom a directory does not let in any more; `out` also ends what they have. False when that was known."""
    known = users.c.barred.is_not(None)
    values: dict[str, Any] = {"barred": why} | ({"disabled": True} if out else {})
    return conn.execute(update(users).where(users.c.id == user_id, ~known).values(**values)).rowcount == 1


def unbar(conn: Connection, user_id: str) -> bool:
    """Let somebody in again who was kept out. False when they were not."""
    barred = (users.c.id == user_id) & users.c.barred.is_not(None)
    return conn.execute(update(users).where(barred).values(barred=None, disabled=False)).rowcount == 1


def park(conn: Connection, **values: Any) -> None:
    """Keep a log-in that waits."""
    conn.execute(insert(waiting_logins).values(state="waiting", reason=None, retry_after=0, **values))


def parked(conn: Connection, login_id: str) -> Row[Any] | None:
    """Return a log-in that waits, or has waited."""
    return conn.execute(select(waiting_logins).where(waiting_logins.c.id == login_id)).first()


def conclude(conn: Connection, login_id: str, state: str, reason: Any, retry_after: int) -> None:
    """Keep how a log-in that waited has ended."""
    waits = (waiting_logins.c.id == login_id) & (waiting_logins.c.state == "waiting")
    conn.execute(update(waiting_logins).where(waits).values(state=state, reason=reason, retry_after=retry_after))


def ahead(conn: Connection, directory_id: str, since: datetime, created_at: datetime) -> int:
    """Count the log-ins that wait for a directory for longer than one; what began before `since` waits no more."""
    waits = (waiting_logins.c.directory_id == directory_id) & (waiting_logins.c.state == "waiting")
    earlier = (waiting_logins.c.created_at < created_at) & (waiting_logins.c.created_at >= since)
    return conn.scalar(select(func.count()).select_from(waiting_logins).where(waits, earlier)) or 0


def purge(conn: Connection, before: datetime) -> int:
    """Delete log-ins that began before a time."""
    return conn.execute(delete(waiting_logins).where(waiting_logins.c.created_at < before)).rowcount


def use_answer(conn: Connection, key: str, until: datetime) -> bool:
    """Keep that an answer has served; False when it had, at whichever broker."""
    try:
        with conn.begin_nested():
            conn.execute(insert(used_answers).values(key=key, until=until))
    except IntegrityError:
        return False
    return True


def forget_answers(conn: Connection, now: datetime) -> int:
    """Forget the answers that would not be taken any more anyway; returns how many."""
    return conn.execute(delete(used_answers).where(used_answers.c.until < now)).rowcount


def to_look_at(conn: Connection, directory_id: str, limit: int) -> Sequence[Row[Any]]:
    """Return users of a directory who are logged in, have a desktop or are barred; who was asked about longest ago comes first."""
    logged_in = exists().where(sessions.c.user_id == users.c.id, sessions.c.ended_at.is_(None))
    has_one = exists().where(assignments.c.user_id == users.c.id, assignments.c.released_at.is_(None))
    never_first = case((users.c.checked_at.is_(None), 0), else_=1)  # databases differ in where they sort a NULL
    matters = logged_in | has_one | users.c.barred.is_not(None)
    query = (
        select(users)
        .where(users.c.directory == directory_id, users.c.deleted_at.is_(None), matters)
        .order_by(never_first, users.c.checked_at, users.c.id)
        .limit(limit)
    )
    return conn.execute(query).all()
