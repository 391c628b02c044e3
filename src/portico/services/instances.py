"""Which machine an enrolment token is for: the one of its desktop, and no copy of it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from portico.domain.model import AgentState
from portico.errors import Invalid
from portico.services.broker import Broker
from portico.store import agents, desktops, events

LONGEST = 200


def claimed(message: Mapping[str, Any]) -> str:
    """Return the machine's id that an agent states, folded; "" where it does not know it. Raises Invalid."""
    value = message.get("instance_id", "")
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise Invalid("The message is not understood.", {"instance_id": f"A text of at most {LONGEST} is wanted."})
    return value.strip().lower()


def differs(instance_id: str | None, external_id: str | None) -> bool:
    """Tell whether both are known and are not the same."""
    return bool(instance_id and external_id) and str(instance_id).lower() != str(external_id).lower()


def confirm(broker: Broker, conn: Connection, row: Any, external_id: str) -> None:
    """Compare what an agent stated before its desktop's machine was known; one on another machine loses its credential."""
    agent = agents.get_of_desktop(conn, row.id)
    if agent is None or not differs(agent.instance_id, external_id):
        return
    agents.revoke(conn, agent.id)
    desktops.change(conn, row.id, broker.now(), agent=str(AgentState.NOT_INSTALLED))
    entry = events.Entry(
        broker.now(), "agent.revoked", row.tenant_id, level="warning", desktop_id=row.id, center_id=row.center_id,
        params={"desktop": row.name, "machine": agent.instance_id},
    )  # fmt: skip
    events.add(conn, entry)
