"""The real agent, as the one file that it ships as, against a real broker over TLS and an instance's metadata on loopback."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import actor
from tests.fleet import Fleet
from tests.serving import serving

from doubles.agents import Machine, until, unused_port
from doubles.metadata import UUID, Metadata, serving_metadata
from portico.domain import user_data
from portico.services import configure, provision, waiting
from portico.store import tables as t

pytestmark = pytest.mark.capability("S070", "S077")

OTHER = "11111111-2222-3333-4444-555555555555"
PAGE = Path(__file__).parents[2] / "docs/howto/agent-in-an-image.md"


@pytest.fixture
def url(fleet: Fleet, tmp_path: Path) -> Iterator[str]:
    """The broker's address."""
    tls = tmp_path / "tls"
    tls.mkdir()
    with serving(fleet.broker, tls) as address:
        yield address


def hello(fleet: Fleet, url: str, token: str = "") -> dict[str, str]:
    """What Portico writes into an instance's metadata."""
    found = {"portico:broker": url, "portico:fingerprint": fleet.broker.keys.ca_fingerprint}
    return found | ({"portico:token": token} if token else {})


def bound(fleet: Fleet, url: str, **more: str) -> dict[str, str]:
    """The settings of an image that is bound to the deployment."""
    return {"broker_url": url, "ca_fingerprint": fleet.broker.keys.ca_fingerprint, **more}


def desktop(fleet: Fleet, address: str = "127.0.0.1", uuid: str = UUID) -> str:
    """A machine that somebody made in Horizon, as its center lists it."""
    row = fleet.desktops(1)[0]
    fleet.change(t.desktops, row.id, external_id=uuid, address=address, agent="not installed")
    return str(row.id)


def expected(fleet: Fleet) -> tuple[str, str]:
    """A machine that Portico makes: its desktop and its token."""
    desktop_id = desktop(fleet)
    with fleet.broker.db.write() as conn:
        provision._expect_agent(
            fleet.broker, conn, {"tenant_id": fleet.row(t.desktops, desktop_id).tenant_id, "id": desktop_id}
        )
    return desktop_id, provision._token(fleet.broker, fleet.rows(t.agents, t.agents.c.desktop_id == desktop_id)[0])


def is_heard(fleet: Fleet, desktop_id: str, machine: Machine, boot_id: str = "") -> Any:
    """Wait until the desktop's agent has reported; returns its row."""

    def reported() -> Any:
        rows = fleet.rows(t.agents, t.agents.c.desktop_id == desktop_id)
        return rows[0] if rows and rows[0].boot_id not in ("", boot_id) else None

    row = until(reported, lambda: machine.log.read_text())
    assert fleet.row(t.desktops, desktop_id).agent == "running"
    return row


def waits(fleet: Fleet, machine: Machine, code: str) -> Any:
    """Wait until an agent waits for a reason, as the broker knows it; returns its row."""

    def there() -> Any:
        return next((one for one in fleet.rows(t.waiting_agents) if one.reason and one.reason["code"] == code), None)

    return until(there, lambda: (fleet.rows(t.waiting_agents), machine.log.read_text()))


