"""Log-in sessions and API tokens: only hashes of their secrets are kept."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from portico.store.tables import api_tokens, sessions, users

_USER = [column.label(f"u_{column.name}") for column in users.c]
# Built once, since every request runs them.
_ADD = insert(sessions)
_FIND = (
    select(sessions, *_USER).join(users, users.c.id == sessions.c.user_id).where(sessions.c.id == bindparam("session"))
)


def add(conn: Connection, **values: Any) -> None:
    """Insert a session."""
    conn.execute(_ADD, {"end_reason": "", "ended_at": None, **values})


def find(conn: Connection, session_id: str) -> Row[Any] | None:
    """Return a session with its user's columns (prefix `u_`): one statement."""
    return conn.execute(_FIND, {"session": session_id}).first()


def find_token(conn: Connection, token_id: str) -> Row[Any] | None:
    """Return an API token with its user's columns (prefix `u_`)."""
    query = (
        select(api_tokens, *_USER).join(users, users.c.id == api_tokens.c.user_id).where(api_tokens.c.id == token_id)
    )
    return conn.execute(query).first()


def touch(conn: Connection, session_id: str, now: datetime) -> None:
    """Keep the time of a sign of life."""
    conn.execute(update(sessions).where(sessions.c.id == session_id).values(seen_at=now))


def touch_token(conn: Connection, token_id: str, now: datetime, address: str) -> None:
    """Keep when and from where a token was used."""
    conn.execute(update(api_tokens).where(api_tokens.c.id == token_id).values(used_at=now, used_address=address))


def end(conn: Connection, session_id: str, user_id: str, now: datetime, reason: str) -> bool:
    """End a session of a user. False when it had ended."""
    open_one = (sessions.c.id == session_id) & (sessions.c.user_id == user_id) & sessions.c.ended_at.is_(None)
    return conn.execute(update(sessions).where(open_one).values(ended_at=now, end_reason=reason)).rowcount == 1


def end_all(conn: Connection, user_id: str, now: datetime, reason: str, keep: str | None = None) -> int:
    """End all sessions of a user, except `keep`."""
    open_ones = (sessions.c.user_id == user_id) & sessions.c.ended_at.is_(None)
    if keep:
        open_ones &= sessions.c.id != keep
    return conn.execute(update(sessions).where(open_ones).values(ended_at=now, end_reason=reason)).rowcount


def last_grant(conn: Connection, user_id: str) -> Any:
    """Return when somebody last logged in, and by which rule they got role and policy."""
    query = select(sessions.c.created_at, sessions.c.granted).where(sessions.c.user_id == user_id)
    return conn.execute(query.order_by(sessions.c.created_at.desc()).limit(1)).first()


def list_open(conn: Connection, user_id: str, now: datetime) -> list[Row[Any]]:
    """Return a user's open sessions, newest first."""
    query = (
        select(sessions)
        .where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None), sessions.c.expires_at > now)
        .order_by(sessions.c.created_at.desc())
    )
    return list(conn.execute(query))
