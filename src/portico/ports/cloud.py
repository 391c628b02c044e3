"""The port to a cloud: what a center needs of whatever makes and runs machines.

A driver is one class in one file, found by the entry point group `portico.clouds`, constructed as
`Driver(settings, context)` where `settings` is an instance of the driver's own frozen dataclass `Driver.Settings`.
A driver keeps no state that must survive the process, is safe to call from several threads, bounds every wait, and
raises only `portico.errors` (`CloudError` and below). The contract suite in tests/contract/test_cloud.py runs on all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from portico.domain.leaks import Belonging as Belonging
from portico.domain.model import Placement, PowerAction
from portico.domain.sync import Seen
from portico.ports.driver import Finding as Finding
from portico.ports.driver import Meta as Meta


@dataclass(frozen=True, slots=True)
class CloudContext:
    """What a driver may know of the deployment. `state` is a directory that the center owns on this host.

    `egress_allow` are the networks, besides public ones, that typed addresses may reach (config.egress_allow).
    """

    deployment_id: str
    center_id: str
    state: Path
    egress_allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this cloud can do at all; an action outside of it is refused with a sentence before it is tried."""

    provisions: bool
    power: frozenset[PowerAction]
    user_data: bool = True  # a new machine can be handed its agent's token
    snapshots: bool = False
    console: bool = False
    needs_network: bool = False  # a machine is made only where the pool names its network
    usage: bool = False  # it tells what its machines have used
    creates_at_a_time: int = 3  # more rarely make a cloud faster; all brokers together keep to it


Machine = Seen  # what inventory decides on is what drivers report


@dataclass(frozen=True, slots=True)
class CloudImage:
    """An image that a desktop can be made from."""

    external_id: str
    name: str
    os_family: str = ""
    min_disk_gib: int = 0
    min_ram_mib: int = 0
    visibility: str = "private"


@dataclass(frozen=True, slots=True)
class Scan:
    """One inventory pass. Only a `complete` one may mark anything deleted."""

    machines: tuple[Machine, ...]
    images: tuple[CloudImage, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What to create. The ids travel in the create call itself, as tags on the machine and all that belongs to it."""

    desktop_id: str
    deployment_id: str
    name: str
    image_id: str
    flavor: str = ""
    network: str = ""
    user_data: str = ""  # for cloud-init or cloudbase-init, its dynamic tags filled in
    agent: Mapping[str, str] = field(
        default_factory=dict
    )  # broker_url, ca_fingerprint, token: what the agent enrols with
    tags: Mapping[str, str] = field(default_factory=dict)
    display_name: str = ""
    placement: Placement = field(default_factory=Placement)
    options: Mapping[str, Any] = field(default_factory=dict)  # what only this driver knows


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a menu that is read live from the cloud."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Choices:
    """The menus of the provisioning form."""

    images: tuple[Choice, ...] = ()
    flavors: tuple[Choice, ...] = ()
    networks: tuple[Choice, ...] = ()
    zones: tuple[Choice, ...] = ()
    security_groups: tuple[Choice, ...] = ()
    volume_types: tuple[Choice, ...] = ()
    server_groups: tuple[Choice, ...] = ()
    key_pairs: tuple[Choice, ...] = ()
    floating_networks: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Console:
    """A machine's console: the end of what it has printed, and where its screen can be watched ("" where it has none)."""

    text: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a center's machines have used from `since` to `until`, the deleted ones included."""

    since: datetime
    until: datetime
    machines: int
    hours: float  # of machines
    core_hours: float
    memory_gib_hours: float
    disk_gib_hours: float


class Cloud(Protocol):
    """A cloud, as a center uses it."""

    kind: ClassVar[str]
    Settings: ClassVar[type]

    def capabilities(self) -> Capabilities:
        """Return what this cloud can do."""
        ...

    def check(self) -> tuple[Finding, ...]:
        """Try harmless calls and report each right or precondition by name. Raises CloudError when it cannot be reached."""
        ...

    def scan(self, since: datetime | None = None) -> Scan:
        """List machines and images. With `since`, a driver may list only what changed after it (then `complete` is False)."""
        ...

    def look(self, external_id: str) -> Machine | None:
        """Look at one machine, between two passes; None when there is no such machine (any more). Raises CloudError."""
        ...

    def choices(self) -> Choices:
        """Read the menus of the provisioning form."""
        ...

    def create(self, spec: MachineSpec) -> str:
        """Start making a machine and return its external id at once, long before it is usable.

        Idempotent by `spec.desktop_id`: a second call returns the first one's machine. Raises QuotaExceeded, CloudRefused, CloudError.
        """
        ...

    def delete(self, external_id: str) -> None:
        """Remove the machine and all that was made for it. Unknown or already gone is success."""
        ...

    def power(self, external_id: str, action: PowerAction) -> None:
        """Start a power action. Raises CloudNotFound, CloudRefused when it is not possible in this state."""
        ...

    def belongings(self) -> tuple[Belonging, ...]:
        """List all that carries our deployment's tag, whether a desktop needs it or not. Raises CloudError when it cannot tell."""
        ...

    def remove(self, belonging: Belonging) -> None:
        """Remove one thing that was leaked, if it still carries our tag. Unknown or already gone is success; raises CloudRefused."""
        ...

    def mend(self, fix: str) -> None:
        """Do what a finding of `check` offered by its `fix`. Raises CloudRefused for what this cloud cannot mend."""
        ...

    def console(self, external_id: str) -> Console:
        """Read a machine's console. Raises CloudNotFound, CloudRefused where there is none."""
        ...

    def snapshot(self, external_id: str, name: str) -> str:
        """Start making an image of a machine's root disk; returns the image's id. Raises CloudNotFound, CloudRefused."""
        ...

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Tell what was used in a time. Raises CloudRefused where that is not counted, CloudError."""
        ...
