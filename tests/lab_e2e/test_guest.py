"""`make lab-e2e`: from a log-in to a terminal in a real guest of a real OpenStack, and to the guest's end. Leaves pictures and times."""

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import sync_playwright
from tests.capabilities import ran_on
from tests.e2e.browser import Person, Times, launch
from tests.e2e.conftest import ROOT
from tests.lab import control, facts, guest_seed
from tests.lab.guest_image import ACCOUNT, DOOR
from tests.lab.guest_services import OUTSIDE
from tests.lab.rest import Cloud, until
from tests.lab_e2e.deployment import Deployment, make_pool, stop_refilling

from portico.cli.api import Client

RESULTS = ROOT / "build" / "lab-e2e"
POOL, LOGIN = "Real desktops", "ada"
# An emulated guest on a busy machine boots for minutes; nothing here is ever waited for without an end.
BOOT_SECONDS, TYPING_SECONDS, END_SECONDS = 1500, 240, 300

pytestmark = [pytest.mark.timeout(3000)]


@dataclass
class Story:
    """What a run proves, line by line, for the table of results."""

    times: Times = field(default_factory=Times)
    proven: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str, how: str) -> None:
        """Add a line."""
        self.proven.append((what, how))

    def write(self, directory: Path) -> None:
        """Leave result.md."""
        rows = "\n".join(f"| {what} | {how} |" for what, how in self.proven)
        when, load = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), os.getloadavg()[1]
        text = (
            f"Run of {when}, load average {load:.1f} on {os.cpu_count()} processors, guests emulated by QEMU.\n\n"
            f"| what | how it was seen |\n| --- | --- |\n{rows}\n\n{self.times.table()}\n"
        )
        (directory / "result.md").write_text(text, "utf-8")
        print(f"\n{text}")


class Project:
    """The project as OpenStack itself tells it, past Portico."""

    def __init__(self, desktop: str) -> None:
        self.cloud, self.desktop = Cloud(guest_seed.USER, guest_seed.PROJECT), desktop

    def holds(self) -> dict[str, list[str]]:
        """List servers, floating IPs and ports that carry the desktop's id."""
        return {
            key: [str(one["id"]) for one in self.cloud.listed(kind, path, key) if self.desktop in json.dumps(one)]
            for kind, path, key in (
                ("compute", "/servers/detail", "servers"), ("network", "/floatingips", "floatingips"), ("network", "/ports", "ports"),
            )
        }  # fmt: skip

    def server(self, name: str) -> Mapping[str, Any]:
        """Return the one server of this name."""
        found = [one for one in self.cloud.listed("compute", "/servers/detail", "servers") if one["name"] == name]
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def story() -> Iterator[Story]:
    """The story of this run, written and shown at its end, whatever that was."""
    rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    made = Story()
    yield made
    made.write(RESULTS)


@pytest.fixture
def deployment(story: Story) -> Iterator[Deployment]:
    """Processes of a deployment, ended afterwards; their logs stay with the results."""
    state = Path(tempfile.mkdtemp(prefix="pg-"))
    made = Deployment(state, OUTSIDE)
    try:
        yield made
    finally:
        made.stop()
        for log in state.glob("*.log"):
            log.rename(RESULTS / log.name)
        rmtree(state)


@pytest.fixture
def name() -> Iterator[str]:
    """The beginning of the guests' names; no server and nothing of one stays behind, even where the test fails."""
    word = f"e2e{uuid4().hex[:6]}"
    yield word
    control.purge(guest_seed.USER, guest_seed.PROJECT, word)


@pytest.mark.capability(
    "S009", "S010", "S011", "S027", "S032", "S057", "S066", "S069", "S070", "S074", "S077", "S081", "S095"
)  # fmt: skip
def test_a_terminal_in_a_real_guest(
    request: pytest.FixtureRequest, story: Story, deployment: Deployment, name: str
) -> None:
    """Portico makes a guest, its agent enrols, a person types into it by its floating IP, logs out, and nothing of it is left."""
    ran_on(request, "openstack")
    client = deployment.start()
    story.note("a deployment", f"broker, gateway and front as processes, reached by people and guests at {OUTSIDE}")
    pool, password = make_pool(client, _center(), _wanted(name), LOGIN)
    desktop = _built(deployment, client, pool, story)
    project = Project(str(desktop["id"]))
    server = project.server(desktop["name"])
    address = str(desktop["public_address"])
    assert [
        one["addr"] for ends in server["addresses"].values() for one in ends if one["OS-EXT-IPS:type"] == "floating"
    ] == [address]
    held = project.holds()
    assert {key: len(ids) for key, ids in held.items()} == {"servers": 1, "floatingips": 1, "ports": 1}
    story.note("what OpenStack lists while it lives", ", ".join(f"{len(ids)} {key}" for key, ids in held.items()))

    with sync_playwright() as playwright:
        browser = launch(playwright)
        ada = Person(browser, deployment.url, RESULTS, story.times, LOGIN)
        try:
            _work(ada, password, address, story)
            stop_refilling(client, pool)  # Else the next guest would begin to boot at once.
            with story.times.of(f"{LOGIN}: log-out to nothing left in OpenStack"):
                ada.leave("log-out")
                ada.picture("logged-out")
                until("an end of all that was made", lambda: not any(project.holds().values()), END_SECONDS)
        except BaseException:
            with suppress(Exception):
                ada.picture("trouble")
            raise
        finally:
            browser.close()
    story.note(
        "what OpenStack lists afterwards", ", ".join(f"{len(ids)} {key}" for key, ids in project.holds().items())
    )
    until("the broker's word that it is gone", lambda: _of_pool(client, pool) is None, 60)
    story.note("what the console lists afterwards", "no desktop")


