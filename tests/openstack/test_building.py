"""What a pool's form can ask for is what stands in the project afterwards, and what cannot be had is refused in words."""

import base64
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.suite import Center, usable
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud
from tests.openstack.deployment import LOOPBACK, settings

from portico.clouds.openstack import OpenStack
from portico.domain.model import Placement, RootVolume
from portico.errors import CloudRefused, QuotaExceeded
from portico.ports.cloud import CloudContext


@pytest.fixture
def center(lab: Facts, tmp_path: Path, mark: str) -> Center:
    state = tmp_path / mark
    state.mkdir()

    def make(context: CloudContext, **values: Any) -> OpenStack:
        return OpenStack(settings(lab, **values), replace(context, egress_allow=LOOPBACK))

    values = {"flavor": "desktop.small", "network": "desktops"}
    return Center(make, state, lab.images["linux-desktop"], values, pause=0.5)


def kinds(cloud: OpenStack) -> dict[str, int]:
    return dict(Counter(one.kind for one in cloud.belongings()))


@pytest.mark.capability("S102", "S103", "S104", "S105", "S106", "S107", "S110", "S111")
def test_every_field_of_the_form_reaches_the_project(center: Center, lab: Facts, broker: Cloud) -> None:
    """Zone, flavor, network, groups, floating IP, volume, server group, key, configuration drive, user data, metadata."""
    volume = RootVolume(create=True, size_gib=2, type="fast")
    place = Placement(
        zone="az2", security_groups=("portico",), floating_ip=True, floating_network="public", volume=volume,
        server_group="spread", key_pair="portico", config_drive=True, metadata={"team": "engineering"},
    )  # fmt: skip
    cloud = center.cloud()
    words = "#cloud-config\nhostname: here\n"
    agent = {"broker_url": "https://broker.example", "ca_fingerprint": "ab" * 32, "token": "t" * 43}
    server_id = cloud.create(center.spec(placement=place, user_data=words, agent=agent))
    machine = center.wait_for(cloud, server_id, lambda seen: usable(seen) and bool(seen.public_address))
    admin = control.admin("vdi")
    server = admin.get("compute", f"/servers/{server_id}")["server"]
    assert server["OS-EXT-AZ:availability_zone"] == "az2"
    assert server["key_name"] == "portico"
    assert server["config_drive"] == "True"
    assert base64.b64decode(server["OS-EXT-SRV-ATTR:user_data"]).decode() == words
    assert server["metadata"]["team"] == "engineering"
    assert server["metadata"]["portico:token"] == agent["token"]
    assert {one["name"] for one in server["security_groups"]} == {"default", "portico"}
    group = broker.get("compute", f"/os-server-groups/{lab.server_groups['spread']}")["server_group"]
    assert server_id in group["members"]
    (attached,) = server["os-extended-volumes:volumes_attached"]
    disk = broker.get("volume", f"/volumes/{attached['id']}")["volume"]
    assert (disk["size"], disk["volume_type"]) == (2, "fast")
    assert machine.image_id == lab.images["linux-desktop"]
    assert machine.public_address.startswith("172.24.")
    assert machine.tags["team"] == "engineering"
    assert not set(machine.tags.values()) & set(agent.values())
    assert kinds(cloud) == {"machine": 1, "port": 1, "floating ip": 1, "volume": 1}
    cloud.delete(server_id)
    center.wait_until_gone(cloud, server_id)
    assert kinds(cloud) == {}


@pytest.mark.capability("S106")
def test_the_default_group_can_be_left_out(center: Center, broker: Cloud) -> None:
    """Only what was chosen stands at the port; without any choice, nothing."""
    cloud = center.cloud()
    server_id = cloud.create(
        center.spec(placement=Placement(default_security_group=False, security_groups=("portico",)))
    )
    center.wait_for(cloud, server_id, usable)
    (port,) = broker.get("network", f"/ports?device_id={server_id}")["ports"]
    groups = broker.get("network", "/security-groups")["security_groups"]
    assert {one["name"] for one in groups if one["id"] in port["security_groups"]} == {"portico"}


@pytest.mark.capability("S107")
def test_a_free_floating_ip_is_taken_before_a_new_one_is_made_and_given_back_free(
    center: Center, lab: Facts, broker: Cloud
) -> None:
    """What was there before Portico is there after it."""
    words = f"kept for later {center.state.name}"
    wanted = {"floating_network_id": lab.external["public"], "description": words}
    free = broker.post("network", "/floatingips", {"floatingip": wanted})["floatingip"]
    cloud = center.cloud()
    place = Placement(floating_ip=True, floating_network="public")
    made = [cloud.create(center.spec(f"desktop-{n}", placement=place)) for n in (1, 2)]
    for server_id in made:
        center.wait_for(cloud, server_id, usable)
    ports = {
        one["id"]: one["device_id"] for one in broker.get("network", "/ports")["ports"] if one["device_id"] in made
    }
    mine = [one for one in broker.get("network", "/floatingips")["floatingips"] if one["port_id"] in ports]
    assert len(mine) == 2
    assert free["id"] in {one["id"] for one in mine}
    for server_id in made:
        cloud.delete(server_id)
    left = broker.get("network", f"/floatingips/{free['id']}")["floatingip"]
    assert left["port_id"] is None
    assert kinds(cloud).get("floating ip") is None


