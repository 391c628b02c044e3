"""The supervisor of one local desktop: starts its parts, restarts what ends, ends all of it when told. One process each.

It outlives the broker, and its desktop outlives it: what it started is written down, and a new supervisor takes it over.
Run as `python -m portico.clouds.local_supervisor DIRECTORY`; returns as soon as the supervisor itself goes on in the background.
"""

import contextlib
import ctypes
import fcntl
import logging
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from portico.clouds import local_account, local_parts
from portico.clouds.local_desktop import Desktop, Place, Running, clear_display
from portico.clouds.local_parts import Part
from portico.clouds.local_processes import Process, end, environment, identify, is_alive, listening, members

log = logging.getLogger("portico.local")

_TICK_SECONDS = 0.25
_GRACE_SECONDS = 2.0
_QUICK_SECONDS = 5.0  # who ends sooner than this is started again with a growing pause
_LONGEST_PAUSE_SECONDS = 30.0
_LOG_LIMIT = 1 << 20
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
_GRAPHICAL = ("vnc", "session")  # one does not make sense without the other: they end and start together


class Supervisor:
    """Keeps one desktop as it is wanted."""

    def __init__(self, desktop: Desktop, place: Place) -> None:
        self._desktop = desktop
        self._place = place
        self._ids = local_account.ids_of(desktop.account)
        self._user = desktop.account or _my_name()
        self._plan: tuple[Part, ...] = ()
        self._parts = dict(place.running().parts or {})  # those of a supervisor before us
        self._members = set(place.running().members)
        self._next_try: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._pause: dict[str, float] = {}
        self._order = ""  # what a signal told us: stop | reboot | reset
        self._wake, self._woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> None:
        """Prepare the desktop, then keep it until it is stopped or deleted."""
        self._listen_to_signals()
        self._write_down()
        try:
            self._prepare()
        except (local_account.AccountFailed, local_parts.NotFurnished, OSError, ValueError) as problem:
            log.error("desktop not made", extra={"desktop": self._desktop.external_id, "problem": str(problem)})
            self._place.fail(str(problem))
            return
        while self._keep():
            self._wait()
        self._end_all(_GRACE_SECONDS)
        self._write_down()

    def _prepare(self) -> None:
        if self._desktop.account:
            local_account.add(self._desktop.account, self._place.home, self._place.directory.parent / ".accounts.lock")
            self._ids = local_account.ids_of(self._desktop.account)
        local_parts.furnish(self._desktop, self._place, self._user, self._ids)
        if os.geteuid() == 0:
            sockets = Path("/tmp/.X11-unix")  # noqa: S108 - where X servers look; only root may make it as they want it
            with contextlib.suppress(FileExistsError):
                sockets.mkdir()
                sockets.chmod(0o1777)
        interpreter = local_parts.find_interpreter(self._run_as()) if self._desktop.agent else sys.executable
        self._plan = local_parts.parts(self._desktop, self._place, self._user, interpreter)

    def _keep(self) -> bool:
        order, self._order = self._order, ""
        if order == "stop" or self._place.has("deleting") or not self._place.directory.exists():
            return False
        if order:
            self._end_all(_GRACE_SECONDS if order == "reboot" else 0)
        self._collect()
        wanted = self._place.wanted()
        if wanted == "stopped":
            return False
        if wanted == "running":
            changed = self._end_half_sessions()
            changed |= self._start_missing()
            if changed or not self._desktop.account:
                self._write_down()
        return True

    def _end_half_sessions(self) -> bool:
        ended = {name for name in _GRAPHICAL if name in self._parts and not is_alive(self._parts[name])}
        if not ended:
            return False
        log.info("graphical session ended", extra={"desktop": self._desktop.external_id})
        known = {self._parts[name] for name in _GRAPHICAL if name in self._parts}
        end(lambda: self._graphical(known), _GRACE_SECONDS)
        self._clear_display()
        for name in _GRAPHICAL:
            self._parts.pop(name, None)
        return True

    def _graphical(self, known: set[Process]) -> set[Process]:
        display = f":{self._desktop.display}"
        mine = members(self._desktop.external_id, self._ids and self._ids.uid)
        return {p for p in mine if p in known or environment(p.pid).get("DISPLAY") == display}

    def _start_missing(self) -> bool:
        changed = False
        now = time.monotonic()
        open_ports: set[tuple[str, int]] | None = None
        for part in self._plan:
            if is_alive(self._parts.get(part.name)) or now < self._next_try.get(part.name, 0):
                continue
            open_ports = listening() if open_ports is None else open_ports
            if part.after <= open_ports:
                self._start(part, now)
                changed = True
        if not self._place.has("built"):
            wanted = {(self._desktop.address, port) for port in self._desktop.protocols.values()}
            if wanted <= (listening() if open_ports is None else open_ports):
                self._place.set("built")
        return changed

    def _start(self, part: Part, now: float) -> None:
        quick = now - self._started.get(part.name, -_LONGEST_PAUSE_SECONDS) < _QUICK_SECONDS
        self._pause[part.name] = (
            min(max(0.5, self._pause.get(part.name, 0) * 2), _LONGEST_PAUSE_SECONDS) if quick else 0
        )
        self._started[part.name] = now
        self._next_try[part.name] = now + self._pause[part.name]
        if part.name == "vnc":
            self._clear_display()
        with _log_file(self._place.log / f"{part.name}.log") as output:
            try:
                child = subprocess.Popen(
                    part.argv, env=dict(part.environment), cwd=self._place.home, stdin=subprocess.DEVNULL,
                    stdout=output, stderr=output, start_new_session=True, umask=0o077, **self._run_as(part.groups),
                )  # fmt: skip
            except OSError as problem:
                log.error("part not started", extra={"part": part.name, "problem": str(problem)})
                return
        child.returncode = 0  # collected by _collect, like those that we took over
        process = identify(child.pid)
        if process:
            self._parts[part.name] = process

    def _run_as(self, groups: tuple[int, ...] = ()) -> dict[str, Any]:
        return {"user": self._ids.uid, "group": self._ids.gid, "extra_groups": list(groups)} if self._ids else {}

    def _end_all(self, grace_seconds: float) -> None:
        known = {*self._members, *self._parts.values()}
        if not end(lambda: members(self._desktop.external_id, self._ids and self._ids.uid, known), grace_seconds):
            log.error("processes left", extra={"desktop": self._desktop.external_id})
        self._collect()
        self._clear_display()
        self._parts, self._members = {}, set()

    def _clear_display(self) -> None:
        clear_display(self._desktop.display)

    def _write_down(self) -> None:
        if not self._desktop.account:  # without an account of its own, what it forked is found by what was seen
            self._members = members(self._desktop.external_id, None, {*self._members, *self._parts.values()})
        self._place.write_running(Running(identify(os.getpid()), self._parts, frozenset(self._members)))

    def _collect(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass

    def _listen_to_signals(self) -> None:
        orders = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGUSR1: "reboot", signal.SIGUSR2: "reset"}

        def hear(number: int, _frame: object) -> None:
            self._order = orders.get(signal.Signals(number), self._order)

        for number in (*orders, signal.SIGCHLD):
            signal.signal(number, hear)
        signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)

    def _wait(self) -> None:
        ready, _, _ = select.select([self._wake], [], [], _TICK_SECONDS)
        if ready:
            os.read(self._wake, 4096)


def _my_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


@contextlib.contextmanager
def _log_file(path: Path) -> Any:
    size = path.stat().st_size if path.exists() else 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_TRUNC if size > _LOG_LIMIT else 0)
    file = os.open(path, flags, 0o600)
    try:
        yield file
    finally:
        os.close(file)


def main(argv: list[str]) -> int:
    """Take the desktop's lock, go to the background, supervise. Returns 0 at once when another supervisor is there."""
    place = Place(Path(argv[0]))
    desktop = place.read()
    if desktop is None or place.has("deleting"):
        return 1
    lock = os.open(place.directory / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + 0.5  # whoever only looks whether we live holds the lock for a moment
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                return 0
            time.sleep(0.02)
    if os.fork():
        os._exit(0)
    os.setsid()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    place.log.mkdir(mode=0o700, exist_ok=True)
    with _log_file(place.log / "supervisor.log") as output, Path(os.devnull).open("rb") as nothing:
        for target, number in ((nothing.fileno(), 0), (output, 1), (output, 2)):
            os.dup2(target, number)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        Supervisor(desktop, place).run()
    except Exception:
        log.exception("supervisor failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
