"""One suite for every cloud driver: what services may rely on, whichever cloud a center has."""

import os
import pwd
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from portico.clouds import local_account, local_processes
from portico.clouds.fake import Fake, FakeSettings
from portico.clouds.local import Local, LocalSettings
from portico.clouds.static import Static, StaticSettings
from portico.domain.model import Power, PowerAction
from portico.errors import CloudError, CloudNotFound, CloudRefused, Invalid, QuotaExceeded
from portico.ports.cloud import Cloud, CloudContext, Machine, MachineSpec

IMAGE = {"fake": "fake-linux", "local": "linux-shell"}
UNKNOWN = ("local-000000000000", "never-was", "../../etc", "")


@dataclass(frozen=True)
class Center:
    """A driver under test, and how to have another of it over the same machines, as after a restart of the broker."""

    kind: str
    make: Callable[..., Any]
    state: Path

    @property
    def deployment(self) -> str:
        """Another one for each test, for accounts and processes of a machine are named by it and tests run side by side."""
        return f"deployment-{self.state.name}"

    def cloud(self, **settings: Any) -> Any:
        return self.make(CloudContext(self.deployment, f"center-{self.state.name}", self.state), **settings)

    def spec(self, desktop_id: str = "desktop-1", **values: Any) -> MachineSpec:
        tags = {"pool": "engineering"}
        return MachineSpec(desktop_id, self.deployment, f"name-of-{desktop_id}", IMAGE[self.kind], tags=tags, **values)


def make_fake(context: CloudContext, quota: int = 1000, **settings: Any) -> Fake:
    return Fake(FakeSettings(quota=quota, **settings), context)


def make_local(context: CloudContext, quota: int = 12) -> Local:
    return Local(LocalSettings(max_desktops=quota), context)


def make_static(context: CloudContext) -> Static:
    return Static(StaticSettings("cad-07 10.0.3.7 windows rdp=3389\nlab desk.example linux vnc=5901 ssh=22"), context)


MAKERS: dict[str, Callable[..., Any]] = {"fake": make_fake, "local": make_local, "static": make_static}


