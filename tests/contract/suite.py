"""One suite for every cloud driver: what services may rely on, whichever cloud a center has.

A module that runs it subclasses `CloudContract` and gives two fixtures, `center` and `provisioning`, each a `Center`. What is asserted
of lists is asserted of this test's own machines, for a real project has others too; what takes a cloud time is waited for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from portico.domain.model import Power, PowerAction
from portico.errors import CloudNotFound, CloudRefused, QuotaExceeded
from portico.ports.cloud import Cloud, CloudContext, Machine, MachineSpec

UNKNOWN = ("local-000000000000", "00000000-0000-4000-8000-000000000000", "never-was", "../../etc", "")


@dataclass(frozen=True)
class Center:
    """A driver under test, and how to have another of it over the same machines, as after a restart of the broker.

    `limited` lets the cloud have room for no more than so many machines.
    """

    kind: str
    make: Callable[..., Any]
    state: Path
    image: str = ""
    limited: Callable[["Center", int], Any] = field(default=lambda center, number: center.cloud(quota=number))
    spec_values: dict[str, Any] = field(default_factory=dict)
    provisions: bool = True

    @property
    def deployment(self) -> str:
        """Another one for each test, for accounts and processes of a machine are named by it and tests run side by side."""
        return f"deployment-{self.state.name}"

    def cloud(self, **settings: Any) -> Any:
        return self.make(CloudContext(self.deployment, f"center-{self.state.name}", self.state), **settings)

    def spec(self, desktop_id: str = "desktop-1", **values: Any) -> MachineSpec:
        name = f"name-of-{desktop_id}-{self.state.name}"
        more = {"tags": {"pool": "engineering"}} | self.spec_values | values
        return MachineSpec(desktop_id, self.deployment, name, self.image, **more)

    def machines(self) -> list[Machine]:
        """Those of this test, of whichever deployment."""
        found = self.cloud().scan().machines
        return [one for one in found if not self.provisions or self.state.name in (one.deployment_id or "")]


def machine_of(cloud: Cloud, external_id: str) -> Machine | None:
    return next((machine for machine in cloud.scan().machines if machine.external_id == external_id), None)


def wait_for(cloud: Cloud, external_id: str, wanted: Callable[[Machine], bool], seconds: float = 60) -> Machine:
    until = time.monotonic() + seconds
    while True:
        machine = cloud.look(external_id)
        if machine and wanted(machine):
            return machine
        assert time.monotonic() < until, machine
        time.sleep(0.05)


def wait_until_gone(center: Center, external_id: str, seconds: float = 60) -> None:
    cloud, until = center.cloud(), time.monotonic() + seconds
    while cloud.look(external_id) is not None or machine_of(cloud, external_id) is not None:
        assert time.monotonic() < until, f"{external_id} is still there"
        time.sleep(0.05)


def usable(machine: Machine) -> bool:
    return machine.ready and machine.power is Power.RUNNING


class CloudContract:
    """What every driver does."""

    @pytest.mark.capability("S009", "S090")
    def test_a_full_scan_is_complete_and_says_so(self, center: Center) -> None:
        """Only a scan of everything is complete; machines have unique ids."""
        scan = center.cloud().scan()
        assert scan.complete
        ids = [machine.external_id for machine in scan.machines]
        assert len(ids) == len(set(ids))

    @pytest.mark.capability("S090")
    def test_one_machine_is_looked_at_alone(self, center: Center) -> None:
        """A look shows a machine as a scan does, and nothing for one that is unknown."""
        cloud = center.cloud()
        if center.provisions:
            wait_for(cloud, cloud.create(center.spec()), usable)
        machines = center.machines()
        assert machines
        for machine in machines:
            assert cloud.look(machine.external_id) == machine
        assert [cloud.look(unknown) for unknown in UNKNOWN] == [None] * len(UNKNOWN)
        if center.provisions:
            cloud.delete(machines[0].external_id)
            wait_until_gone(center, machines[0].external_id)

    @pytest.mark.capability("S090")
    def test_an_unknown_machine_is_deleted_already_and_cannot_be_switched(self, center: Center) -> None:
        """Deleting what is not there succeeds; switching it says that it is not there."""
        cloud = center.cloud()
        for unknown in UNKNOWN:
            cloud.delete(unknown)
            with pytest.raises(CloudNotFound):
                cloud.power(unknown, PowerAction.START)

    @pytest.mark.capability("S090")
    def test_check_and_choices_answer(self, center: Center) -> None:
        """The pre-flight names what it looked at, each missing thing with its remedy."""
        cloud = center.cloud()
        findings = cloud.check()
        assert findings
        assert all(finding.remedy for finding in findings if finding.state == "missing")
        cloud.choices()

    @pytest.mark.capability("S004")
    def test_usage_is_a_sum_of_what_is_counted(self, center: Center) -> None:
        """Where a cloud counts, the numbers are of the time that was asked for, and none is negative."""
        cloud = center.cloud()
        since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)
        if not cloud.capabilities().usage:
            with pytest.raises(CloudRefused):
                cloud.usage(since, until)
            return
        told = cloud.usage(since, until)
        assert (told.since, told.until) == (since, until)
        assert min(told.machines, told.hours, told.core_hours, told.memory_gib_hours, told.disk_gib_hours) >= 0

    @pytest.mark.capability("S020")
    def test_what_a_cloud_lacks_is_refused_with_a_sentence(self, center: Center) -> None:
        """A console, an image, a mend that a cloud has not: each says so, and no other exception comes out."""
        cloud = center.cloud()
        can = cloud.capabilities()
        asked = [lambda: cloud.mend("no-such-fix")]
        asked += [] if can.console else [lambda: cloud.console("machine")]
        asked += [] if can.snapshots else [lambda: cloud.snapshot("machine", "name")]
        asked += [] if can.usage else [lambda: cloud.usage(datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC))]
        for ask in asked:
            with pytest.raises(CloudRefused):
                ask()
        for ask in (lambda: cloud.console(UNKNOWN[1]), lambda: cloud.snapshot(UNKNOWN[1], "name")):
            with pytest.raises((CloudNotFound, CloudRefused)):
                ask()

    @pytest.mark.capability("S009", "S010")
    def test_creating_twice_makes_one_machine_that_carries_our_tags(self, provisioning: Center) -> None:
        """A create that is repeated, after a restart too, finds the machine of the first; the scan shows our ids and tags."""
        spec = provisioning.spec()
        external_id = provisioning.cloud().create(spec)
        assert provisioning.cloud().create(spec) == external_id
        cloud = provisioning.cloud()
        wait_for(cloud, external_id, usable)
        (machine,) = provisioning.machines()
        assert (machine.external_id, machine.desktop_id, machine.deployment_id, machine.name) == (
            external_id,
            "desktop-1",
            provisioning.deployment,
            spec.name,
        )
        assert machine.tags == {"pool": "engineering"}
        assert machine.image_id == spec.image_id
        assert machine.address
        assert machine.protocols
        assert machine.created_at

    @pytest.mark.capability("S011", "S027")
    def test_a_deleted_machine_is_gone_and_stays_so(self, provisioning: Center) -> None:
        """Delete removes the machine, again is success, and a later create of another desktop does not bring it back."""
        cloud = provisioning.cloud()
        external_id = cloud.create(provisioning.spec())
        cloud.delete(external_id)
        cloud.delete(external_id)
        wait_until_gone(provisioning, external_id)
        other = cloud.create(provisioning.spec("desktop-2"))
        assert [machine.external_id for machine in provisioning.machines()] == [other]
        with pytest.raises(CloudNotFound):
            cloud.power(external_id, PowerAction.START)

    @pytest.mark.capability("S011", "S090")
    def test_what_carries_our_tag_is_listed_and_can_be_removed(self, provisioning: Center) -> None:
        """Belongings are what this deployment made; removing is final, and success when it is gone; a stranger's is left."""
        cloud = provisioning.cloud()
        external_id = cloud.create(provisioning.spec())
        elsewhere = f"elsewhere-{provisioning.state.name}"
        cloud.create(replace(provisioning.spec("desktop-2"), deployment_id=elsewhere))
        (mine,) = [one for one in cloud.belongings() if one.kind == "machine"]
        assert (mine.external_id, mine.desktop_id, mine.machine_id) == (external_id, "desktop-1", external_id)
        stranger = next(machine for machine in provisioning.machines() if machine.deployment_id == elsewhere)
        with pytest.raises(CloudRefused):
            cloud.remove(replace(mine, external_id=stranger.external_id))
        for _ in range(2):
            cloud.remove(mine)
        wait_until_gone(provisioning, external_id)
        assert cloud.belongings() == ()
        assert machine_of(cloud, stranger.external_id) is not None

    @pytest.mark.capability("S018", "S090")
    def test_power_goes_round(self, provisioning: Center) -> None:
        """Stop and start, suspend and resume, reboot and reset lead where they should; twice is no trouble."""
        cloud = provisioning.cloud()
        external_id = cloud.create(provisioning.spec())
        wait_for(cloud, external_id, usable)
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
            wait_for(cloud, external_id, lambda machine, power=power: machine.power is power)  # type: ignore[misc]
        with pytest.raises(CloudRefused):
            cloud.power(external_id, PowerAction.RESUME)

    @pytest.mark.capability("S005")
    def test_the_quota_is_a_no_of_its_own_kind(self, provisioning: Center) -> None:
        """One more than the quota raises QuotaExceeded and makes nothing; room that a delete gave can be used."""
        cloud = provisioning.limited(provisioning, 1)
        first = cloud.create(provisioning.spec())
        with pytest.raises(QuotaExceeded):
            cloud.create(provisioning.spec("desktop-2"))
        assert len(provisioning.machines()) == 1
        assert cloud.create(provisioning.spec()) == first
        cloud.delete(first)
        wait_until_gone(provisioning, first)
        cloud.create(provisioning.spec("desktop-2"))

    @pytest.mark.capability("S009")
    def test_a_foreign_image_is_refused(self, provisioning: Center) -> None:
        """What can never work is refused, not failed, and nothing is left of the try."""
        cloud = provisioning.cloud()
        with pytest.raises(CloudRefused):
            cloud.create(replace(provisioning.spec(), image_id=str(uuid4())))
        assert cloud.belongings() == ()