def _center() -> dict[str, Any]:
    lab = facts.load()
    settings = {
        "auth_url": lab.auth_url, "username": guest_seed.USER, "password": lab.password, "project": guest_seed.PROJECT,
        "region": lab.region,
    }  # fmt: skip
    return {"name": "The lab", "kind": "openstack", "settings": settings}


def _wanted(name: str) -> dict[str, Any]:
    placement = {"floating_ip": True, "security_groups": ["portico"], "key_pair": "portico"}
    return {
        "title": POOL, "name": name, "image": guest_seed.IMAGE, "flavor": guest_seed.FLAVOR, "network": "desktops",
        "placement": placement,
    }  # fmt: skip


def _of_pool(client: Client, pool: str) -> Mapping[str, Any] | None:
    """Return the desktop that a pool has made, as the broker tells of it."""
    return next((one for one in client.items("desktops", {}) if one["built_for_pool"] == pool), None)


def _built(deployment: Deployment, client: Client, pool: str, story: Story) -> Mapping[str, Any]:
    """Wait for the pool's guest, and note when each of its steps was taken."""

    def step(what: str, so: Callable[[Mapping[str, Any]], object]) -> Mapping[str, Any]:
        with story.times.of(what):
            deployment.wait(what, lambda: bool((one := _of_pool(client, pool)) and so(one)), BOOT_SECONDS)
        found = _of_pool(client, pool)
        assert found is not None
        return found

    step("pool made to server known to Nova", lambda one: one["external_id"])
    step("… to running with a floating IP", lambda one: one["power"] == "running" and one["public_address"])
    desktop = step(
        "… to its agent enrolled, and ready", lambda one: (one["stage"], one["agent"]) == ("ready", "running")
    )
    story.note("a guest", f"{desktop['name']}, at {desktop['address']} inside and {desktop['public_address']} outside")
    story.note("its agent", f"enrolled with the token from its metadata, speaks {', '.join(desktop['protocols'])}")
    return desktop


def _work(ada: Person, password: str, address: str, story: Story) -> None:
    """Log in, open the guest, type a line that only a shell in the guest can answer, and see from another side that it did."""
    ada.log_in(password)
    ada.open(POOL, "open to a terminal")
    words = uuid4().hex[:12]
    # What is proven is computed there: the kernel's own id of its boot, which nobody outside knows.
    boot = _in_guest(address, "cat /proc/sys/kernel/random/boot_id")
    assert boot != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with story.times.of(f"{LOGIN}: typed to read in the guest"):
        _type_until_there(ada, address, f"echo {words} $(id -un) $(cat /proc/sys/kernel/random/boot_id) | tee proof.txt",
                          f"{words} {ACCOUNT} {boot}")  # fmt: skip
    ada.type_line(
        "uname -sr; grep PRETTY /etc/os-release; ip -4 -br address; cat /sys/class/dmi/id/product_name; uptime"
    )
    ada.page.wait_for_timeout(3000)
    ada.picture("terminal")
    story.note("a line typed in the browser", f"in the guest, as {ACCOUNT}: {words} and the id of that kernel's boot")


def _type_until_there(ada: Person, address: str, line: str, wanted: str) -> None:
    """Type a line, again where a slow guest has lost it, until a file in the guest holds what it writes."""

    def there() -> bool:
        return _in_guest(address, f"sudo cat /home/{ACCOUNT}/proof.txt || true") == wanted

    def typed() -> bool:
        ada.type_line(line)
        ada.page.wait_for_timeout(5000)
        return there()

    until("the typed line in the guest", typed, TYPING_SECONDS)


def _in_guest(address: str, command: str) -> str:
    """Run a command in the guest by another way than Portico's: cloud-init's account, with the project's key pair."""
    options = (
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=30",
    )
    named = [word for option in options for word in ("-o", option)]
    argv = ["ssh", "-F", "/dev/null", "-i", facts.load().key, *named, f"{DOOR}@{address}", command]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
