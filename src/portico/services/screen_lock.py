"""Locking the screen of a desktop by its agent."""

from portico.domain.model import Desktop
from portico.errors import AgentUnreachable
from portico.services import agent_channel
from portico.services.broker import Broker
from portico.store import events


def lock(broker: Broker, desktop: Desktop) -> None:
    """Ask the agent to lock the screen. A desktop without an agent, or without a locker, stays as it is, and that is told."""
    try:
        answer = agent_channel.command(broker, desktop.id, "lock", {"session": None})
    except AgentUnreachable:
        answer = {"ok": False}
    if answer.get("ok"):
        return
    entry = events.Entry(
        broker.now(), "desktop.not_locked", desktop.tenant_id, level="warning", params={"desktop": desktop.name},
        desktop_id=desktop.id,
    )  # fmt: skip
    with broker.db.write() as conn:
        events.add(conn, entry)
