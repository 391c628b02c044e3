"""`make demo-check`: two people, two kinds of desktop, from log-in to a desktop that is gone. Leaves pictures and timings."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.e2e.browser import Person, Times, launch, proof
from tests.e2e.conftest import ROOT, RunningDemo, until

from portico.errors import PorticoError

PICTURES = ROOT / "build" / "demo-check"

pytestmark = [pytest.mark.timeout(900), pytest.mark.capability("S029", "S030", "S039")]


@pytest.fixture(scope="module")
def times() -> Iterator[Times]:
    """The timings of this run, written and shown at its end."""
    made = Times()
    yield made
    made.write(PICTURES)
    print(f"\n{made.table()}\n")


@pytest.fixture(scope="module")
def people(demo: RunningDemo, times: Times) -> Iterator[dict[str, Person]]:
    """Ada and Grace, each at a browser of her own."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        times.rows["demo: start to first desktops"] = demo.facts["seconds_to_ready"]
        yield {login: Person(browser, demo.facts["url"], PICTURES, times, login) for login in ("ada", "grace")}
        browser.close()


def file_with(demo: RunningDemo, name: str, text: str) -> Path | None:
    """Find a file of this name and content in the home of any desktop."""
    for file in demo.state.glob(f"desktops/*/home/{name}"):
        if file.read_text("utf-8", "replace").strip() == text:
            return file
    return None


def see_it_gone(demo: RunningDemo, desktop: Path, name: str) -> None:
    """See that nothing of a desktop is left: not its directory, not its processes, not for the broker."""
    until(f"the end of {name}'s directory", lambda: not desktop.exists(), 120)
    until(f"the end of {name}'s processes", lambda: not demo.processes_of(desktop), 60)
    client = demo.administrator()

    def gone() -> bool:
        rows = [row for row in client.items("desktops") if row["name"] == name]
        return all(row["stage"] == "gone" or row["status"] == "deleted" for row in rows)

    until(f"the broker's word that {name} is gone", gone, 60)


def see_pool_refilled(demo: RunningDemo, pool: str) -> None:
    """See that the pool has a desktop to give again."""
    client, pool_id = demo.administrator(), demo.facts["content"]["pools"][pool]

    def refilled() -> bool:
        rows = client.items("desktops")
        return any(
            row["built_for_pool"] == pool_id and row["stage"] == "ready" and row["agent"] == "running" for row in rows
        )

    until(f"a new desktop in {pool}", refilled, 180)


def name_of(demo: RunningDemo, desktop: Path) -> str:
    """Return the name that the broker has for a desktop on disk."""
    rows = demo.administrator().items("desktops")
    return str(next(row["name"] for row in rows if row["external_id"] == desktop.name))


def answers(demo: RunningDemo) -> bool:
    """Tell whether the broker takes log-ins."""
    try:
        return bool(demo.administrator())
    except PorticoError:
        return False


def work_through(demo: RunningDemo, person: Person, pool: str, times: Times) -> None:
    """Log in, open, type, disconnect, come back to the same open window, log out; see the desktop gone and the pool refilled."""
    person.log_in(demo.password(person.login))
    person.open(pool, f"open {pool} to first frame")
    words = f"hello-{person.login}"
    typed = proof(
        lambda: file_with(demo, "proof.txt", words), lambda: person.type_line(f"here={words}; echo $here > proof.txt")
    )
    desktop = typed.parent.parent
    name = name_of(demo, desktop)
    person.picture("working")

    person.leave("disconnect")
    person.picture("disconnected")
    person.open(pool, f"reconnect to {pool}")
    # Only the very shell that was left open knows this variable.
    again = proof(lambda: file_with(demo, "again.txt", words), lambda: person.type_line("echo $here > again.txt"))
    assert again.parent.parent == desktop
    person.picture("reconnected")

    with times.of(f"{person.login}: log-out to desktop gone"):
        person.leave("log-out")
        see_it_gone(demo, desktop, name)
    with times.of(f"{pool}: gone to refilled"):
        see_pool_refilled(demo, pool)
    person.picture("logged-out")


@pytest.mark.capability("S010", "S011", "S015", "S027", "S032", "S045", "S057", "S095", "S109", "S111", "S113")
def test_ada_works_in_a_desktop_over_vnc(demo, people, times):
    """Ada gets a desktop that did not exist before, types into it, finds it again, logs out, and it is gone."""
    work_through(demo, people["ada"], "Linux desktops", times)


@pytest.mark.capability("S010", "S011", "S015", "S027", "S032", "S045", "S057", "S095", "S109", "S111", "S113")
def test_grace_works_in_a_shell_over_ssh(demo, people, times):
    """Grace does the same in a terminal."""
    work_through(demo, people["grace"], "Shell", times)


@pytest.mark.capability("S015", "S050", "S057")
def test_a_session_survives_broker_and_gateway(demo, people, times):
    """A killed broker is not even noticed in the desktop; a killed gateway is told, and the page goes on when it is back."""
    ada = people["ada"]
    ada.page.goto(f"{demo.facts['url']}/")
    ada.open("Linux desktops", "open again")
    words = "still-here"
    proof(lambda: file_with(demo, "before.txt", words), lambda: ada.type_line(f"kept={words}; echo $kept > before.txt"))

    broker = demo.facts["pids"]["broker"]
    os.kill(broker, signal.SIGKILL)
    proof(lambda: file_with(demo, "alone.txt", words), lambda: ada.type_line("echo $kept > alone.txt"))
    assert ada.page.locator("html").get_attribute("data-viewer") == "connected"
    until("the broker's return", lambda: demo.facts["pids"]["broker"] != broker and answers(demo), 90)

    with times.of("gateway killed to page connected again"):
        os.kill(demo.facts["pids"]["gateway"], signal.SIGKILL)
        ada.wait_for_viewer("lost")
        ada.picture("gateway-away")
        ada.wait_for_viewer("connected")
    proof(lambda: file_with(demo, "after.txt", words), lambda: ada.type_line("echo $kept > after.txt"))
    ada.picture("gateway-back")
    ada.leave("log-out")
    ada.log_out()


@pytest.mark.capability("S030")
def test_ctrl_c_leaves_nothing_behind(demo, people):
    """The demo ends with status 0 and takes every desktop, process and file with it."""
    desktops = demo.desktops()
    assert demo.stop() == 0, demo.log.read_text("utf-8", "replace")[-3000:]
    assert not demo.state.exists()
    assert [pid for desktop in desktops for pid in demo.processes_of(desktop)] == []
