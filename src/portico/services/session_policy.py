"""What a gateway is told that a session may do (wire.gateway, GRANT and FORWARD)."""

from datetime import datetime, timedelta
from typing import Any

from portico.domain.model import ProtocolPlan
from portico.domain.tags import render
from portico.services.broker import Broker


def plan_of(broker: Broker, pool_assignment_id: str | None, tenant_id: str) -> ProtocolPlan:
    """Return the protocol plan that a pool assignment names; the tenant's default where it names none, or is gone."""
    snapshot = broker.snapshots.get()
    line = snapshot.pool_assignments.get(pool_assignment_id or "")
    return snapshot.protocol_plan(line.protocol_plan_id if line else None, tenant_id)


def policy_of(plan: ProtocolPlan, begun: datetime) -> dict[str, Any]:
    """Return what a session may do. Its time counts from the beginning of the connection, so that coming back gives no more."""
    switches = ("clipboard_in", "clipboard_out", "files_in", "files_out", "drives", "printers", "usb", "view_only")
    end = None if plan.max_minutes is None else begun + timedelta(minutes=plan.max_minutes)
    return {
        **{name: getattr(plan, name) for name in switches},
        "idle_seconds": None if plan.idle_minutes is None else plan.idle_minutes * 60,
        "expires_at": end and end.isoformat(),
    }


def watermark_of(plan: ProtocolPlan, user: str, desktop: str) -> str | None:
    """Return the text to lay over a session's picture; the time in it is left to the page."""
    return render(plan.watermark, {"USER": user, "DESKTOP": desktop, "TIME": "{TIME}"}, "text") or None
