"""What services may rely on, whichever cloud a center has: one suite for every driver.

A module that imports these tests gives them a `center`, and a `provisioning` one where the cloud makes machines.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from portico.domain.model import Power, PowerAction
from portico.errors import CloudNotFound, CloudRefused, QuotaExceeded
from portico.ports.cloud import Cloud, CloudContext, Machine, MachineSpec

UNKNOWN = ("local-000000000000", "00000000-0000-4000-8000-000000000000", "never-was", "../../etc", "")


@dataclass(frozen=True)
class Center:
    """A driver under test, and how to have another of it over the same machines, as after a restart of the broker.

    `image`: what machines are made from, "" where none are made; `values`: what else a spec of this cloud needs.
    """

    make: Callable[..., Any]
    state: Path
    image: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    tells_protocols: bool = True
    pause: float = 0.05  # seconds between two looks

    @property
    def deployment(self) -> str:
        """Another one for each test, for accounts and processes of a machine are named by it and tests run side by side."""
        return f"deployment-{self.state.name}"

    def cloud(self, **settings: Any) -> Any:
        return self.make(CloudContext(self.deployment, f"center-{self.state.name}", self.state), **settings)

    def spec(self, desktop_id: str = "desktop-1", **values: Any) -> MachineSpec:
        tags = {"pool": "engineering"}
        name = f"{self.state.name}-{desktop_id}"
        return MachineSpec(desktop_id, self.deployment, name, self.image, tags=tags, **{**self.values, **values})

    def machines(self, cloud: Cloud) -> list[Machine]:
        """List what this test has made: a cloud may hold machines of others."""
        return [one for one in cloud.scan().machines if str(one.deployment_id).startswith(self.deployment)]

    def wait_for(self, cloud: Cloud, external_id: str, wanted: Callable[[Machine], bool]) -> Machine:
        until = time.monotonic() + 30 + 1000 * self.pause
        while True:
            machine = machine_of(cloud, external_id)
            if machine and wanted(machine):
                return machine
            assert time.monotonic() < until, machine
            time.sleep(self.pause)

    def wait_until_gone(self, cloud: Cloud, external_id: str) -> None:
        """Wait for a machine whose deletion was accepted: a cloud may take its time to carry it out."""
        until = time.monotonic() + 30 + 1000 * self.pause
        while machine_of(cloud, external_id) is not None:
            assert time.monotonic() < until, external_id
            time.sleep(self.pause)


def machine_of(cloud: Cloud, external_id: str) -> Machine | None:
    return next((machine for machine in cloud.scan().machines if machine.external_id == external_id), None)


def usable(machine: Machine) -> bool:
    return machine.ready and machine.power is Power.RUNNING


@pytest.mark.capability("S009", "S090")
def test_a_full_scan_is_complete_and_says_so(center: Center) -> None:
    """Only a scan of everything is complete; machines have unique ids."""
    scan = center.cloud().scan()
    assert scan.complete
    ids = [machine.external_id for machine in scan.machines]
    assert len(ids) == len(set(ids))


@pytest.mark.capability("S090")
def test_one_machine_is_looked_at_alone(center: Center) -> None:
    """A look shows a machine as a scan does, and nothing for one that is unknown."""
    cloud = center.cloud()
    if center.image:
        center.wait_for(cloud, cloud.create(center.spec()), usable)
    machines = center.machines(cloud) if center.image else cloud.scan().machines
    assert machines
    for machine in machines:
        assert cloud.look(machine.external_id) == machine
    assert [cloud.look(unknown) for unknown in UNKNOWN] == [None] * len(UNKNOWN)
    if center.image:
        cloud.delete(machines[0].external_id)
        center.wait_until_gone(cloud, machines[0].external_id)
        assert cloud.look(machines[0].external_id) is None


@pytest.mark.capability("S090")
def test_an_unknown_machine_is_deleted_already_and_cannot_be_switched(center: Center) -> None:
    """Deleting what is not there succeeds; switching it says that it is not there."""
    cloud = center.cloud()
    for unknown in UNKNOWN:
        cloud.delete(unknown)
        with pytest.raises(CloudNotFound):
            cloud.power(unknown, PowerAction.START)


@pytest.mark.capability("S090")
def test_check_and_choices_answer(center: Center) -> None:
    """The pre-flight names what it looked at, each missing thing with its remedy."""
    cloud = center.cloud()
    findings = cloud.check()
    assert findings
    assert all(finding.remedy for finding in findings if finding.state == "missing")
    cloud.choices()


@pytest.mark.capability("S009", "S010")
def test_creating_twice_makes_one_machine_that_carries_our_tags(provisioning: Center) -> None:
    """A create that is repeated, after a restart too, finds the machine of the first; the scan shows our ids and tags."""
    spec = provisioning.spec()
    external_id = provisioning.cloud().create(spec)
    assert provisioning.cloud().create(spec) == external_id
    cloud = provisioning.cloud()
    machine = provisioning.wait_for(cloud, external_id, usable)
    assert len(provisioning.machines(cloud)) == 1
    assert (machine.desktop_id, machine.deployment_id, machine.name) == (
        "desktop-1",
        provisioning.deployment,
        spec.name,
    )
    assert machine.tags == {"pool": "engineering"}
    assert machine.image_id == spec.image_id
    assert machine.address
    assert machine.protocols or not provisioning.tells_protocols
    assert machine.created_at


@pytest.mark.capability("S011", "S027")
def test_a_deleted_machine_is_gone_and_stays_so(provisioning: Center) -> None:
    """Delete removes the machine, again is success, and a later create of another desktop does not bring it back."""
    cloud = provisioning.cloud()
    external_id = cloud.create(provisioning.spec())
    cloud.delete(external_id)
    cloud.delete(external_id)
    provisioning.wait_until_gone(cloud, external_id)
    other = cloud.create(provisioning.spec("desktop-2"))
    assert [machine.external_id for machine in provisioning.machines(provisioning.cloud())] == [other]
    with pytest.raises(CloudNotFound):
        cloud.power(external_id, PowerAction.START)


@pytest.mark.capability("S011", "S090")
def test_what_carries_our_tag_is_listed_and_can_be_removed(provisioning: Center) -> None:
    """Belongings are what this deployment made; removing is final, and success when it is gone; a stranger's is left."""
    cloud = provisioning.cloud()
    external_id = cloud.create(provisioning.spec())
    cloud.create(replace(provisioning.spec("desktop-2"), deployment_id=f"{provisioning.deployment}-elsewhere"))
    (mine,) = [one for one in cloud.belongings() if one.kind == "machine"]
    assert (mine.external_id, mine.desktop_id, mine.machine_id) == (external_id, "desktop-1", external_id)
    stranger = next(one for one in provisioning.machines(cloud) if str(one.deployment_id).endswith("elsewhere"))
    with pytest.raises(CloudRefused):
        cloud.remove(replace(mine, external_id=stranger.external_id))
    for _ in range(2):
        cloud.remove(mine)
    provisioning.wait_until_gone(cloud, external_id)
    assert cloud.belongings() == ()
    assert machine_of(cloud, stranger.external_id) is not None


