"""A project of the lab as a test uses it: drivers over it, what a desktop there is made from, and an end without remains."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud

from portico.clouds.openstack import OpenStack
from portico.clouds.openstack_settings import OpenStackSettings
from portico.domain.model import Placement, RootVolume
from portico.ports.cloud import CloudContext, MachineSpec

LOOPBACK = ("127.0.0.0/8",)
# As seeded, of the project whose quotas tests change.
QUOTAS = {"compute": {"instances": 20}, "network": {"floatingip": 50}, "volume": {"volumes": 20}}


_SET = {"compute": control.set_compute_quota, "network": control.set_network_quota, "volume": control.set_volume_quota}


@dataclass
class Project:
    """One project, as one of its users."""

    lab: Facts
    name: str
    user: str
    state: Path
    changed: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        """The word that all carries that the test makes."""
        return self.state.name

    @property
    def deployment(self) -> str:
        return f"deployment-{self.mark}"

    @property
    def id(self) -> str:
        return self.lab.projects[self.name]

    @property
    def settings(self) -> OpenStackSettings:
        return OpenStackSettings(
            auth_url=self.lab.auth_url, username=self.user, password=self.lab.password, project=self.name
        )

    @property
    def defaults(self) -> dict[str, Any]:
        """What a spec has, besides its name and image."""
        return {
            "flavor": self.lab.flavors["desktop.small"],
            "network": self.lab.networks[self.name]["desktops"],
            "tags": {"pool": "engineering", "portico:protocols": "rdp=3389 ssh=22"},
        }

    def driver(self, context: CloudContext, **settings: Any) -> OpenStack:
        return OpenStack(replace(self.settings, **settings), replace(context, egress_allow=LOOPBACK))

    def cloud(self, **settings: Any) -> OpenStack:
        return self.driver(CloudContext(self.deployment, "center", self.state), **settings)

    def spec(self, desktop: str = "", *, volume: RootVolume | None = None, **values: Any) -> MachineSpec:
        """What to make. Values that are a placement's go there."""
        desktop = desktop or str(uuid4())
        fields = set(Placement.__dataclass_fields__)
        place = {key: values.pop(key) for key in list(values) if key in fields}
        placement = Placement(**place, **({"volume": volume} if volume else {}))
        more = {"image_id": self.lab.images["linux-desktop"], "placement": placement} | self.defaults | values
        return MachineSpec(desktop, self.deployment, f"{self.mark}-{desktop[:8]}", **more)

    def room(self, **numbers: int) -> None:
        """Leave room for so many more of something (instances, floatingip, volumes) until the test is over."""
        cloud = Cloud(self.user, self.name)
        for name, number in numbers.items():
            service, path = {
                "instances": ("compute", "/servers"), "floatingip": ("network", "/floatingips"), "volumes": ("volume", "/volumes"),
            }[name]  # fmt: skip
            self.changed.append(service)
            _SET[service](self.id, **{name: len(cloud.listed(service, path)) + number})

    def holds(self) -> list[str]:
        """List by the lab's own client all that carries this test's mark, as "kind name"."""
        cloud = Cloud(self.user, self.name)
        cloud.log_in()
        found = []
        for service, path, key in (
            ("compute", "/servers/detail", "servers"), ("network", "/ports", "ports"),
            ("network", "/floatingips", "floatingips"), ("volume", "/volumes/detail", "volumes"),
        ):  # fmt: skip
            for one in cloud.listed(service, path, key):
                if self.mark in json.dumps(one):
                    found.append(f"{key} {one.get('name') or one.get('floating_ip_address') or one['id']}")
        return sorted(found)

    def clean(self) -> None:
        """Leave the project as it was."""
        for service in self.changed:
            _SET[service](self.id, **QUOTAS[service])
        control.purge(self.user, self.name, self.mark)


def make_project(lab: Facts, path: Path, name: str = "vdi", user: str = "broker") -> Project:
    """Return a project with a directory of its own, whose name marks all that is made."""
    state = path / f"t{uuid4().hex[:10]}"
    state.mkdir()
    return Project(lab, name, user, state)
