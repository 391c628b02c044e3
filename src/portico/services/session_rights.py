"""The rights that a role gives on a desktop: asked of its agent with each session, and told where it could not give them."""

from collections.abc import Mapping, Sequence
from typing import Any

from portico.domain.model import Desktop
from portico.services.broker import Broker
from portico.store import events


def told(broker: Broker, desktop: Desktop, asked: Sequence[str] | None, answer: Mapping[str, Any]) -> None:
    """Write down which of the rights that were asked for the session's account does not have."""
    given = answer.get("rights")
    missing = [right for right in asked or () if not isinstance(given, list) or right not in given]
    if not missing:
        return
    entry = events.Entry(
        broker.now(), "desktop.right_not_given", desktop.tenant_id, level="warning",
        params={"desktop": desktop.name, "rights": ", ".join(missing)}, desktop_id=desktop.id,
    )  # fmt: skip
    with broker.db.write() as conn:
        events.add(conn, entry)
