"""Processes of this machine as /proc shows them: who is who, who listens where, and how to end a group without a stray signal.

A process is named by its pid and the kernel's start time, so that a pid that was used again is never taken for the old one.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

MARKER = "PORTICO_DESKTOP"  # in the environment of everything that belongs to a desktop: the desktop's external id
SUPERVISOR_MARKER = "PORTICO_SUPERVISOR"  # the same for its supervisor
CENTER_MARKER = "PORTICO_CENTER"  # in both: the center's id

_PROC = Path("/proc")
_KILL_SECONDS = 10.0
_LISTENING = "0A"


class Process(NamedTuple):
    """One process, for certain: `start` is in clock ticks since boot."""

    pid: int
    start: int


class Seen(NamedTuple):
    """A process as it was just now."""

    process: Process
    parent: int
    state: str  # one letter of proc(5): R, S, D, T (stopped), Z (ended, not yet collected)


def look(pid: int) -> Seen | None:
    """Read one process, None when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold anything, blanks and brackets too
    return Seen(Process(pid, int(fields[19])), int(fields[1]), fields[0])


def identify(pid: int) -> Process | None:
    """Name the process that has this pid now, None when there is none."""
    seen = look(pid)
    return seen.process if seen else None


def is_alive(process: Process | None) -> bool:
    """Tell whether this very process still runs (one that only waits to be collected does not)."""
    seen = look(process.pid) if process else None
    return seen is not None and seen.process == process and seen.state != "Z"


def everything() -> list[Seen]:
    """Read all processes."""
    return [seen for path in _PROC.iterdir() if path.name.isdigit() and (seen := look(int(path.name)))]


def environment(pid: int) -> dict[str, str]:
    """Read the environment that a process was started with; empty when that is not for us to see."""
    try:
        text = (_PROC / str(pid) / "environ").read_bytes().decode("utf-8", "replace")
    except OSError:
        return {}
    return dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)


def owner(pid: int) -> int | None:
    """Return the user id that a process runs as."""
    try:
        return (_PROC / str(pid)).stat().st_uid
    except OSError:
        return None


def members(external_id: str, uid: int | None, known: Iterable[Process] = ()) -> set[Process]:
    """Find what belongs to a desktop: marked processes, those of its own account, the known ones, and all their children.

    All four are needed: sshd wipes its environment, a user may empty his, and a child may have outlived its parent.
    """
    seen = [item for item in everything() if item.state != "Z"]
    wanted = set(known)
    found = {
        item.process
        for item in seen
        if item.process in wanted
        or (uid and owner(item.process.pid) == uid)
        or environment(item.process.pid).get(MARKER) == external_id
    }
    children: dict[int, list[Process]] = {}
    for item in seen:
        children.setdefault(item.parent, []).append(item.process)
    waiting = list(found)
    while waiting:
        fresh = [child for child in children.get(waiting.pop().pid, ()) if child not in found]
        found.update(fresh)
        waiting.extend(fresh)
    return {process for process in found if process.pid not in (1, os.getpid())}


def supervisors(external_id: str) -> set[Process]:
    """Find the supervisor of a desktop (for a moment of its start there may be two)."""
    return {
        item.process
        for item in everything()
        if item.state != "Z" and environment(item.process.pid).get(SUPERVISOR_MARKER) == external_id
    }


def strays(center_id: str, known: Iterable[str]) -> set[str]:
    """Return the ids of desktops of this center that have processes although nobody knows them any more."""
    found = set()
    for item in everything():
        values = environment(item.process.pid)
        if values.get(CENTER_MARKER) == center_id:
            found.add(values.get(MARKER) or values.get(SUPERVISOR_MARKER, ""))
    return found - set(known) - {""}


def send(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal those of the processes that still are who they were."""
    for process in processes:
        if is_alive(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def end(find: Callable[[], set[Process]], grace_seconds: float) -> bool:
    """End all that `find` finds, kindly first, and tell whether nothing is left."""
    group = find()
    if grace_seconds:
        send(group, signal.SIGTERM)
        send(group, signal.SIGCONT)  # one that is suspended would not hear
        until = time.monotonic() + grace_seconds
        while group and time.monotonic() < until:
            time.sleep(0.05)
            group = {process for process in group if is_alive(process)}
        group = find()
    until = time.monotonic() + _KILL_SECONDS
    while group:
        if time.monotonic() > until:
            return False
        send(group, signal.SIGKILL)
        time.sleep(0.02)
        group = find()  # anew: one may have forked under our hands
    return True


def listening() -> set[tuple[str, int]]:
    """Return the IPv4 addresses and ports that something listens on."""
    return set(_listening())


def _listening() -> Iterator[tuple[str, int]]:
    try:
        lines = (_PROC / "net" / "tcp").read_text("ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        _, local, _, state, *_ = line.split()
        if state == _LISTENING:
            address, port = local.split(":")
            yield ".".join(str(byte) for byte in reversed(bytes.fromhex(address))), int(port, 16)
