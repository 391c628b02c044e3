"""The port to a display protocol: how a client starts a session with it.

A driver is one pure class in one file, found by the entry point group `portico.displays` under the protocol's name and
constructed without arguments. It gets no password: what a launch description holds may land in a file or in a history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from portico.domain.model import Client, ProtocolPlan
from portico.domain.tags import Value


@dataclass(frozen=True, slots=True)
class Target:
    """Where a session goes: an address and port that the client can reach, and the name of the desktop."""

    host: str
    port: int
    desktop: str


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """For whom and for what a launch is: the connection, the client, and the dynamic tags that templates may use."""

    connection_id: str
    client: Client
    login_name: str = ""
    values: Mapping[str, Value] = field(default_factory=dict)


class Display(Protocol):
    """A display protocol, as a connection uses it."""

    kind: ClassVar[str]  # "vnc"
    default_port: ClassVar[int]
    browser: ClassVar[bool]  # whether the gateway can carry it into a browser
    transports: ClassVar[tuple[str, ...]]  # "tcp", "udp": what a client of a device speaks on the desktop's port
    fixed_port: ClassVar[bool]  # whether that client can use no other port

    def launch(self, target: Target, plan: ProtocolPlan, context: LaunchContext) -> dict[str, Any]:
        """Return the launch description (wire.launch) with which the client of the context starts the session."""
        ...