def test_an_instance_of_a_pool_enrols_by_the_token_in_its_metadata(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """With nothing in its image; after kill -9, and with metadata gone, it knows its broker still and enrols no second time."""
    desktop_id, token = expected(fleet)
    machine = Machine(tmp_path / "m", Metadata(meta=hello(fleet, url, token), public_address="198.51.100.7"))
    with machine.running():
        first = is_heard(fleet, desktop_id, machine)
    assert (first.token_hash, first.sealed_token, first.instance_id) == (None, None, UUID)
    assert token not in machine.log.read_text()
    seen = first.seen_at
    machine.metadata = None
    fleet.clock.forward(60)
    with machine.running():
        until(lambda: fleet.rows(t.agents)[0].seen_at > seen, lambda: machine.log.read_text())
    assert fleet.codes().count("agent.enrolled") == 1
    assert fleet.rows(t.waiting_agents) == []


@pytest.mark.capability("S071")
def test_a_config_drive_stands_in_where_metadata_is_not_reached(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """The agent enrols by the token on the drive, and the administrator is told how to mend the way."""
    desktop_id, token = expected(fleet)
    drive = Metadata(meta=hello(fleet, url, token)).write(tmp_path / "drive")
    machine = Machine(tmp_path / "m", drive=drive)
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    told = fleet.rows(t.events, t.events.c.code == "agent.no_metadata")
    assert [row.desktop_id for row in told] == [desktop_id]
    assert told[0].reason["code"].startswith("metadata.")
    machine.says("metadata not reached")
    machine.says("Fix: ")


def test_a_copy_with_token_and_memory_of_another_machine_is_neither(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """An image made of an enrolled desktop: its agent forgets who it was, the used token opens nothing, and it waits as itself."""
    desktop_id, token = expected(fleet)
    machine = Machine(tmp_path / "m", Metadata(meta=hello(fleet, url, token)))
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    copy = Machine(tmp_path / "copy", Metadata(uuid=OTHER, meta=hello(fleet, url, token)))
    shutil.copy(machine.folder / "state.json", copy.folder / "state.json")
    with copy.running():
        assert waits(fleet, copy, "waiting.no_machine").instance_id == OTHER
    copy.says("is a copy of the one that was enrolled")
    copy.says("the token is used, expired or for another machine")
    state = json.loads((copy.folder / "state.json").read_text())
    assert state["credentials"] == {}
    assert fleet.rows(t.agents, t.agents.c.desktop_id == desktop_id)[0].bearer_hash is not None


def test_a_token_of_another_machine_leaves_it_to_the_right_one(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """The wrong machine waits; the right one enrols afterwards."""
    desktop_id, token = expected(fleet)
    thief = Machine(tmp_path / "thief", Metadata(uuid=OTHER, meta=hello(fleet, url, token)))
    with thief.running():
        waits(fleet, thief, "waiting.no_machine")
    machine = Machine(tmp_path / "m", Metadata(meta=hello(fleet, url, token)))
    with machine.running():
        is_heard(fleet, desktop_id, machine)


def test_an_expired_token_is_no_end(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """A machine that was long in coming is admitted by what its center knows of it."""
    desktop_id, token = expected(fleet)
    fleet.clock.forward(provision.TOKEN_SECONDS + 1)
    machine = Machine(tmp_path / "m", Metadata(meta=hello(fleet, url, token)))
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    assert [code for code in fleet.codes() if code.startswith("agent.")] == ["agent.admitted"]


def test_an_instance_made_in_horizon_waits_for_its_center(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """Killed while it waits, it is known again by its secret, and admitted once the center lists it at its address."""
    machine = Machine(tmp_path / "m", Metadata())
    machine.write(**bound(fleet, url))
    with machine.running():
        first = waits(fleet, machine, "waiting.no_machine")
    desktop_id = desktop(fleet)
    fleet.clock.forward(waiting.FEWEST_SECONDS)
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    assert [row.id for row in fleet.rows(t.waiting_agents)] == [first.id]
    assert fleet.rows(t.agents)[0].id == first.id


@pytest.mark.parametrize("word", ["admit", "refuse"])
def test_behind_a_router_an_administrator_decides(fleet: Fleet, url: str, tmp_path: Path, word: str) -> None:
    """The address of the request is not the machine's: no center vouches for it."""
    desktop_id = desktop(fleet, "10.0.0.5")
    machine = Machine(tmp_path / "m", Metadata())
    machine.write(**bound(fleet, url))
    with machine.running():
        row = waits(fleet, machine, "waiting.address")
        machine.says("waiting to be admitted")
    decide = waiting.admit if word == "admit" else waiting.refuse
    decide(fleet.broker, actor(fleet.broker), row.id)
    with machine.running():
        if word == "admit":
            is_heard(fleet, desktop_id, machine)
        else:
            machine.says("an administrator refused this agent")
    assert (fleet.row(t.desktops, desktop_id).agent == "running") is (word == "admit")


def test_an_image_with_a_join_key_needs_nobody(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """Installed by the agent's own installer; a key that was revoked meanwhile admits nobody."""
    made = configure.create_item(fleet.broker, actor(fleet.broker), "join-keys", {"name": "Debian"})
    machine = Machine(tmp_path / "m", Metadata())
    argv = [sys.executable, "-I", str(machine.program), "install", "--root", str(tmp_path), "--broker", url,
            "--fingerprint", fleet.broker.keys.ca_fingerprint, "--join-key-file", "-"]  # fmt: skip
    subprocess.run(argv, input=made["secret"], text=True, check=True, capture_output=True, timeout=60)
    installed = json.loads((tmp_path / "etc/portico/agent.json").read_text())
    machine.write(**installed)
    desktop_id = desktop(fleet, "10.0.0.5")
    fleet.change(t.desktops, desktop_id, public_address=None)
    machine.write(**installed, address="10.0.0.5")
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    assert fleet.rows(t.join_keys)[0].uses == 1
    configure.delete_item(fleet.broker, actor(fleet.broker), "join-keys", made["id"])
    other = Machine(tmp_path / "other", Metadata(uuid=OTHER))
    other.write(**installed, address="10.0.0.6")
    row = fleet.desktops(1, "n")[0]
    fleet.change(t.desktops, row.id, external_id=OTHER, address="10.0.0.6")
    with other.running():
        waits(fleet, other, "waiting.address")


def test_a_bound_image_is_not_led_to_another_broker(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """Metadata that names a stranger's broker, with a token, changes nothing, and our broker is never told the token."""
    desktop_id = desktop(fleet)
    lies = {
        "portico:broker": f"https://127.0.0.1:{unused_port()}",
        "portico:fingerprint": "0" * 64,
        "portico:token": "theirs",
    }
    machine = Machine(tmp_path / "m", Metadata(meta=lies))
    machine.write(**bound(fleet, url))
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    assert "the token is used" not in machine.log.read_text()


@pytest.mark.capability("S085")
def test_the_user_data_of_the_handbook_installs_an_agent_that_enrols(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """The template as the page shows it, filled in as a pool's is, run by a shell as cloud-init runs it."""
    desktop_id, token = expected(fleet)
    page = PAGE.read_text()
    template = next(text for text in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if text.startswith("#!/bin/sh"))
    agent = {"broker_url": url, "ca_fingerprint": fleet.broker.keys.ca_fingerprint, "token": token}
    text = user_data.render(template, agent)
    root = tmp_path / "root"
    (root / "run").mkdir(parents=True)
    script = tmp_path / "user-data"
    script.write_text(text.replace("/run/", f"{root}/run/"))
    environment = {"PATH": os.environ["PATH"], "PORTICO_AGENT_ROOT": str(root)}
    subprocess.run(["/bin/sh", str(script)], env=environment, check=True, capture_output=True, timeout=120)
    machine = Machine(tmp_path / "m", Metadata(user_data=text))
    machine.program.write_bytes((root / "usr/lib/portico-agent/agent.pyz").read_bytes())
    machine.write(**json.loads((root / "etc/portico/agent.json").read_text()))
    with machine.running():
        is_heard(fleet, desktop_id, machine)
    assert fleet.codes().count("agent.enrolled") == 1


@pytest.mark.capability("S071")
def test_what_an_agent_would_meet_with_is_told_line_by_line(fleet: Fleet, url: str, tmp_path: Path) -> None:
    """`portico agent diagnose`: all fine, then without metadata, then with another deployment's fingerprint."""
    machine = Machine(tmp_path / "m", Metadata(public_address="198.51.100.7"))
    machine.write(**bound(fleet, url, token="t"))

    def diagnose(where: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-I", str(machine.program), "diagnose", "--config", str(machine.settings)]
        return subprocess.run(argv, env=machine.environment(where), capture_output=True, text=True, timeout=60)

    assert machine.metadata is not None
    with serving_metadata(machine.metadata) as where:
        fine = diagnose(where)
        machine.write(broker_url=url, ca_fingerprint="0" * 64)
        foreign = diagnose(where)
    assert (fine.returncode, "BAD" in fine.stdout) == (0, False), fine.stdout
    for text in ("metadata: answers", UUID, "198.51.100.7", f"{url} answers", "a one-time token"):
        assert text in fine.stdout
    assert foreign.returncode == 1
    assert "another fingerprint" in foreign.stdout
    blind = diagnose(f"127.0.0.1:{unused_port()}")
    assert blind.returncode == 1
    assert "BAD  metadata: " in blind.stdout
    assert "     fix: " in blind.stdout
