"""A whole deployment as people run it: `portico demo`, driven from outside."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import expect

from portico.ops.client import Client, pinned

ROOT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 300  # until the first desktops are there; a loaded machine is slow
END_SECONDS = 120
T = TypeVar("T")
expect.set_options(timeout=60_000)  # a loaded machine is slow; the browser's own five seconds are a verdict on it


def until(what: str, look: Callable[[], T], seconds: float = 60) -> T:
    """Look again and again until something is there, and return it. A deadline is a failure that names what was missed."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            pytest.fail(f"{what} did not happen within {seconds:.0f} seconds")
        time.sleep(0.05)


class RunningDemo:
    """A demo in a process of its own, and what it published about itself."""

    def __init__(self, state: Path, log: Path) -> None:
        self.state, self.log = state, log
        with log.open("wb") as out:
            argv = [sys.executable, "-m", "portico", "demo", "--state", str(state)]
            environ = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            self.process = subprocess.Popen(argv, stdout=out, stderr=out, cwd=ROOT, env=environ, start_new_session=True)

    def wait(self) -> None:
        """Wait until it is ready. Fails with its log when it ends before."""

        def ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(
                    f"the demo ended with {self.process.returncode}:\n{self.log.read_text('utf-8', 'replace')[-6000:]}"
                )
            return (self.state / "demo.json").exists()

        until("the demo", ready, START_SECONDS)

    @property
    def facts(self) -> dict[str, Any]:
        """What the demo says about itself now."""
        facts: dict[str, Any] = json.loads((self.state / "demo.json").read_text("utf-8"))
        return facts

    def administrator(self) -> Client:
        """Return a REST client that is logged in as the administrator."""
        first = json.loads((self.state / "first-run.json").read_text("utf-8"))
        client = Client(self.facts["url"], pinned(self.facts["url"], first["ca_fingerprint"]))
        client.login(self.facts["administrator"]["login"], self.facts["administrator"]["password"])
        return client

    def password(self, login: str) -> str:
        """Return the password of one of its people."""
        return str(self.facts["content"]["people"][login])

    def desktops(self) -> list[Path]:
        """Return the directories of the desktops that are there now."""
        return sorted(path.parent for path in self.state.glob("desktops/*/desktop.json"))

    def processes_of(self, desktop: Path) -> list[int]:
        """Return the pids whose environment says that they belong to a desktop."""
        mark = f"PORTICO_DESKTOP={desktop.name}".encode()
        found = []
        for environ in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in environ.read_bytes().split(b"\0"):
                    found.append(int(environ.parent.name))
            except OSError:
                continue  # it has just ended, or is not ours to look at
        return found

    def stop(self) -> int:
        """End it as Ctrl-C does, and return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@pytest.fixture(scope="module")
def demo(request: pytest.FixtureRequest) -> Iterator[RunningDemo]:
    """A demo that is ready. What it kept is swept away afterwards, whatever happened."""
    # Not below pytest's own directory: accounts of desktops cannot pass that one.
    home = Path(tempfile.mkdtemp(prefix="pd-", dir="/tmp"))
    home.chmod(0o755)
    pictures = ROOT / "build" / "demo-check"
    pictures.mkdir(parents=True, exist_ok=True)
    running = RunningDemo(home / "demo", pictures / f"{request.module.__name__.rpartition('.')[2]}.log")
    try:
        running.wait()
        yield running
    finally:
        running.stop()
        shutil.rmtree(home, ignore_errors=True)
