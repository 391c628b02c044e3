"""What a gateway is told that a session may do (wire.gateway, GRANT and FORWARD)."""

from datetime import datetime, timedelta
from typing import Any

from portico.domain.model import ProtocolPlan


def policy_of(plan: ProtocolPlan, begun: datetime) -> dict[str, Any]:
    """Return what a session may do. Its time counts from the beginning of the connection, so that coming back gives no more."""
    switches = ("clipboard_in", "clipboard_out", "files_in", "files_out", "drives", "printers", "view_only")
    end = None if plan.max_minutes is None else begun + timedelta(minutes=plan.max_minutes)
    return {
        **{name: getattr(plan, name) for name in switches},
        "idle_seconds": None if plan.idle_minutes is None else plan.idle_minutes * 60,
        "expires_at": end and end.isoformat(),
    }
