"""A VNC viewer of the device, through a port of the gateway: from the portal's menu to a desktop that is given back."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from tests.e2e.browser import Person, Times, launch, proof
from tests.e2e.conftest import ROOT, RunningDemo, until

from doubles.desktops import Screen, stop

pytestmark = [pytest.mark.timeout(600), pytest.mark.capability("S014", "S031", "S049", "S050")]
PICTURES = ROOT / "build" / "native"


@pytest.fixture(scope="module")
def ada(demo: RunningDemo) -> Iterator[Person]:
    """Ada at her browser, logged in."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        person = Person(browser, demo.facts["url"], PICTURES, Times(), "ada")
        person.log_in(demo.password("ada"))
        yield person
        browser.close()


class Viewer:
    """TigerVNC's viewer on a screen of its own."""

    def __init__(self, port: int, password: str) -> None:
        self.screen, self.port = Screen("1400x1000x24"), port
        environment = {**self.screen.environment, "VNC_PASSWORD": password}
        self.process = subprocess.Popen(
            ["xtigervncviewer", f"127.0.0.1::{self.port}"],
            env=environment,
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def type_line(self, line: str) -> None:
        self.screen.type_line("Vncviewer", line)

    def stop(self) -> None:
        stop(self.process)
        self.screen.stop()


def viewer_of(person: Person) -> Viewer:
    """A viewer with the password that the page shows."""
    page = person.page
    page.click("[data-testid=show-password]")
    page.wait_for_selector("[data-testid=password]")
    person.picture("password")
    port = int(page.inner_text("[data-testid=address]").rpartition(":")[2])
    return Viewer(port, page.inner_text("[data-testid=password]"))


def open_in_viewer(person: Person) -> None:
    """Choose the viewer in the menu of the first card and wait for the way there."""
    page = person.page
    page.goto(f"{person.url}/")
    page.locator("article details summary").first.click()
    page.locator("[data-testid=vnc-client]").first.click()
    page.wait_for_selector("[data-testid=address]", timeout=90_000)


def file_with(demo: RunningDemo, name: str, text: str) -> Path | None:
    return next((file for file in demo.state.glob(f"desktops/*/home/{name}") if file.read_text().strip() == text), None)


def listens(port: int) -> bool:
    """Whether the port lets this machine in."""
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 5)) as client:
        client.settimeout(5)
        return client.recv(3) == b"RFB"
    return False


def test_a_viewer_of_the_device_works_in_the_desktop(demo: RunningDemo, ada: Person) -> None:
    """Typed text lands there; a killed gateway opens the same port again; giving the desktop back closes it."""
    open_in_viewer(ada)
    ada.picture("address")
    viewer = viewer_of(ada)
    proof(
        lambda: file_with(demo, "proof.txt", "native"), lambda: viewer.type_line("kept=native; echo $kept > proof.txt")
    )
    port = viewer.port

    gateway = demo.facts["pids"]["gateway"]
    os.kill(gateway, signal.SIGKILL)
    viewer.stop()
    until("the port's return", lambda: demo.facts["pids"]["gateway"] != gateway and listens(port), 90)
    again = viewer_of(ada)
    assert again.port == port
    proof(lambda: file_with(demo, "again.txt", "native"), lambda: again.type_line("echo $kept > again.txt"))

    ada.page.goto(f"{ada.url}/")
    ada.page.locator("article details summary").first.click()
    ada.page.locator("article form[action$='/log-out'] button").first.click()
    ada.page.locator("dialog button.danger").click()
    ada.picture("logging-out")
    until("the end of the port", lambda: not listens(port), 60)
    again.stop()


def portico(demo: RunningDemo, home: Path, *words: str) -> subprocess.Popen[str]:
    """Run the command line as a person on a device of theirs."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_CONFIG_HOME": str(home),
        "PORTICO_URL": demo.facts["url"],
    }
    return subprocess.Popen(
        [sys.executable, "-m", "portico", *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def test_the_same_through_a_tunnel_of_the_command_line(demo: RunningDemo, tmp_path: Path) -> None:
    """Log in, open, work with the viewer, and end it: the port of this device is gone, and so is the session."""
    secret = tmp_path / "password"
    secret.write_text(demo.password("ada"))
    first = json.loads((demo.state / "first-run.json").read_text("utf-8"))
    login = portico(
        demo, tmp_path, "login", "--username", "ada", "--password-file", str(secret), "--ca-fingerprint", first["ca_fingerprint"]
    )  # fmt: skip
    assert login.wait(60) == 0, login.stderr and login.stderr.read()
    wrong = portico(demo, tmp_path, "tunnel", "no-such-desktop")
    _, said = wrong.communicate(timeout=60)
    assert wrong.returncode == 1 and "none of your desktops: " in said
    names = said.rpartition("desktops: ")[2].strip(". \n").split(", ")
    tunnel = portico(demo, tmp_path, "tunnel", names[0], "--protocol", "vnc", "--password")
    assert tunnel.stdout and tunnel.stderr
    words = tunnel.stderr.readline()
    while "Password" not in words:
        assert words, "no password"
        words = tunnel.stderr.readline()
    port = int(tunnel.stdout.readline().rpartition(":")[2])
    viewer = Viewer(port, words.rpartition(": ")[2].strip())
    proof(lambda: file_with(demo, "tunnel.txt", "tunnelled"), lambda: viewer.type_line("echo tunnelled > tunnel.txt"))
    tunnel.send_signal(signal.SIGINT)
    assert tunnel.wait(60) == 0
    until("the end of the port", lambda: not listens(port), 60)
    viewer.stop()
    admin = demo.administrator()
    until(
        "the end of the session", lambda: not any(one["load"]["sessions"] for one in admin.get("gateways")["items"]), 60
    )
