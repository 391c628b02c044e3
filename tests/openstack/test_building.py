"""Desktops made in a real project: each field of a pool's form, what a crash left, and ends without remains."""

import base64
from typing import Any
from uuid import uuid4

import pytest
from tests.contract.suite import usable, wait_for
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until
from tests.openstack.projects import Project

from portico.clouds import openstack_bodies, openstack_build
from portico.clouds.openstack import OpenStack
from portico.domain.model import Power, RootVolume
from portico.errors import CloudRefused

pytestmark = pytest.mark.timeout(300)


def ours(broker: Cloud, project: Project, key: str, path: str, service: str = "network") -> list[dict[str, Any]]:
    return [one for one in broker.listed(service, path, key) if project.mark in str(one)]


def gone(project: Project, external_id: str, cloud: OpenStack) -> None:
    until(f"{external_id} is gone", lambda: cloud.look(external_id) is None)
    until("its parts are gone", lambda: not project.holds())


@pytest.mark.capability("S024", "S101", "S102", "S103", "S104", "S105", "S106", "S107", "S110")
def test_every_field_of_the_form_reaches_the_cloud(project: Project, lab: Facts, broker: Cloud) -> None:
    """Zone, flavor, network, groups, key, server group, config drive, user data, metadata, a volume, a floating IP: each is there."""
    text = "#cloud-config\nhostname: schön\n"
    spec = project.spec(
        zone=lab.zones[0], security_groups=("portico",), floating_ip=True, server_group="spread", key_pair="portico",
        config_drive=True, metadata={"cost": "42"}, volume=RootVolume(True, 2, "fast"), user_data=text,
        agent={"broker_url": "https://broker.example", "ca_fingerprint": "ab", "token": "secret-token"},
    )  # fmt: skip
    cloud = project.cloud()
    external_id = cloud.create(spec)
    machine = wait_for(cloud, external_id, lambda machine: usable(machine) and bool(machine.public_address))
    assert (machine.name, machine.image_id) == (spec.name, spec.image_id)
    assert machine.tags == {"pool": "engineering", "cost": "42"}
    assert machine == next(one for one in cloud.scan().machines if one.external_id == external_id)

    server = broker.get("compute", f"/servers/{external_id}")["server"]
    assert server["OS-EXT-AZ:availability_zone"] == lab.zones[0]
    assert server["flavor"]["original_name"] == "desktop.small"
    assert (server["key_name"], server["config_drive"]) == ("portico", "True")
    hidden = control.admin("vdi").get("compute", f"/servers/{external_id}")["server"]  # of which members see less
    assert base64.b64decode(hidden["OS-EXT-SRV-ATTR:user_data"]).decode() == text
    assert (
        external_id
        in broker.get("compute", f"/os-server-groups/{lab.server_groups['spread']}")["server_group"]["members"]
    )
    assert server["metadata"]["portico:token"] == "secret-token"
    assert "secret-token" not in str(machine)
    (port,) = ours(broker, project, "ports", "/ports")
    groups = {lab.security_groups["vdi"]["default"], lab.security_groups["vdi"]["portico"]}
    assert (port["device_id"], set(port["security_groups"])) == (external_id, groups)
    assert port["network_id"] == lab.networks["vdi"]["desktops"]
    (volume,) = ours(broker, project, "volumes", "/volumes/detail", "volume")
    assert (volume["size"], volume["volume_type"], volume["bootable"]) == (2, "fast", "true")
    assert volume["volume_image_metadata"]["image_id"] == spec.image_id
    (floating,) = ours(broker, project, "floatingips", "/floatingips")
    assert floating["floating_ip_address"] == machine.public_address

    listed = {(one.kind, one.desktop_id, one.machine_id) for one in cloud.belongings()}
    assert listed == {(kind, spec.desktop_id, external_id) for kind in ("machine", "port", "volume", "floating ip")}
    cloud.delete(external_id)
    gone(project, external_id, cloud)
    assert cloud.belongings() == ()


