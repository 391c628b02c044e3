"""Whole machines: by Nova on Ironic, and Ironic's own nodes with their power."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.suite import Center, CloudContract, usable, wait_for
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until
from tests.openstack.projects import LOOPBACK, Project

from portico.clouds.ironic import ADDRESS, Ironic
from portico.clouds.openstack_inventory import TAG_PROTOCOLS
from portico.domain.model import Power, PowerAction
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import CloudContext, MachineSpec

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def system(lab: Facts) -> Cloud:
    return control.admin_of_everything()


@pytest.fixture(scope="module")
def leased(lab: Facts, system: Cloud) -> Iterator[str]:
    """A node that the project `vdi2` leases, for desktops that nobody deploys; returns its id."""
    free = [
        one for one in system.listed("baremetal", "/nodes/detail", "nodes") if one["provision_state"] == "available"
    ]
    node = str(free[-1]["uuid"])
    extra = {ADDRESS: "198.51.100.7", TAG_PROTOCOLS: "rdp=3389"}
    system.call("PATCH", "baremetal", f"/nodes/{node}", [
        {"op": "add", "path": "/lessee", "value": lab.projects["vdi2"]}, {"op": "add", "path": "/extra", "value": extra},
    ])  # fmt: skip
    yield node
    system.call("PATCH", "baremetal", f"/nodes/{node}", [
        {"op": "remove", "path": "/lessee"}, {"op": "add", "path": "/extra", "value": {}},
    ])  # fmt: skip
    power(system, node, "power on")


def power(system: Cloud, node: str, target: str) -> None:
    if system.get("baremetal", f"/nodes/{node}")["power_state"] != target:
        system.put("baremetal", f"/nodes/{node}/states/power", {"target": target})
        until(f"{node} is {target}", lambda: system.get("baremetal", f"/nodes/{node}")["power_state"] == target)


@pytest.fixture
def center(project: Project, leased: str) -> Center:
    def make(context: CloudContext) -> Ironic:
        settings = Project(project.lab, "vdi2", "broker2", project.state).settings
        return Ironic(settings, CloudContext(context.deployment_id, context.center_id, context.state, LOOPBACK))

    return Center("ironic", make, project.state, provisions=False)


class TestContract(CloudContract):
    """On Ironic's nodes: those that a center of nodes has no `provisioning` for are not run."""

    test_creating_twice_makes_one_machine_that_carries_our_tags = None  # type: ignore[assignment]
    test_a_deleted_machine_is_gone_and_stays_so = None  # type: ignore[assignment]
    test_what_carries_our_tag_is_listed_and_can_be_removed = None  # type: ignore[assignment]
    test_power_goes_round = None  # type: ignore[assignment]
    test_the_quota_is_a_no_of_its_own_kind = None  # type: ignore[assignment]
    test_a_foreign_image_is_refused = None  # type: ignore[assignment]


@pytest.mark.capability("S018", "S019")
def test_a_leased_node_is_seen_with_its_address_and_switched(center: Center, leased: str, system: Cloud) -> None:
    """A project sees its own nodes and no others; on, off, reboot and reset work; nodes are not made or removed here."""
    cloud = center.cloud()
    (machine,) = cloud.scan().machines
    assert (machine.external_id, machine.address, machine.protocols) == (leased, "198.51.100.7", {"rdp": 3389})
    assert cloud.belongings() == ()
    power(system, leased, "power on")
    for action, wanted in (
        (PowerAction.SHUTDOWN, Power.STOPPED),
        (PowerAction.STOP, Power.STOPPED),
        (PowerAction.START, Power.RUNNING),
        (PowerAction.REBOOT, Power.RUNNING),
        (PowerAction.RESET, Power.RUNNING),
    ):
        cloud.power(leased, action)
        wait_for(cloud, leased, lambda machine, wanted=wanted: machine.power is wanted)  # type: ignore[misc]
    for refused in (
        lambda: cloud.power(leased, PowerAction.SUSPEND),
        lambda: cloud.delete(leased),
        lambda: cloud.create(MachineSpec("d", "deployment", "name", "image")),
        lambda: cloud.snapshot(leased, "name"),
        lambda: cloud.console(leased),
    ):
        with pytest.raises(CloudRefused):
            refused()


