"""Where a new machine goes, and what is done with it first."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RootVolume:
    """Boot from a new volume instead of the hypervisor's own disk."""

    create: bool = False
    size_gib: int = 0  # 0: as large as the image asks for, or the flavor
    type: str = ""  # empty: the cloud's default
    delete_with_machine: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in the cloud, and with what around it, a new machine is made. Empty means the cloud's own default."""

    zone: str = ""
    security_groups: tuple[str, ...] = ()
    default_security_group: bool = True  # the project's `default` group, besides those that were chosen
    floating_ip: bool = False  # a free one, else a new one, else the build fails visibly
    floating_network: str = ""
    volume: RootVolume = field(default_factory=RootVolume)
    server_group: str = ""
    key_pair: str = ""
    config_drive: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuildAction:
    """One thing to do with a new desktop after it was built, in order, each after its wait."""

    action: str = "set_available"  # start | poweroff | snapshot | set_available | set_unavailable
    wait_seconds: int = 0
