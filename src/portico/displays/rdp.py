"""RDP: in the browser through the gateway, natively an .rdp file, rendered from a template with dynamic tags. Properties: learn.microsoft.com, "Supported RDP properties"."""

from typing import Any, ClassVar

from portico.displays.launching import in_browser, viewer
from portico.domain.model import ProtocolPlan
from portico.domain.tags import render
from portico.ports.display import LaunchContext, Target

MIME = "application/x-rdp"

TEMPLATE = """\
full address:s:{IP}
server port:i:{PORT}
username:s:{USER}
prompt for credentials:i:0
enablecredsspsupport:i:1
negotiate security layer:i:1
authentication level:i:2
screen mode id:i:2
dynamic resolution:i:1
session bpp:i:32
audiomode:i:0
keyboardhook:i:2
redirectclipboard:i:{CLIPBOARD}
redirectprinters:i:{PRINTERS}
redirectsmartcards:i:0
drivestoredirect:s:{DRIVES}
devicestoredirect:s:
autoreconnection enabled:i:1
networkautodetect:i:1
bandwidthautodetect:i:1
connection type:i:7
"""

# Behind a gateway: its name, a log-in by a cookie of ours, and no other way. The cookie is the ticket.
GATEWAY_TEMPLATE = """\
gatewayhostname:s:{GATEWAY}
gatewayusagemethod:i:1
gatewayprofileusagemethod:i:1
gatewaycredentialssource:i:5
gatewayaccesstoken:s:{TOKEN}
"""

# Through the gateway's own port: the client sends it this line first, and again when it reconnects.
ROUTING_TEMPLATE = "loadbalanceinfo:s:Cookie: msts={ROUTING}\n"


class Rdp:
    """Shows a desktop by RDP."""

    kind: ClassVar[str] = "rdp"
    default_port: ClassVar[int] = 3389
    browser: ClassVar[bool] = True
    transports: ClassVar[tuple[str, ...]] = ("tcp",)
    fixed_port: ClassVar[bool] = False

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the viewer page, or for a native client an .rdp file (lines end in CRLF) without a password."""
        if in_browser(context):
            return viewer(context)
        values = {
            **context.values,
            "IP": target.host,
            "PORT": str(target.port),
            "USER": context.login_name,
            # The client knows one switch for both directions, so one that is forbidden forbids both.
            "CLIPBOARD": "1" if plan.clipboard_in and plan.clipboard_out else "0",
            "PRINTERS": "1" if plan.printers else "0",
            "DRIVES": "*" if plan.drives else "",
        }
        behind = GATEWAY_TEMPLATE if "GATEWAY" in values else ROUTING_TEMPLATE if "ROUTING" in values else ""
        template = TEMPLATE + behind
        lines = (render(line, values, "line") for line in template.splitlines())
        name = render("{DESKTOP}", {"DESKTOP": target.desktop}, "name") or "desktop"
        return {"kind": "file", "name": f"{name}.rdp", "type": MIME, "text": "".join(f"{line}\r\n" for line in lines)}