@pytest.mark.capability("S018")
def test_maintenance_takes_a_node_out(center: Center, leased: str, system: Cloud) -> None:
    """A node in maintenance is not ready, with the reason that its administrator gave."""
    cloud = center.cloud()
    system.put("baremetal", f"/nodes/{leased}/maintenance", {"reason": "a fan is loud"})
    machine = cloud.look(leased)
    system.delete("baremetal", f"/nodes/{leased}/maintenance")
    assert machine is not None
    assert not machine.ready
    assert "a fan is loud" in machine.error
    until("it is back", lambda: (found := cloud.look(leased)) is not None and found.ready)


@pytest.mark.capability("S062")
def test_a_project_without_nodes_is_told_what_to_do(project: Project, tmp_path: Path) -> None:
    """The pre-flight says who must lease a node to the project."""
    cloud = Ironic(
        Project(project.lab, "small", "broker-small", tmp_path).settings,
        CloudContext("deployment", "center", tmp_path, LOOPBACK),
    )
    (finding,) = cloud.check()
    assert finding.state == "missing"
    assert "owner or lessee" in finding.remedy
    with pytest.raises(CloudNotFound):
        cloud.power("00000000-0000-4000-8000-000000000000", PowerAction.START)


@pytest.mark.capability("S018", "S020")
def test_a_whole_machine_by_nova_and_what_it_lacks(project: Project, system: Cloud, broker: Cloud) -> None:
    """A flavor with a custom resource class boots a node; what Nova would accept and fail in silence is refused before."""
    cloud = project.cloud()
    external_id = cloud.create(project.spec(flavor="bm.vdi"))
    wait_for(cloud, external_id, usable, 120)
    for action in (PowerAction.SUSPEND, PowerAction.PAUSE, PowerAction.SHELVE):
        with pytest.raises(CloudRefused, match="bare metal"):
            cloud.power(external_id, action)
    with pytest.raises(CloudRefused, match="bare metal"):
        cloud.snapshot(external_id, "image")
    told = broker.get("compute", f"/servers/{external_id}/os-instance-actions")["instanceActions"]
    assert {one["action"] for one in told} == {"create"}
    for action, wanted in (
        (PowerAction.STOP, Power.STOPPED),
        (PowerAction.START, Power.RUNNING),
        (PowerAction.REBUILD, Power.RUNNING),
    ):
        cloud.power(external_id, action)
        wait_for(cloud, external_id, lambda machine, wanted=wanted: machine.ready and machine.power is wanted, 120)  # type: ignore[misc]
    (node,) = [
        one for one in system.listed("baremetal", "/nodes/detail", "nodes") if one["instance_uuid"] == external_id
    ]
    cloud.delete(external_id)
    until("all is gone", lambda: not project.holds())
    until(
        "the node is free", lambda: system.get("baremetal", f"/nodes/{node['uuid']}")["provision_state"] == "available"
    )
    power(system, node["uuid"], "power on")


@pytest.mark.capability("S018", "S020")
def test_no_whole_machine_left_is_told(project: Project, system: Cloud) -> None:
    """Where no node is free, the machine is ERROR with Nova's words, and is deleted without remains."""
    cloud = project.cloud()
    free = [
        one["uuid"]
        for one in system.listed("baremetal", "/nodes/detail", "nodes")
        if one["provision_state"] == "available"
    ]
    for node in free:
        system.put("baremetal", f"/nodes/{node}/maintenance", {"reason": project.mark})
    try:
        external_id = cloud.create(project.spec(flavor="bm.vdi"))
        machine = wait_for(cloud, external_id, lambda machine: machine.power is Power.ERROR, 90)
    finally:
        for node in free:
            system.delete("baremetal", f"/nodes/{node}/maintenance")
    # In the words of the scheduler, or, while that has not heard of it yet, of the compute.
    assert re.search("No valid host|Insufficient compute resources", machine.error)
    cloud.delete(external_id)
    until("all is gone", lambda: not project.holds())
