"""Agents: their one-time enrolment tokens and credentials (hashes), and how far their reports were read."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portico.store.tables import agents

BOOTS_KEPT = 8


def expect(conn: Connection, **values: Any) -> None:
    """Insert an agent that is expected to enrol with a one-time token."""
    beginning = {"version": "", "port": 0, "boot_id": "", "sequence": 0}
    conn.execute(insert(agents).values(beginning | values))


def get_of_desktop(conn: Connection, desktop_id: str) -> Row[Any] | None:
    """Return the agent of a desktop."""
    return conn.execute(select(agents).where(agents.c.desktop_id == desktop_id)).first()


def find_by_token(conn: Connection, token_hash: str) -> Row[Any] | None:
    """Return the agent that a one-time token is for."""
    return conn.execute(select(agents).where(agents.c.token_hash == token_hash)).first()


def find_by_bearer(conn: Connection, bearer_hash: str) -> Row[Any] | None:
    """Return the agent with a credential."""
    return conn.execute(select(agents).where(agents.c.bearer_hash == bearer_hash)).first()


def enroll(conn: Connection, agent_id: str, token_hash: str, **values: Any) -> bool:
    """Use up a one-time token. False when it was used meanwhile."""
    unused = (agents.c.id == agent_id) & (agents.c.token_hash == token_hash)
    values = {"token_hash": None, "sealed_token": None} | values
    return conn.execute(update(agents).where(unused).values(values)).rowcount == 1


def advance(conn: Connection, agent: Row[Any], boot_id: str, sequence: int, now: datetime, **values: Any) -> bool:
    """Keep how far an agent's reports were read, if nobody else read further meanwhile."""
    here = (agents.c.id == agent.id) & (agents.c.boot_id == agent.boot_id) & (agents.c.sequence == agent.sequence)
    if agent.boot_id and agent.boot_id != boot_id:
        values["past_boots"] = [*past_boots(agent), agent.boot_id][-BOOTS_KEPT:]
    values = {"boot_id": boot_id, "sequence": sequence, "seen_at": now} | values
    return conn.execute(update(agents).where(here).values(values)).rowcount == 1


def past_boots(agent: Row[Any]) -> list[str]:
    """Return the boots before the one that reports now, as far as they are remembered."""
    return list(agent.past_boots or ())


def list_lost(conn: Connection, seen_before: datetime) -> list[Row[Any]]:
    """Return enrolled agents that were not heard of since a time."""
    return list(conn.execute(select(agents).where(agents.c.enrolled_at.is_not(None), agents.c.seen_at < seen_before)))


def revoke(conn: Connection, agent_id: str) -> None:
    """Take an agent's credential away; its desktop waits for another one."""
    nothing = {"bearer_hash": None, "enrolled_at": None, "seen_at": None, "instance_id": None}
    conn.execute(update(agents).where(agents.c.id == agent_id).values(nothing))
