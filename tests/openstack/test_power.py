"""Switching real servers: the whole round, what a state or a machine lacks, consoles, snapshots, bare metal."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.suite import Center, usable
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until
from tests.openstack.deployment import LOOPBACK, settings

from portico.clouds.ironic import Ironic
from portico.clouds.openstack import OpenStack
from portico.domain.model import Placement, Power, PowerAction, RootVolume
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import CloudContext


@pytest.fixture
def center(lab: Facts, tmp_path: Path, mark: str) -> Center:
    state = tmp_path / mark
    state.mkdir()

    def make(context: CloudContext, **values: Any) -> OpenStack:
        return OpenStack(settings(lab, **values), replace(context, egress_allow=LOOPBACK))

    return Center(
        make, state, lab.images["linux-desktop"], {"flavor": "desktop.small", "network": "desktops"}, pause=0.5
    )


@pytest.fixture
def nodes(lab: Facts, tmp_path: Path) -> Ironic:
    return Ironic(settings(lab), CloudContext("deployment", "center", tmp_path, LOOPBACK))


@pytest.mark.capability("S018", "S019", "S020")
def test_the_actions_beyond_the_contract_lead_where_they_should(center: Center) -> None:
    """Pause, shelve and rebuild, each back again; what the state does not allow is refused with the way out."""
    cloud = center.cloud()
    server_id = cloud.create(center.spec())
    center.wait_for(cloud, server_id, usable)
    for action, power in (
        (PowerAction.PAUSE, Power.PAUSED),
        (PowerAction.UNPAUSE, Power.RUNNING),
        (PowerAction.SHELVE, Power.SHELVED),
        (PowerAction.UNSHELVE, Power.RUNNING),
        (PowerAction.REBUILD, Power.RUNNING),
    ):
        cloud.power(server_id, action)
        center.wait_for(
            cloud, server_id, lambda seen, power=power: seen.power is power and (seen.ready or power is Power.SHELVED)
        )  # type: ignore[misc]
    cloud.power(server_id, PowerAction.SUSPEND)
    center.wait_for(cloud, server_id, lambda seen: seen.power is Power.SUSPENDED)
    with pytest.raises(CloudRefused, match="Resume it first"):
        cloud.power(server_id, PowerAction.REBOOT)


@pytest.mark.capability("S020")
def test_a_busy_server_is_switched_when_it_has_finished(center: Center) -> None:
    """Two actions one right after the other both come true: the second waits for the first."""
    cloud = center.cloud()
    server_id = cloud.create(center.spec())
    cloud.power(server_id, PowerAction.STOP)
    cloud.power(server_id, PowerAction.START)
    center.wait_for(cloud, server_id, usable)


@pytest.mark.capability("S018", "S020")
def test_console_and_snapshot(center: Center, broker: Cloud) -> None:
    """What the server has printed can be read, and an image of its disk becomes active; the same of a volume."""
    cloud = center.cloud()
    name = f"{center.state.name}-image"
    for spec in (
        center.spec(),
        center.spec("desktop-2", placement=Placement(volume=RootVolume(create=True, size_gib=1))),
    ):
        server_id = cloud.create(spec)
        center.wait_for(cloud, server_id, usable)
        assert cloud.console(server_id).text
        image_id = cloud.snapshot(server_id, name)
        until("the image is there", lambda i=image_id: broker.get("image", f"/images/{i}")["status"] == "active")  # type: ignore[misc]
    for ask in (lambda: cloud.console("../x"), lambda: cloud.snapshot("00000000-0000-4000-8000-000000000000", name)):
        with pytest.raises(CloudNotFound):
            ask()


@pytest.mark.capability("S017", "S018", "S019", "S020")
def test_bare_metal_through_nova_says_what_it_lacks(center: Center) -> None:
    """A whole machine is built, switched and given back; suspend, pause, shelve and an image are refused before Nova can lose them."""
    cloud = center.cloud()
    server_id = cloud.create(center.spec(flavor="bm.vdi"))
    center.wait_for(cloud, server_id, usable)
    for action in (PowerAction.SUSPEND, PowerAction.PAUSE, PowerAction.SHELVE):
        with pytest.raises(CloudRefused, match="bare metal"):
            cloud.power(server_id, action)
    with pytest.raises(CloudRefused, match="bare metal"):
        cloud.snapshot(server_id, f"{center.state.name}-image")
    assert usable(center.wait_for(cloud, server_id, usable))
    cloud.power(server_id, PowerAction.STOP)
    center.wait_for(cloud, server_id, lambda seen: seen.power is Power.STOPPED)
    cloud.power(server_id, PowerAction.START)
    center.wait_for(cloud, server_id, usable)
    cloud.delete(server_id)
    center.wait_until_gone(cloud, server_id)
    with pytest.raises(CloudRefused, match="bare metal"):
        cloud.create(center.spec("desktop-2", flavor="bm.vdi", placement=Placement(volume=RootVolume(create=True))))


@pytest.fixture
def leased(lab: Facts) -> Iterator[str]:
    """A node that the project owns."""
    system, node = control.admin_of_everything(), lab.nodes["metal5"]

    def own(owner: str | None) -> None:
        system.call("PATCH", "baremetal", f"/nodes/{node}", [{"op": "add", "path": "/owner", "value": owner}])

    own(lab.projects["vdi"])
    yield node
    until("the node is at rest", lambda: not system.get("baremetal", f"/nodes/{node}")["target_power_state"])
    system.put("baremetal", f"/nodes/{node}/states/power", {"target": "power on"})
    own(None)


@pytest.mark.capability("S017", "S019", "S020")
def test_nodes_are_listed_and_switched_by_ironic_itself(nodes: Ironic, leased: str, lab: Facts) -> None:
    """A project sees the nodes that it owns, switches them, and learns what a node cannot do."""
    assert {finding.name: finding.state for finding in nodes.check()}["nodes"] == "granted"
    scan = nodes.scan()
    assert scan.complete
    (mine,) = [one for one in scan.machines if one.external_id == leased]
    assert nodes.look(leased) == mine
    assert mine.tags["resource_class"] == "vdi-metal"
    for action, power in ((PowerAction.STOP, Power.STOPPED), (PowerAction.START, Power.RUNNING)):
        nodes.power(leased, action)
        until(f"{action} came true", lambda power=power: (seen := nodes.look(leased)) and seen.power is power)  # type: ignore[misc]
    with pytest.raises(CloudRefused, match="cannot suspend"):
        nodes.power(leased, PowerAction.SUSPEND)
    foreign = lab.nodes["metal1"]
    assert nodes.look(foreign) is None
    with pytest.raises(CloudNotFound):
        nodes.power(foreign, PowerAction.STOP)
    with pytest.raises(CloudRefused):
        nodes.delete(leased)
