"""What a local desktop is on disk: one directory with its description, its home and its logs.

DIRECTORY/desktop.json   who it is; written before anything is started and never changed
DIRECTORY/wanted         running | stopped | suspended
DIRECTORY/running.json   the supervisor and what it started, with kernel start times
DIRECTORY/built          there once the desktop has been ready for the first time
DIRECTORY/failed         why it could not be made
DIRECTORY/deleting       there from the first moment of its end
DIRECTORY/supervisor.lock   held by the supervisor while it lives
DIRECTORY/etc/           what its processes read and its user may not change
DIRECTORY/run/           what its agent writes      DIRECTORY/home/ the user's files      DIRECTORY/log/
"""

import contextlib
import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from portico.clouds.local_processes import Process

VNC_PORT = 5900
SSH_PORT = 2222  # not 22: its sshd runs without rights
AGENT_PORT = 8080
IMAGES = {"linux-desktop": {"vnc": VNC_PORT, "ssh": SSH_PORT}, "linux-shell": {"ssh": SSH_PORT}}


@dataclass(frozen=True, slots=True)
class Desktop:
    """Who a desktop is. `account` is the system account that it runs as, empty for the user who runs Portico."""

    external_id: str
    desktop_id: str
    deployment_id: str
    center_id: str
    name: str
    image_id: str
    flavor: str
    tags: Mapping[str, str]
    agent: Mapping[str, str]
    account: str
    address: str
    display: int
    index: int
    created: float

    @property
    def protocols(self) -> Mapping[str, int]:
        """The port of each protocol that it speaks."""
        return IMAGES[self.image_id]


@dataclass(frozen=True, slots=True)
class Running:
    """The processes of a desktop as its supervisor last wrote them down."""

    supervisor: Process | None = None
    parts: Mapping[str, Process] | None = None
    members: frozenset[Process] = frozenset()


class Place:
    """The directory of one desktop and what may be read and written there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.external_id = directory.name
        self.etc, self.run = directory / "etc", directory / "run"
        self.home, self.log = directory / "home", directory / "log"

    def write(self, desktop: Desktop) -> None:
        """Write the description; the caller has just made the directory."""
        _replace(self.directory / "desktop.json", json.dumps(asdict(desktop), indent=1))

    def read(self) -> Desktop | None:
        """Read the description, None when there is no such desktop."""
        try:
            return Desktop(**json.loads((self.directory / "desktop.json").read_text("utf-8")))
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
            return None

    def wanted(self) -> str:
        """Return the power state that was last asked for."""
        return self._text("wanted") or "running"

    def want(self, state: str) -> None:
        """Ask for a power state; the supervisor looks several times a second."""
        _replace(self.directory / "wanted", state)

    def failure(self) -> str:
        """Return why the desktop could not be made, or an empty text."""
        return self._text("failed")

    def fail(self, sentence: str) -> None:
        """Say why the desktop cannot be made; it is not tried again by itself."""
        _replace(self.directory / "failed", sentence)

    def has(self, flag: str) -> bool:
        """Tell whether `built` or `deleting` has been set."""
        return (self.directory / flag).exists()

    def set(self, flag: str) -> None:
        """Set `built` or `deleting`."""
        (self.directory / flag).touch()

    def running(self) -> Running:
        """Read what the supervisor wrote down; nothing when it has not yet."""
        try:
            values = json.loads((self.directory / "running.json").read_text("utf-8"))
            return Running(
                Process(*values["supervisor"]),
                {name: Process(*pair) for name, pair in values["parts"].items()},
                frozenset(Process(*pair) for pair in values["members"]),
            )
        except (OSError, ValueError, TypeError, KeyError):
            return Running()

    def write_running(self, running: Running) -> None:
        """Write down the processes, so that whoever comes later can find and end them."""
        values = {
            "supervisor": running.supervisor,
            "parts": running.parts or {},
            "members": sorted(running.members),
        }
        _replace(self.directory / "running.json", json.dumps(values))

    def host_keys(self) -> tuple[str, ...]:
        """Return the public host key of its sshd, without comment."""
        words = self._text("etc/ssh_host_ed25519_key.pub").split()
        return (" ".join(words[:2]),) if len(words) >= 2 else ()

    def is_supervised(self) -> bool:
        """Tell whether a supervisor lives."""
        with contextlib.suppress(OSError), (self.directory / "supervisor.lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _text(self, name: str) -> str:
        try:
            return (self.directory / name).read_text("utf-8").strip()
        except (OSError, UnicodeError):
            return ""


def clear_display(display: int) -> None:
    """Remove the lock and the socket that a killed X server of ours left."""
    for path in (Path(f"/tmp/.X{display}-lock"), Path(f"/tmp/.X11-unix/X{display}")):  # noqa: S108
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, seconds: float = 15.0) -> Iterator[int]:
    """Hold the lock file at `path` and give its descriptor. Raises TimeoutError after `seconds`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"{path} is held by another process") from None
                time.sleep(0.01)
        yield file
    finally:
        os.close(file)


def _replace(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    aside.write_text(text + "\n", "utf-8")
    aside.chmod(0o600)
    aside.replace(path)
