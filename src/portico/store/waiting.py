"""Agents that wait to be admitted, and join keys. Waiting rows are bounded in number and forgotten when they fall silent."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, delete, func, insert, or_, select, update

from portico.domain.waiting import JoinKey
from portico.store.tables import agents, desktops, join_keys, waiting_agents


def find(conn: Connection, key_hash: str) -> Row[Any] | None:
    """Return the waiting agent with this secret."""
    return conn.execute(select(waiting_agents).where(waiting_agents.c.key_hash == key_hash)).first()


def candidates(conn: Connection, instance_id: str) -> list[Row[Any]]:
    """Return the living desktops whose machine has this id, each with what is known of its agent: one statement."""
    joined = desktops.outerjoin(agents, agents.c.desktop_id == desktops.c.id)
    known = (
        agents.c.enrolled_at,
        agents.c.seen_at.label("agent_seen_at"),
        agents.c.token_hash,
        agents.c.token_expires_at,
    )
    query = select(desktops, *known).select_from(joined)
    return list(
        conn.execute(query.where(desktops.c.external_id == instance_id, desktops.c.deleted_at.is_(None)).limit(5))
    )


def numbers(conn: Connection, source_address: str) -> tuple[int, int]:
    """Return how many agents wait, or were refused, from an address and in all."""
    here = func.sum(case((waiting_agents.c.source_address == source_address, 1), else_=0))
    row = conn.execute(
        select(here, func.count()).select_from(waiting_agents).where(waiting_agents.c.state != "admitted")
    ).one()
    return int(row[0] or 0), int(row[1])


def add(conn: Connection, **values: Any) -> None:
    """Insert a waiting agent."""
    conn.execute(insert(waiting_agents).values(values))


def change(conn: Connection, waiting_id: str, before: tuple[str, ...], **values: Any) -> bool:
    """Change a waiting agent that is still in one of these states. The row count decides."""
    here = (waiting_agents.c.id == waiting_id) & waiting_agents.c.state.in_(before)
    return conn.execute(update(waiting_agents).where(here).values(values)).rowcount == 1


def count_waiting(conn: Connection, tenant_id: str) -> int:
    """Return how many agents wait for a desktop of a tenant."""
    mine = (waiting_agents.c.tenant_id == tenant_id) & (waiting_agents.c.state == "waiting")
    return int(conn.scalar(select(func.count()).select_from(waiting_agents).where(mine)) or 0)


def purge(conn: Connection, seen_before: datetime) -> int:
    """Forget the waiting agents that were not heard of since a time; returns how many."""
    return conn.execute(delete(waiting_agents).where(waiting_agents.c.seen_at < seen_before)).rowcount


def put_agent(conn: Connection, desktop_id: str, agent_id: str, **values: Any) -> str:
    """Give a desktop a new agent in place of the one it had, whose credential and reading mark end; returns its id."""
    beginning = {
        "token_hash": None, "token_expires_at": None, "sealed_token": None, "boot_id": "", "sequence": 0, "past_boots": None,
    }  # fmt: skip
    values = beginning | values
    here = agents.c.desktop_id == desktop_id
    if conn.execute(update(agents).where(here).values(id=agent_id, **values)).rowcount == 0:
        conn.execute(insert(agents).values(id=agent_id, desktop_id=desktop_id, **values))
    return agent_id


def valid_key(conn: Connection, secret_hash: str, now: datetime) -> JoinKey | None:
    """Return a join key that is neither deleted nor expired."""
    fresh = or_(join_keys.c.expires_at.is_(None), join_keys.c.expires_at > now)
    valid = (join_keys.c.secret_hash == secret_hash) & join_keys.c.deleted_at.is_(None) & fresh
    row = conn.execute(select(join_keys).where(valid)).first()
    return JoinKey(row.id, row.tenant_id, row.center_id) if row else None


def use_key(conn: Connection, key_id: str, now: datetime) -> None:
    """Note that a join key admitted an agent."""
    used = update(join_keys).where(join_keys.c.id == key_id).values(used_at=now, uses=join_keys.c.uses + 1)
    conn.execute(used)


def no_longer_waits(conn: Connection, desktop_id: str, now: datetime) -> None:
    """Note that no agent waits for a desktop any more, unless one was admitted meanwhile."""
    here = (desktops.c.id == desktop_id) & (desktops.c.agent == "waiting")
    conn.execute(update(desktops).where(here).values(agent="not installed", updated_at=now))
