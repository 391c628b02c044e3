"""VNC (RFC 6143): in the browser through the gateway, natively by a vnc URI (RFC 7869)."""

from typing import Any, ClassVar

from portico.displays.launching import in_browser, viewer
from portico.domain.connect import authority
from portico.domain.model import ProtocolPlan
from portico.ports.display import LaunchContext, Target


class Vnc:
    """Shows a desktop by VNC."""

    kind: ClassVar[str] = "vnc"
    default_port: ClassVar[int] = 5900
    browser: ClassVar[bool] = True
    transports: ClassVar[tuple[str, ...]] = ("tcp",)
    fixed_port: ClassVar[bool] = False

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the viewer page, or for a native client a vnc URI that holds no password."""
        if in_browser(context):
            return viewer(context)
        suffix = "?ViewOnly=true" if plan.view_only else ""
        return {"kind": "uri", "uri": f"vnc://{authority(target.host, target.port)}{suffix}"}