@pytest.fixture
def state() -> Iterator[Path]:
    # Not pytest's own directory: the accounts of local desktops must be able to pass through it.
    path = Path(tempfile.mkdtemp(prefix="pc-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    cloud = make_local(CloudContext("deployment", f"center-{path.name}", path))
    for machine in cloud.scan().machines:
        cloud.delete(machine.external_id)
    shutil.rmtree(path)


@pytest.fixture(params=sorted(MAKERS))
def center(request: pytest.FixtureRequest, state: Path) -> Center:
    return Center(request.param, MAKERS[request.param], state)


@pytest.fixture(params=sorted(IMAGE))
def provisioning(request: pytest.FixtureRequest, state: Path) -> Center:
    return Center(request.param, MAKERS[request.param], state)


@pytest.fixture
def local(state: Path) -> Center:
    return Center("local", make_local, state)


def machine_of(cloud: Cloud, external_id: str) -> Machine | None:
    return next((machine for machine in cloud.scan().machines if machine.external_id == external_id), None)


def wait_for(cloud: Cloud, external_id: str, wanted: Callable[[Machine], bool], seconds: float = 30) -> Machine:
    until = time.monotonic() + seconds
    while True:
        machine = machine_of(cloud, external_id)
        if machine and wanted(machine):
            return machine
        assert time.monotonic() < until, machine
        time.sleep(0.05)


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
    if center.kind in IMAGE:
        wait_for(cloud, cloud.create(center.spec()), usable)
    machines = cloud.scan().machines
    assert machines
    for machine in machines:
        assert cloud.look(machine.external_id) == machine
    assert [cloud.look(unknown) for unknown in UNKNOWN] == [None] * len(UNKNOWN)
    if center.kind in IMAGE:
        cloud.delete(machines[0].external_id)
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
    machine = wait_for(cloud, external_id, usable)
    assert len(cloud.scan().machines) == 1
    assert (machine.desktop_id, machine.deployment_id, machine.name) == (
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
def test_a_deleted_machine_is_gone_and_stays_so(provisioning: Center) -> None:
    """Delete removes the machine, again is success, and a later create of another desktop does not bring it back."""
    cloud = provisioning.cloud()
    external_id = cloud.create(provisioning.spec())
    cloud.delete(external_id)
    cloud.delete(external_id)
    assert machine_of(cloud, external_id) is None
    other = cloud.create(provisioning.spec("desktop-2"))
    assert [machine.external_id for machine in provisioning.cloud().scan().machines] == [other]
    with pytest.raises(CloudNotFound):
        cloud.power(external_id, PowerAction.START)


@pytest.mark.capability("S011", "S090")
def test_what_carries_our_tag_is_listed_and_can_be_removed(provisioning: Center) -> None:
    """Belongings are what this deployment made; removing is final, and success when it is gone; a stranger's is left."""
    cloud = provisioning.cloud()
    external_id = cloud.create(provisioning.spec())
    cloud.create(replace(provisioning.spec("desktop-2"), deployment_id="elsewhere"))
    (mine,) = [one for one in cloud.belongings() if one.kind == "machine"]
    assert (mine.external_id, mine.desktop_id, mine.machine_id) == (external_id, "desktop-1", external_id)
    stranger = next(machine for machine in cloud.scan().machines if machine.deployment_id == "elsewhere")
    with pytest.raises(CloudRefused):
        cloud.remove(replace(mine, external_id=stranger.external_id))
    for _ in range(2):
        cloud.remove(mine)
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
def test_the_quota_is_a_no_of_its_own_kind(provisioning: Center) -> None:
    """One more than the quota raises QuotaExceeded and makes nothing; room that a delete gave can be used."""
    cloud = provisioning.cloud(quota=1)
    first = cloud.create(provisioning.spec())
    with pytest.raises(QuotaExceeded):
        cloud.create(provisioning.spec("desktop-2"))
    assert len(cloud.scan().machines) == 1
    assert cloud.create(provisioning.spec()) == first
    cloud.delete(first)
    cloud.create(provisioning.spec("desktop-2"))


@pytest.mark.capability("S009")
def test_a_foreign_image_is_refused(provisioning: Center) -> None:
    """What can never work is refused, not failed."""
    spec = MachineSpec("desktop-1", provisioning.deployment, "name", "no-such-image")
    with pytest.raises(CloudRefused):
        provisioning.cloud().create(spec)


@pytest.mark.capability("S090")
def test_a_state_directory_that_cannot_be_used_is_trouble_of_the_cloud(provisioning: Center) -> None:
    """No exception but ours leaves a driver."""
    (provisioning.state / "file").write_text("not a directory")
    context = CloudContext("deployment", "center", provisioning.state / "file")
    cloud = provisioning.make(context)
    with pytest.raises(CloudError):
        cloud.create(provisioning.spec())


@pytest.mark.capability("S090")
def test_a_static_center_shows_its_list_and_refuses_the_rest(state: Path) -> None:
    """Listed machines appear with address and protocols; making, removing and switching are refused with a sentence."""
    cloud = make_static(CloudContext("deployment", "center", state))
    machine = machine_of(cloud, "cad-07")
    assert machine
    assert (machine.address, machine.os_family, machine.protocols) == ("10.0.3.7", "windows", {"rdp": 3389})
    assert not cloud.capabilities().provisions
    assert not cloud.capabilities().power
    for refused in (
        lambda: cloud.create(MachineSpec("d", "deployment", "name", "image")),
        lambda: cloud.delete("cad-07"),
        lambda: cloud.power("cad-07", PowerAction.START),
    ):
        with pytest.raises(CloudRefused):
            refused()


@pytest.mark.capability("S090")
def test_each_wrong_line_of_a_static_list_is_named(state: Path) -> None:
    """A list with mistakes is refused, naming every line."""
    text = "a 10.0.0.1 linux ssh=22\nb 10.0.0.2\na 10.0.0.3 linux ssh=22\nc 999.1.1.1 linux ssh=22\nd h linux ssh=99999"
    with pytest.raises(Invalid) as trouble:
        Static(StaticSettings(text), CloudContext("deployment", "center", state))
    assert all(f"line {number}" in trouble.value.fields["machines"] for number in (2, 3, 4, 5))


@pytest.mark.capability("S005", "S009")
def test_the_fake_cloud_fails_as_ordered(state: Path) -> None:
    """Faults meet the calls that they are ordered for, and no others."""
    center = Center("fake", make_fake, state)
    cloud = center.cloud(errors="create:1:quota, create:2:crash_after_accept, create:3:build_error, scan:2:partial")
    with pytest.raises(QuotaExceeded):
        cloud.create(center.spec("a"))
    with pytest.raises(CloudError):
        cloud.create(center.spec("b"))
    broken = cloud.create(center.spec("c"))
    assert {machine.desktop_id for machine in cloud.scan().machines} == {"b", "c"}
    assert not cloud.scan().complete
    machine = machine_of(cloud, broken)
    assert machine
    assert (machine.power, machine.ready) == (Power.ERROR, False)
    with pytest.raises(Invalid):
        center.cloud(errors="create:sometimes:quota")


@pytest.mark.capability("S009")
def test_the_fake_cloud_builds_and_boots_by_its_clock(state: Path) -> None:
    """A machine is ready after the build time and running after the boot time, times the clock factor."""
    now = [1000.0]
    settings = FakeSettings(build_seconds=60, boot_seconds=30, clock_factor=10)
    cloud = Fake(settings, CloudContext("deployment", "center", state), clock=lambda: now[0])
    external_id = cloud.create(MachineSpec("d", "deployment", "name", "fake-windows"))

    def seen() -> tuple[bool, Power]:
        machine = machine_of(cloud, external_id)
        assert machine
        return machine.ready, machine.power

    assert seen() == (False, Power.STARTING)
    now[0] += 6
    assert seen() == (True, Power.STARTING)
    now[0] += 3
    assert seen() == (True, Power.RUNNING)


@pytest.mark.capability("S002")
def test_the_fake_cloud_lists_ten_thousand_machines_in_linear_time(state: Path) -> None:
    """Ten times the machines take about ten times as long, and changes alone are listed alone."""
    center = Center("fake", make_fake, state)
    cloud = center.cloud(quota=100_000)
    took = []
    for number in (1000, 10_000):
        for index in range(len(cloud.scan().machines), number):
            cloud.create(center.spec(f"d{index}"))
        began = time.process_time()
        for _ in range(3):
            assert len(cloud.scan().machines) == number
        took.append(time.process_time() - began)
    assert took[1] < 40 * took[0]
    assert len({machine.address for machine in cloud.scan().machines}) == 10_000


def left_over(state: Path, account: str) -> list[str]:
    """Name every process, account and directory that is left of a local center."""
    found = [f"process {item.process.pid}" for item in local_processes.everything() if item.state != "Z" and
             local_processes.environment(item.process.pid).get(local_processes.CENTER_MARKER) == f"center-{state.name}"]  # fmt: skip
    found += [f"account {entry.pw_name}" for entry in pwd.getpwall() if entry.pw_name == account]
    found += [f"path {path}" for path in (state / "desktops").iterdir() if not path.name.endswith("lock")]
    return found


@pytest.mark.capability("S009", "S011")
@pytest.mark.parametrize("milliseconds", [0, 1, 2, 5, 15, 40, 70, 110, 200, 400])
def test_a_killed_create_leaks_nothing(local: Center, milliseconds: int) -> None:
    """Kill -9 of whoever creates, at any moment: a scan finds what was accepted, and deleting it leaves nothing."""
    ready, begin = os.pipe()
    child = os.fork()
    if child == 0:
        cloud = local.cloud()
        os.write(begin, b".")
        cloud.create(local.spec())
        signal.pause()
    os.read(ready, 1)
    time.sleep(milliseconds / 1000)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for descriptor in (ready, begin):
        os.close(descriptor)
    cloud = local.cloud()
    machines = cloud.scan().machines
    assert len(machines) <= 1
    external_id = cloud.create(local.spec())
    assert [machine.external_id for machine in machines] in ([], [external_id])
    wait_for(cloud, external_id, usable)
    cloud.delete(external_id)
    assert left_over(local.state, "portico-" + external_id.removeprefix("local-")) == []


@pytest.mark.capability("S009", "S090")
def test_a_killed_supervisor_is_replaced_and_its_desktop_lives_on(local: Center) -> None:
    """After kill -9 of the supervisor the next scan starts another, which takes the running processes over."""
    cloud = local.cloud()
    external_id = cloud.create(local.spec())
    wait_for(cloud, external_id, usable)
    before = local_processes.supervisors(external_id)
    # Its own alone: other tests' desktops come and go on this machine.
    theirs = local_processes.members(
        external_id, local_account.user_id("portico-" + external_id.removeprefix("local-"))
    )
    sshd = {process for process in theirs if b"sshd" in name(process.pid)}
    assert sshd
    local_processes.send(before, signal.SIGKILL)
    wait_for(cloud, external_id, lambda machine: bool(local_processes.supervisors(external_id) - before))
    assert usable(wait_for(cloud, external_id, usable))
    assert sshd <= {item.process for item in local_processes.everything()}
    cloud.delete(external_id)
    assert left_over(local.state, "portico-" + external_id.removeprefix("local-")) == []


@pytest.mark.capability("S027")
def test_a_deleted_desktop_takes_its_users_processes_and_files_along(local: Center) -> None:
    """What a user started and left in shared places goes with the desktop, even with an empty environment."""
    if os.geteuid() != 0:
        pytest.fail("this test needs root: it makes a system account")
    cloud = local.cloud()
    external_id = cloud.create(local.spec())
    wait_for(cloud, external_id, usable)
    entry = pwd.getpwnam("portico-" + external_id.removeprefix("local-"))
    litter = Path(f"/tmp/litter-{external_id}")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        litter.write_text("left behind")
        os.execve("/bin/sleep", ["sleep", "1000"], {})
    deadline = time.monotonic() + 10
    while not litter.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    cloud.delete(external_id)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not litter.exists()
    assert left_over(local.state, entry.pw_name) == []


def name(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
