"""The lab's processes: each is started once, known by its pid and start time, and stopped by them and nothing else."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.places import BIN, ETC, LOG, RUN, STATE, VAR, digest

STEP = 180  # Seconds that any one wait may take; a loaded machine is slow.


class Trouble(Exception):
    """The lab cannot be had; the text says why."""


@dataclass(frozen=True)
class Service:
    """A process of the lab. When its command or a file of its configuration changes, `start` starts it anew."""

    name: str
    command: tuple[str, ...]
    configs: tuple[str, ...] = ()  # Files and directories below etc/.
    environment: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return what tells this way of running the service from another one."""
        roots = [ETC / name for name in self.configs]
        files = sorted(
            file for root in roots for file in (root.rglob("*") if root.is_dir() else [root]) if file.is_file()
        )
        said = [*self.command, *(f"{name}={value}" for name, value in sorted(self.environment.items()))]
        return digest("\0".join(said).encode(), *(file.read_bytes() for file in files))


def say(text: str) -> None:
    """Tell the person in front of the terminal what happens."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def environment() -> dict[str, str]:
    """Return what every process of the lab gets, the programs of the virtual environment first."""
    paths = [str(BIN), str(ETC / "bin"), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return {
        "PATH": os.pathsep.join(paths), "HOME": str(VAR), "TMPDIR": str(STATE / "tmp"), "LANG": "C.UTF-8",
        "OVN_RUNDIR": str(RUN), "OVS_RUNDIR": str(RUN), "PYTHONWARNINGS": "ignore",
    }  # fmt: skip


def start(service: Service) -> bool:
    """Start `service` unless it runs already, and runs as it should. Tell whether anything was done."""
    fingerprint = service.fingerprint()
    if alive(service.name):
        if _note(service.name)[2:] == [fingerprint]:
            return False
        stop(service.name)
    with (LOG / f"{service.name}.log").open("ab") as log:
        child = subprocess.Popen(
            service.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=VAR, start_new_session=True,
            env=environment() | dict(service.environment),
        )  # fmt: skip
    _file(service.name).write_text(f"{child.pid} {_started(child.pid)} {fingerprint}")
    return True


def alive(name: str) -> bool:
    """Tell whether the process is there. That it answers is another question."""
    note = _note(name)
    return len(note) > 1 and _started(int(note[0])) == note[1]


def stop(name: str, patience: float = 10) -> None:
    """End a process and what it started; what has not gone after `patience` seconds is killed."""
    if alive(name):
        pid = int(_note(name)[0])
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + patience
        while alive(name) and time.monotonic() < end:
            _reap(pid)
            time.sleep(0.05)
        for one in _session(pid):
            _kill(one)
        _reap(pid)
    _file(name).unlink(missing_ok=True)


def names() -> list[str]:
    """Return the names of all processes that were started and not stopped."""
    return sorted(file.stem for file in RUN.glob("*.pid"))


def wait(what: str, ready: Callable[[], object], *services: str, seconds: float = STEP) -> None:
    """Return when `ready` does. Raise Trouble with the last words of `services` when one of them died, or time is over."""
    end = time.monotonic() + seconds
    while not ready():
        dead = [name for name in services if not alive(name)]
        if dead or time.monotonic() > end:
            why = f"{', '.join(dead)} ended" if dead else f"no sign of it in {seconds:.0f} seconds"
            raise Trouble(f"{what}: {why}\n" + "\n".join(last_words(name) for name in dead or services))
        time.sleep(0.2)


def last_words(name: str, lines: int = 25) -> str:
    """Return the end of a log, under the name of its file."""
    log = LOG / f"{name}.log"
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    return "\n".join([f"--- the last lines of {log}:", *(line[:400] for line in text.splitlines()[-lines:])])


def run(*command: str, log: str = "tools", seconds: float = STEP, **environ: str) -> str:
    """Run a tool of the lab to its end and return what it said. Raise Trouble, with its words, when it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=seconds, check=False, cwd=VAR, env=environment() | environ,
        )  # fmt: skip
        said, code = done.stdout, str(done.returncode)
    except subprocess.TimeoutExpired as stuck:
        said, code = (stuck.stdout or b"").decode("utf-8", "replace"), f"nothing after {seconds:.0f} seconds"
    except FileNotFoundError:
        raise Trouble(f"{command[0]} is not here: python3 -m tests.lab install") from None
    with (LOG / f"{log}.log").open("a", encoding="utf-8") as file:
        file.write(said)
    if code != "0":
        raise Trouble(f"{' '.join(command[:4])} failed ({code}):\n" + "\n".join(said.splitlines()[-25:]))
    return said


def _file(name: str) -> Path:
    return RUN / f"{name}.pid"


def _note(name: str) -> list[str]:
    """Return pid, start time and fingerprint of a process, as `start` wrote them down."""
    try:
        return _file(name).read_text().split()
    except FileNotFoundError:
        return []


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's count; nothing for one that is gone or only waits to be reaped."""
    stat = _stat(pid)
    return stat[19] if stat and stat[0] != "Z" else ""


def members(name: str) -> list[int]:
    """Return the pids of a process and of what it started."""
    return _session(int(_note(name)[0])) if alive(name) else []


def _session(leader: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and stat[3] == str(leader)]


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):  # What an earlier run started is reaped by init.
        os.waitpid(pid, os.WNOHANG)
