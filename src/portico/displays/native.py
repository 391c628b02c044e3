"""Protocols that only programs of a device speak: for each its ports, and a template of what starts its client.

`.nxs` and `.dcv` are written as their makers describe them; none has been tried with a real client here. `{IP}` and `{PORT}` are
the gateway's where it stands in between.
"""

from html import escape
from typing import Any, ClassVar

from portico.domain.model import ProtocolPlan
from portico.domain.tags import render
from portico.ports.display import LaunchContext, Target

NXS = """\
<!DOCTYPE NXClientSettings>
<NXClientSettings version="2.3" application="nxclient">
  <group name="General">
    <option key="Connection service" value="nx" />
    <option key="NoMachine daemon port" value="{PORT}" />
    <option key="Server host" value="{IP}" />
    <option key="Remember password" value="false" />
  </group>
  <group name="Login">
    <option key="User" value="{USER}" />
    <option key="Server authentication method" value="system" />
  </group>
</NXClientSettings>
"""

DCV = """\
[version]
format=1.0

[connect]
host={IP}
port={PORT}
user={USER}
"""


class _Native:
    """What they share: never in a browser, and no password in what is handed out."""

    kind: ClassVar[str]
    default_port: ClassVar[int]
    browser: ClassVar[bool] = False
    transports: ClassVar[tuple[str, ...]] = ("tcp",)
    fixed_port: ClassVar[bool] = False

    def _values(self, target: Target, context: LaunchContext) -> dict[str, Any]:
        return {**context.values, "IP": target.host, "PORT": str(target.port), "USER": context.login_name}

    def _file(self, target: Target, ending: str, mime: str, text: str) -> dict[str, Any]:
        name = render("{DESKTOP}", {"DESKTOP": target.desktop}, "name") or "desktop"
        return {"kind": "file", "name": f"{name}.{ending}", "type": mime, "text": text}

    def _command(self, target: Target, context: LaunchContext, *template: str) -> dict[str, Any]:
        argv = [render(part, self._values(target, context), "argument") for part in template]
        return {"kind": "command", "argv": argv, "stdin": ""}


class Rgs(_Native):
    """HP RGS and ZCentral Remote Boost."""

    kind: ClassVar[str] = "rgs"
    default_port: ClassVar[int] = 42966
    transports: ClassVar[tuple[str, ...]] = ("tcp", "udp")

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the receiver's command line."""
        session = "-Rgreceiver.Session.0."
        return self._command(
            target, context, "rgreceiver", f"{session}Hostname={{IP}}:{{PORT}}", f"{session}Username={{USER}}", f"{session}IsConnectOnStartup=1"
        )  # fmt: skip


class Tgx(_Native):
    """Mechdyne TGX."""

    kind: ClassVar[str] = "tgx"
    default_port: ClassVar[int] = 40001

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the receiver's command line: the computer to connect to, as one would type it into its launcher."""
        return self._command(target, context, "tgxreceiver", "{IP}:{PORT}")


class NoMachine(_Native):
    """NoMachine's NX."""

    kind: ClassVar[str] = "nomachine"
    default_port: ClassVar[int] = 4000
    transports: ClassVar[tuple[str, ...]] = ("tcp", "udp")

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return an .nxs file."""
        values = {name: escape(str(value)) for name, value in self._values(target, context).items()}
        return self._file(target, "nxs", "application/x-nxs", render(NXS, values, "line"))


class Dcv(_Native):
    """Amazon DCV; docs.aws.amazon.com, "Connecting to a session using a connection file"."""

    kind: ClassVar[str] = "dcv"
    default_port: ClassVar[int] = 8443
    transports: ClassVar[tuple[str, ...]] = ("tcp", "udp")

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return a .dcv file."""
        return self._file(target, "dcv", "application/x-dcv", render(DCV, self._values(target, context), "line"))


class Pcoip(_Native):
    """PCoIP (HP Anyware); anyware.hp.com, "Setting Configuration Values via a URI"."""

    kind: ClassVar[str] = "pcoip"
    default_port: ClassVar[int] = 4172
    transports: ClassVar[tuple[str, ...]] = ("tcp", "udp")
    fixed_port: ClassVar[bool] = True

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return a URI that opens the client."""
        return {"kind": "uri", "uri": render("pcoip://{IP}/connect", self._values(target, context), "url")}
