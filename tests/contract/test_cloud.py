"""The contract of clouds on the drivers that need no cloud, and what is theirs alone."""

import os
import pwd
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.suite import Center, CloudContract, machine_of, usable, wait_for

from portico.clouds import local_account, local_processes
from portico.clouds.fake import Fake, FakeSettings
from portico.clouds.local import Local, LocalSettings
from portico.clouds.static import Static, StaticSettings
from portico.domain.model import Power, PowerAction
from portico.errors import CloudError, CloudRefused, Invalid, QuotaExceeded
from portico.ports.cloud import CloudContext, MachineSpec

IMAGE = {"fake": "fake-linux", "local": "linux-shell"}


def make_fake(context: CloudContext, quota: int = 1000, **settings: Any) -> Fake:
    return Fake(FakeSettings(quota=quota, **settings), context)


def make_local(context: CloudContext, quota: int = 12) -> Local:
    return Local(LocalSettings(max_desktops=quota), context)


def make_static(context: CloudContext) -> Static:
    return Static(StaticSettings("cad-07 10.0.3.7 windows rdp=3389\nlab desk.example linux vnc=5901 ssh=22"), context)


MAKERS: dict[str, Callable[..., Any]] = {"fake": make_fake, "local": make_local, "static": make_static}


def a_center(kind: str, state: Path) -> Center:
    return Center(kind, MAKERS[kind], state, IMAGE.get(kind, ""), provisions=kind in IMAGE)


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
    return a_center(request.param, state)


@pytest.fixture(params=sorted(IMAGE))
def provisioning(request: pytest.FixtureRequest, state: Path) -> Center:
    return a_center(request.param, state)


@pytest.fixture
def local(state: Path) -> Center:
    return a_center("local", state)


class TestContract(CloudContract):
    """On the drivers that need no cloud."""


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
    center = a_center("fake", state)
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
    center = a_center("fake", state)
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
    assert os.waitpid(child, 0)[1] in (signal.SIGTERM, signal.SIGKILL)
    assert not litter.exists()
    assert left_over(local.state, entry.pw_name) == []


def name(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
