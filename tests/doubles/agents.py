"""The agent as the one file that it ships as, on a machine of its own as far as it can tell."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from doubles.metadata import Metadata, serving_metadata
from portico.wire.packing import pack

PATIENCE_SECONDS = 60


class Machine:
    """One machine with an agent; it may be killed and started again, and be told other metadata."""

    def __init__(self, folder: Path, metadata: Metadata | None = None, drive: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.metadata = folder, metadata
        self.program, self.settings, self.log = folder / "agent.pyz", folder / "agent.json", folder / "agent.log"
        self.program.write_bytes(pack())
        self.write()
        self.drive = drive or folder / "no-drive"

    def write(self, **values: Any) -> None:
        """Write the settings file anew."""
        common = {"state": str(self.folder / "state.json"), "listen": {"port": 0}, "poll_seconds": 0.2}
        self.settings.write_text(json.dumps(common | values))

    def environment(self, where: str) -> dict[str, str]:
        """Return what lets the agent find the doubles."""
        seams = {"PORTICO_AGENT_METADATA": where, "PORTICO_AGENT_CONFIG_DRIVE": str(self.drive)}
        return {"PATH": os.environ["PATH"], **seams}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it, with its metadata service if it has one, and kill -9 it at the end."""
        if self.metadata is None:
            with self.told(f"127.0.0.1:{unused_port()}"):
                yield
            return
        with serving_metadata(self.metadata) as where, self.told(where):
            yield

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """Run it with the metadata service that is at HOST:PORT, and kill -9 it at the end."""
        argv = [sys.executable, "-I", str(self.program), "--config", str(self.settings)]
        with self.log.open("ab") as log:
            process = subprocess.Popen(argv, env=self.environment(where), stdout=log, stderr=log, cwd="/")
        try:
            yield
        finally:
            process.kill()
            process.wait(PATIENCE_SECONDS)

    def says(self, text: str) -> None:
        """Wait until its log says something."""
        until(lambda: text in self.log.read_text(), lambda: self.log.read_text())


def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(wanted: Callable[[], Any], shown: Callable[[], Any]) -> Any:
    """Wait for something, and say what there was when it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := wanted()):
        assert time.monotonic() < deadline, shown()
        time.sleep(0.05)
    return found
