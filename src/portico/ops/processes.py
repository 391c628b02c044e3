"""Processes of our own: started, watched, shown in one readable log, and stopped by their own ids."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep

from portico.errors import PorticoError

KEPT_LINES = 200  # per process, for the story of a failure
COLOURS = (36, 35, 33, 32, 34)  # of the prefixes, in the order in which processes are made
POLL_SECONDS = 0.1

Show = Callable[[str], None]


class Broken(PorticoError):
    """A process ended or did not become ready; `detail` holds its last lines."""

    code = "process.broken"


class Console:
    """One log for many processes: each line behind the name of whoever said it."""

    def __init__(self, colours: bool | None = None) -> None:
        self.colours = sys.stdout.isatty() if colours is None else colours
        self._names: list[str] = []
        self._lock = threading.Lock()

    def voice(self, name: str, width: int = 8) -> Show:
        """Return a function that shows lines of `name`."""
        self._names.append(name)
        prefix = f"{name:{width}}"
        if self.colours:
            prefix = f"\x1b[{COLOURS[(len(self._names) - 1) % len(COLOURS)]}m{prefix}\x1b[0m"
        return lambda line: self.show(f"{prefix} │ {line}")

    def show(self, line: str) -> None:
        """Show one line as it is; never in the middle of another."""
        with self._lock:
            print(line, flush=True)


class Process:
    """One process and its output. Dies with us, by signal, even when we are killed (where `setpriv` is at hand)."""

    def __init__(self, name: str, argv: Sequence[str], environ: Mapping[str, str], log: Path, show: Show) -> None:
        self.name = name
        self.lines: deque[str] = deque(maxlen=KEPT_LINES)
        tether = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen(
            [*tether, *argv],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us alone: we end the others in order.
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, args=(log, show), name=f"log-{name}", daemon=True)
        self._reader.start()

    def status(self) -> int | None:
        """Return the exit status, None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise Broken if it has ended."""
        status = self.status()
        if status is not None:
            self._reader.join(2)
            how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
            raise Broken(f"The {self.name} ended with {how}.", detail=self.story())

    def story(self, lines: int = 25) -> str:
        """Return its last lines."""
        return "\n".join(list(self.lines)[-lines:])

    def stop(self, seconds: float = 15) -> None:
        """Ask it to end; kill its group when it has not after `seconds`. Safe to call twice."""
        if self.status() is None:
            self._process.terminate()
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self._process.wait()
        self._reader.join(2)

    def kill(self) -> None:
        """End it without warning, as a crash would."""
        self._process.kill()
        self._process.wait()

    def _read(self, log: Path, show: Show) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with log.open("a", encoding="utf-8") as file:
            for raw in stream:
                line = _plain(raw.decode("utf-8", "replace").rstrip("\r\n"))
                self.lines.append(line)
                file.write(line + "\n")
                file.flush()
                show(line)


def wait_until(what: str, ready: Callable[[], bool], seconds: float, processes: Sequence[Process] = ()) -> None:
    """Wait until `ready()`. Raises Broken when one of the processes ends or the time is over."""
    end = monotonic() + seconds
    while not ready():
        for process in processes:
            process.check()
        if monotonic() > end:
            story = "\n".join(f"--- {process.name}\n{process.story(10)}" for process in processes)
            raise Broken(f"{what} took longer than {seconds:.0f} seconds.", detail=story)
        sleep(POLL_SECONDS)


def _plain(line: str) -> str:
    """Drop what could play with the terminal that the line is shown on."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]", "", line)