@pytest.mark.capability("S107")
def test_a_free_floating_ip_is_taken_and_left_as_it_was_found(project: Project, lab: Facts, broker: Cloud) -> None:
    """One that the project has is used before one is made, and stays the project's after the desktop has gone."""
    wanted = {"floating_network_id": lab.external["public"], "description": f"spare {project.mark}"}
    spare = broker.post("network", "/floatingips", {"floatingip": wanted})["floatingip"]
    cloud = project.cloud()
    external_id = cloud.create(project.spec(floating_ip=True, floating_network="public"))
    made = [one for one in broker.listed("network", "/floatingips") if project.deployment in one["description"]]
    assert made == []
    wait_for(cloud, external_id, lambda machine: machine.public_address is not None)
    cloud.delete(external_id)
    until("the machine is gone", lambda: cloud.look(external_id) is None)
    left = broker.get("network", f"/floatingips/{spare['id']}")["floatingip"]
    assert left["description"] == f"spare {project.mark}"


@pytest.mark.capability("S107")
def test_a_network_without_floating_addresses_is_told_and_leaves_nothing(project: Project) -> None:
    """The sentence names the network and what is to be done."""
    cloud = project.cloud()
    with pytest.raises(CloudRefused) as refused:
        cloud.create(project.spec(floating_ip=True, floating_network="dry"))
    assert "no free floating address in the network “dry”" in refused.value.sentence
    assert project.holds() == []


@pytest.mark.capability("S064", "S110")
@pytest.mark.parametrize(
    ("default", "chosen"), [(True, ()), (False, ("portico",)), (False, ())], ids=["default", "chosen", "none"]
)
def test_the_default_security_group_can_be_left_out(
    project: Project, lab: Facts, broker: Cloud, default: bool, chosen: tuple[str, ...]
) -> None:
    """The port has the chosen groups, with the project's own one unless it was removed."""
    spec = project.spec(security_groups=chosen, default_security_group=default)
    parts = openstack_build.find.parts(project.cloud()._api, spec)
    assert openstack_bodies.port(spec, parts)["port"]["security_groups"] == list(parts.security_groups)
    port = broker.post("network", "/ports", openstack_bodies.port(spec, parts))["port"]
    known = lab.security_groups["vdi"]
    assert set(port["security_groups"]) == {known[name] for name in (["default"] if default else []) + list(chosen)}


@pytest.mark.capability("S023", "S025")
def test_a_volume_can_outlive_its_desktop(project: Project, broker: Cloud) -> None:
    """Where the pool keeps volumes, deletion leaves it, as nobody's leak."""
    cloud = project.cloud()
    external_id = cloud.create(project.spec(volume=RootVolume(True, 1, "", delete_with_machine=False)))
    wait_for(cloud, external_id, usable)
    cloud.delete(external_id)
    until("only the volume is left", lambda: [one.split()[0] for one in project.holds()] == ["volumes"])
    assert cloud.belongings() == ()
    (volume,) = ours(broker, project, "volumes", "/volumes/detail", "volume")
    until("it is free", lambda: broker.get("volume", f"/volumes/{volume['id']}")["volume"]["status"] == "available")


@pytest.mark.capability("S009")
def test_a_create_is_repeated_after_the_machine_was_renamed(project: Project, broker: Cloud) -> None:
    """The machine is known by its port and its tags, whatever somebody calls it in the cloud."""
    cloud, spec = project.cloud(), project.spec()
    external_id = cloud.create(spec)
    wait_for(cloud, external_id, usable)
    broker.put("compute", f"/servers/{external_id}", {"server": {"name": f"{project.mark}-other"}})
    assert cloud.create(spec) == external_id
    assert len(ours(broker, project, "servers", "/servers/detail", "compute")) == 1


