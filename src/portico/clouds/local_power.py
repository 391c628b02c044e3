"""Switching local desktops: their processes are started, ended, stopped and continued, mostly by their supervisors."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import portico
from portico.clouds import local_account, local_processes
from portico.clouds.local_desktop import Desktop, Place
from portico.clouds.local_parts import PATH
from portico.clouds.local_processes import CENTER_MARKER, SUPERVISOR_MARKER, Process
from portico.domain.model import PowerAction
from portico.errors import CloudError, CloudRefused

_START_SECONDS = 20
_STOP_SECONDS = 15


def switch(place: Place, desktop: Desktop, action: PowerAction) -> None:
    """Start a power action; the caller holds the center's lock. Raises CloudRefused, CloudError, OSError."""
    wanted = place.wanted()
    if action is PowerAction.START and wanted == "stopped":
        _await_end(place)
        place.want("running")
        supervise(place)
    elif action in (PowerAction.STOP, PowerAction.SHUTDOWN):
        place.want("stopped")
        _tell(place, signal.SIGTERM)
        if not place.is_supervised():
            local_processes.end(lambda: members(place, desktop), 0)
    elif action in (PowerAction.REBOOT, PowerAction.RESET):
        if wanted != "running":
            raise CloudRefused(f"This desktop is {wanted}. Start or resume it first.", place.external_id)
        supervise(place)
        _tell(place, signal.SIGUSR1 if action is PowerAction.REBOOT else signal.SIGUSR2)
    elif action is PowerAction.SUSPEND and wanted != "suspended":
        if wanted != "running":
            raise CloudRefused("This desktop is stopped: there is nothing to suspend.", place.external_id)
        place.want("suspended")
        local_processes.send(members(place, desktop), signal.SIGSTOP)
    elif action in (PowerAction.RESUME, PowerAction.START) and wanted == "suspended":
        local_processes.send(members(place, desktop), signal.SIGCONT)
        place.want("running")
        supervise(place)
    elif action is PowerAction.RESUME and wanted == "stopped":
        raise CloudRefused("This desktop is stopped, not suspended. Start it.", place.external_id)


def supervise(place: Place) -> None:
    """Start a desktop's supervisor unless it has one. Raises CloudError, OSError, SubprocessError."""
    desktop = place.read()
    if desktop is None or place.is_supervised():
        return
    environment = {
        "PATH": PATH,
        "PYTHONPATH": str(Path(portico.__file__).parent.parent),
        SUPERVISOR_MARKER: place.external_id,
        CENTER_MARKER: desktop.center_id,
    }
    argv = (sys.executable, "-m", "portico.clouds.local_supervisor", str(place.directory))
    done = subprocess.run(
        argv, env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, timeout=_START_SECONDS, start_new_session=True, check=False,
    )  # fmt: skip
    if done.returncode and not place.has("deleting"):
        raise CloudError("The supervisor of a desktop does not start.", done.stderr.decode("utf-8", "replace"))


def _await_end(place: Place) -> None:
    # A supervisor that is stopping its desktop must not be taken for the one that is to run it.
    until = time.monotonic() + _STOP_SECONDS
    while place.is_supervised():
        if time.monotonic() > until:
            raise CloudError("This desktop is still stopping.", place.external_id)
        time.sleep(0.02)


def _tell(place: Place, number: signal.Signals) -> None:
    local_processes.send(local_processes.supervisors(place.external_id), number)


def members(place: Place, desktop: Desktop) -> set[Process]:
    """Find all live processes of a desktop, its supervisor apart."""
    return local_processes.members(place.external_id, local_account.user_id(desktop.account), known(place))


def known(place: Place) -> set[Process]:
    """Return the processes that the supervisor wrote down."""
    running = place.running()
    return {*running.members, *(running.parts or {}).values()}
