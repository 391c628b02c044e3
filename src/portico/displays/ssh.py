"""SSH: a terminal in the browser through the gateway, natively by the client's own ssh program."""

from typing import Any, ClassVar

from portico.displays.launching import in_browser, viewer
from portico.domain.model import ProtocolPlan
from portico.domain.tags import render
from portico.ports.display import LaunchContext, Target


class Ssh:
    """Opens a terminal on a desktop by SSH."""

    kind: ClassVar[str] = "ssh"
    default_port: ClassVar[int] = 22
    browser: ClassVar[bool] = True
    transports: ClassVar[tuple[str, ...]] = ("tcp",)
    fixed_port: ClassVar[bool] = False

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the viewer page, or for a native client the arguments of ssh: never a line for a shell."""
        if in_browser(context):
            return viewer(context)
        login = render("{USER}", {"USER": context.login_name}, "argument")
        host = render("{IP}", {"IP": target.host}, "argument")
        # After "--" nothing is an option any more, whatever a name or an address looks like.
        argv = ["ssh", "-p", str(target.port), *(["-l", login] if login else []), "--", host]
        return {"kind": "command", "argv": argv, "stdin": ""}
