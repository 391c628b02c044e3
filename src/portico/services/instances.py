"""Which machine an enrolment token is for: the one of its desktop, and no copy of it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.model import AgentState, Reason
from portico.errors import Invalid
from portico.services.broker import Broker
from portico.store import agents, desktops, events

LONGEST = 200
# States of the metadata service (wire.agent) that somebody should mend.
TROUBLE = ("no route", "no gateway", "no answer", "refused")


def claimed(message: Mapping[str, Any]) -> str:
    """Return the machine's id that an agent states, folded; "" where it does not know it. Raises Invalid."""
    value = message.get("instance_id", "")
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise Invalid("The message is not understood.", {"instance_id": f"A text of at most {LONGEST} is wanted."})
    return value.strip().lower()


def differs(instance_id: str | None, external_id: str | None) -> bool:
    """Tell whether both are UUIDs and not the same: other clouds' ids say nothing of what a machine knows of itself."""
    one, other = _uuid(instance_id), _uuid(external_id)
    return one is not None and other is not None and one != other


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


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


def note_metadata(broker: Broker, conn: Connection, row: Any, facts: Mapping[str, Any]) -> None:
    """Record that a desktop's machine does not reach its cloud's metadata service, with what mends it."""
    state = facts.get("metadata")
    if state not in TROUBLE:
        return
    gateway = str(facts.get("metadata_gateway") or "")[:40]
    reason = Reason(
        f"metadata.{str(state).replace(' ', '_')}",
        {"gateway": gateway if gateway.isprintable() and gateway else "GATEWAY"},
    )
    entry = events.Entry(
        broker.now(), "agent.no_metadata", row.tenant_id, level="warning", desktop_id=row.id, center_id=row.center_id,
        params={"desktop": row.name}, reason=as_json(reason),
    )  # fmt: skip
    events.add(conn, entry)