@pytest.mark.capability("S020")
def test_what_a_cloud_lacks_is_refused_with_a_sentence(center: Center) -> None:
    """A console, an image, a mend that a cloud has not: each says so, and no other exception comes out."""
    cloud = center.cloud()
    can = cloud.capabilities()
    asked = [lambda: cloud.mend("no-such-fix")]
    asked += [] if can.console else [lambda: cloud.console("machine")]
    asked += [] if can.snapshots else [lambda: cloud.snapshot("machine", "name")]
    for ask in asked:
        with pytest.raises(CloudRefused):
            ask()


@pytest.mark.capability("S090")
def test_power_goes_round(provisioning: Center) -> None:
    """Stop and start, suspend and resume, reboot and reset lead where they should; twice is no trouble."""
    cloud = provisioning.cloud()
    external_id = cloud.create(provisioning.spec())
    provisioning.wait_for(cloud, external_id, usable)
    for action, power in (
        (PowerAction.SUSPEND, Power.SUSPENDED),
        (PowerAction.RESUME, Power.RUNNING),
        (PowerAction.REBOOT, Power.RUNNING),
        (PowerAction.RESET, Power.RUNNING),
        (PowerAction.STOP, Power.STOPPED),
        (PowerAction.STOP, Power.STOPPED),
        (PowerAction.START, Power.RUNNING),
        (PowerAction.SHUTDOWN, Power.STOPPED),
    ):
        assert action in cloud.capabilities().power
        cloud.power(external_id, action)
        provisioning.wait_for(cloud, external_id, lambda machine, power=power: machine.power is power)  # type: ignore[misc]
    with pytest.raises(CloudRefused):
        cloud.power(external_id, PowerAction.RESUME)


@pytest.mark.capability("S005")
def test_the_quota_is_a_no_of_its_own_kind(provisioning: Center) -> None:
    """One more than the quota raises QuotaExceeded and makes nothing; room that a delete gave can be used."""
    cloud = provisioning.cloud(quota=1)
    first = cloud.create(provisioning.spec())
    with pytest.raises(QuotaExceeded):
        cloud.create(provisioning.spec("desktop-2"))
    assert len(provisioning.machines(cloud)) == 1
    assert cloud.create(provisioning.spec()) == first
    cloud.delete(first)
    provisioning.wait_until_gone(cloud, first)
    cloud.create(provisioning.spec("desktop-2"))


@pytest.mark.capability("S009")
def test_a_foreign_image_is_refused(provisioning: Center) -> None:
    """What can never work is refused, not failed."""
    spec = replace(provisioning.spec(), image_id="no-such-image")
    with pytest.raises(CloudRefused):
        provisioning.cloud().create(spec)