@pytest.mark.capability("S009", "S011")
@pytest.mark.parametrize("from_volume", [False, True], ids=["image", "volume"])
def test_a_build_that_fails_says_why_and_its_remains_are_deleted(project: Project, from_volume: bool) -> None:
    """A machine in the state ERROR carries Nova's reason; deleting it removes its port, its floating IP and its volume too."""
    cloud = project.cloud()
    with control.builds(project.mark, error="the disk is full"):
        external_id = cloud.create(project.spec(floating_ip=True, volume=RootVolume(from_volume)))
        machine = wait_for(cloud, external_id, lambda machine: machine.power is Power.ERROR)
    assert not machine.ready
    assert "the disk is full" in machine.error
    cloud.delete(external_id)
    gone(project, external_id, cloud)


WRONG = {
    "image": ({"image_id": str(uuid4())}, "no image"),
    "retired": ({"image_id": "retired"}, "deactivated"),
    "flavor": ({"flavor": "desktop.none"}, "no flavor “desktop.none”"),
    "network": ({"network": "no-such-network"}, "no network “no-such-network”"),
    "group": ({"security_groups": ("no-such-group",)}, "no security group “no-such-group”"),
    "server group": ({"server_group": "nowhere"}, "no server group “nowhere”"),
    "external network": ({"floating_ip": True, "floating_network": "nowhere"}, "no external network “nowhere”"),
    "zone": ({"zone": "no-such-zone"}, "zone"),
    "key": ({"key_pair": "no-such-key"}, "(?i)key"),
    "volume type": ({"volume": RootVolume(True, 1, "no-such-type")}, "no-such-type"),
    "backend": ({"volume": RootVolume(True, 1, "nowhere")}, "“error”"),
    "size": ({"user_data": "x" * 60_000}, "too long"),
    "metadata": ({"metadata": {"long": "x" * 300}}, "Shorten: long"),
    "metal": ({"flavor": "bm.vdi", "volume": RootVolume(True)}, "bare metal"),
}


@pytest.mark.capability("S020", "S108")
@pytest.mark.parametrize(("values", "words"), WRONG.values(), ids=list(WRONG))
def test_what_has_vanished_is_refused_by_name_and_leaves_nothing(
    project: Project, values: dict[str, Any], words: str
) -> None:
    """Each part of the form that cannot be had: one sentence that says which, and no port, volume or address of the try."""
    with pytest.raises(CloudRefused, match=words):
        project.cloud().create(project.spec(**values))
    until("nothing is left", lambda: not project.holds(), 20)


@pytest.mark.capability("S018", "S019")
def test_an_image_that_does_not_fit_is_refused_before_anything_is_made(project: Project, broker: Cloud) -> None:
    """What image and flavor say of one another is read before Nova is asked."""
    wanted = {"name": f"{project.mark}-large", "disk_format": "raw", "container_format": "bare", "min_ram": 9999}
    image = broker.post("image", "/images", wanted)
    broker.put("image", f"/images/{image['id']}/file", b"\0" * 512)
    with pytest.raises(CloudRefused, match="needs 9999 MiB of memory"):
        project.cloud().create(project.spec(image_id=image["id"]))
    assert project.holds() == []


@pytest.mark.capability("S009", "S111")
def test_what_a_crash_left_is_taken_up(project: Project, broker: Cloud) -> None:
    """A port and a volume that an earlier try made are used, not made again."""
    cloud = project.cloud()
    spec = project.spec(floating_ip=True, volume=RootVolume(True, 1))
    parts = openstack_build.find.parts(cloud._api, spec)
    port = broker.post("network", "/ports", openstack_bodies.port(spec, parts))["port"]
    volume = broker.post("volume", "/volumes", openstack_bodies.volume(spec, parts))["volume"]
    external_id = cloud.create(spec)
    wait_for(cloud, external_id, usable)
    assert [one["id"] for one in ours(broker, project, "ports", "/ports")] == [port["id"]]
    assert [one["id"] for one in ours(broker, project, "volumes", "/volumes/detail", "volume")] == [volume["id"]]
    cloud.delete(external_id)
    gone(project, external_id, cloud)