@pytest.mark.capability("S105")
def test_a_volume_that_is_to_be_kept_outlives_its_machine_and_is_no_leak(center: Center, broker: Cloud) -> None:
    cloud = center.cloud()
    place = Placement(volume=RootVolume(create=True, size_gib=1, delete_with_machine=False))
    server_id = cloud.create(center.spec(placement=place))
    center.wait_for(cloud, server_id, usable)
    cloud.delete(server_id)
    center.wait_until_gone(cloud, server_id)
    assert kinds(cloud) == {}
    kept = [
        one for one in broker.get("volume", "/volumes/detail")["volumes"] if center.deployment in str(one["metadata"])
    ]
    assert len(kept) == 1


NOT_THERE: dict[str, tuple[dict[str, Any], str]] = {
    "image": ({"image_id": "00000000-0000-4000-8000-000000000000"}, "no image"),
    "retired image": ({"image_id": "retired"}, "deactivated"),
    "flavor": ({"flavor": "no-such"}, "no flavor"),
    "network": ({"network": "no-such"}, "no network"),
    "no network": ({"network": ""}, "No network is chosen"),
    "group": ({"placement": Placement(security_groups=("no-such",))}, "no security group"),
    "server group": ({"placement": Placement(server_group="no-such")}, "no server group"),
    "external network": ({"placement": Placement(floating_ip=True, floating_network="no-such")}, "no external network"),
    "floating ips": ({"placement": Placement(floating_ip=True, floating_network="dry")}, "no free floating address"),
    "key": ({"placement": Placement(key_pair="no-such")}, "[Kk]ey"),
    "zone": ({"placement": Placement(zone="no-such")}, "availability zone"),
    "volume type": ({"placement": Placement(volume=RootVolume(create=True, type="no-such"))}, "[Vv]olume type"),
}


@pytest.mark.capability("S099", "S105", "S107")
@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_is_refused_by_name_and_nothing_stays(center: Center, name: str) -> None:
    values, words = NOT_THERE[name]
    cloud = center.cloud()
    with pytest.raises(CloudRefused) as trouble:
        cloud.create(replace(center.spec(), **values))
    assert re.search(words, f"{trouble.value.sentence} {trouble.value.detail}"), trouble.value.sentence
    assert kinds(cloud) == {}


@pytest.fixture
def limited(lab: Facts) -> Any:
    """Set a quota of the project `small` for a test."""
    yield lambda change, **values: change(lab.projects["small"], **values)
    control.set_compute_quota(lab.projects["small"], instances=2, cores=4, ram=8192)
    control.set_volume_quota(lab.projects["small"], volumes=1, gigabytes=20)
    control.set_network_quota(lab.projects["small"], port=-1, floatingip=1)


QUOTAS: dict[str, tuple[Callable[..., None], dict[str, int], Placement]] = {
    "servers": (control.set_compute_quota, {"instances": 0}, Placement()),
    "cores": (control.set_compute_quota, {"cores": 0}, Placement()),
    "floating ips": (control.set_network_quota, {"floatingip": 0}, Placement(floating_ip=True)),
    "volumes": (control.set_volume_quota, {"volumes": 0}, Placement(volume=RootVolume(create=True))),
}


@pytest.mark.capability("S005", "S064")
@pytest.mark.parametrize("name", QUOTAS)
def test_each_quota_is_told_apart_from_a_failure_and_nothing_stays(center: Center, limited: Any, name: str) -> None:
    """Servers, processors, addresses, volumes: the pool pauses; what was made on the way is removed."""
    change, values, place = QUOTAS[name]
    limited(change, **values)
    cloud = center.cloud(username="broker-small", project="small")
    with pytest.raises(QuotaExceeded) as trouble:
        cloud.create(center.spec(placement=place))
    assert trouble.value.sentence
    assert kinds(cloud) == {}


@pytest.mark.capability("S005", "S064")
def test_a_network_without_free_addresses_is_like_a_quota(center: Center) -> None:
    cloud = center.cloud()
    with pytest.raises(QuotaExceeded, match="no free address"):
        cloud.create(replace(center.spec(), network="tiny"))
    assert kinds(cloud) == {}
