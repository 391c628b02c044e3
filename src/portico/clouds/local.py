"""Local center: desktops on this machine, for a first look. Real processes, each desktop on a loopback address of its own.

The directory of a desktop is its truth and is made before anything else; a supervisor of its own runs it (local_supervisor).
So neither the broker's end nor the supervisor's loses or leaks anything: what is there is found from the directories and /proc.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, ClassVar

from portico.clouds import local_account, local_power, local_processes
from portico.clouds.local_desktop import IMAGES, Desktop, Place, clear_display
from portico.clouds.local_ground import MOST_DESKTOPS, Ground, account_of
from portico.clouds.local_parts import PATH
from portico.domain.model import Power, PowerAction
from portico.errors import CloudError, CloudNotFound, CloudRefused
from portico.ports.cloud import (
    Belonging,
    Capabilities,
    Choice,
    Choices,
    CloudContext,
    CloudImage,
    Console,
    Finding,
    Machine,
    MachineSpec,
    Meta,
    Scan,
    Usage,
)

# program → the Debian package that brings it
PROGRAMS = {
    "Xtigervnc": "tigervnc-standalone-server",
    "vncpasswd": "tigervnc-tools",
    "vncconfig": "tigervnc-common",
    "openbox": "openbox",
    "xterm": "xterm",
    "xsetroot": "x11-xserver-utils",
    "xprintidle": "xprintidle",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "tmux": "tmux",
}
PACKAGES = (*dict.fromkeys(PROGRAMS.values()), "fonts-dejavu-core", "python3", "passwd")

_POWER = frozenset(
    {
        PowerAction.START,
        PowerAction.STOP,
        PowerAction.SHUTDOWN,
        PowerAction.REBOOT,
        PowerAction.RESET,
        PowerAction.SUSPEND,
        PowerAction.RESUME,
    }
)


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """How many desktops this machine carries, and where."""

    max_desktops: Annotated[
        int, Meta("Most desktops", f"How many desktops may exist on this machine at once (up to {MOST_DESKTOPS}).")
    ] = 12
    directory: Annotated[
        str,
        Meta(
            "Directory",
            "Where the desktops live; empty for the center's own state directory. Run by root, all users must be able to "
            "pass through it.",
            advanced=True,
        ),
    ] = ""


class Local:
    """This machine as a cloud."""

    kind: ClassVar[str] = "local"
    Settings: ClassVar[type] = LocalSettings

    def __init__(self, settings: LocalSettings, context: CloudContext) -> None:
        self._context = context
        root = Path(settings.directory) if settings.directory else context.state / "desktops"
        self._ground = Ground(root.absolute(), context.center_id, settings.max_desktops)

    def capabilities(self) -> Capabilities:
        """Return that desktops can be made and switched."""
        return Capabilities(provisions=True, power=_POWER)

    def check(self) -> tuple[Finding, ...]:
        """Look for the programs, for accounts and for a directory that desktops can use."""
        path = os.environ.get("PATH", "") + ":" + PATH
        findings = [
            Finding(program, "granted")
            if shutil.which(program, path=path)
            else Finding(program, "missing", f"apt-get install {package}")
            for program, package in PROGRAMS.items()
        ]
        if os.geteuid() == 0:
            findings.append(Finding("an account for each desktop", "granted"))
        else:
            remedy = (
                "Desktops run as the user who runs Portico, and can read what he can. Run as root to separate them."
            )
            findings.append(Finding("an account for each desktop", "missing", remedy))
        problem = self._ground.problem()
        findings.append(Finding("directory", "missing" if problem else "granted", problem))
        return tuple(findings)

    def scan(self, since: datetime | None = None) -> Scan:
        """List the desktops, and have those run again whose supervisor was killed."""
        with self._guard():
            open_ports = local_processes.listening()
            places = list(self._ground.places())
            machines = [machine for place in places if (machine := self._machine(place, open_ports))]
            strays = local_processes.strays(self._context.center_id, (place.external_id for place in places))
        machines += [
            Machine(external_id, external_id, Power.ERROR, ready=False, error="Its directory is gone; delete it.")
            for external_id in sorted(strays)
        ]
        images = (
            CloudImage("linux-desktop", "Linux desktop (VNC and SSH)", "linux", visibility="public"),
            CloudImage("linux-shell", "Linux shell (SSH)", "linux", visibility="public"),
        )
        return Scan(tuple(machines), images, complete=True)

    def look(self, external_id: str) -> Machine | None:
        """Look at one desktop."""
        return next((machine for machine in self.scan().machines if machine.external_id == external_id), None)

    def choices(self) -> Choices:
        """Return the two images, and one entry for each menu that has no meaning here."""
        images = (
            Choice("linux-desktop", "Linux desktop", "VNC and SSH"),
            Choice("linux-shell", "Linux shell", "SSH only, lighter"),
        )
        network = (Choice("loopback", "loopback", f"127.{self._ground.network}.0.0/16"),)
        return Choices(images, (Choice("local", "this machine"),), network)

    def create(self, spec: MachineSpec) -> str:
        """Write down a new desktop and start its supervisor, which makes the rest."""
        self._refuse(spec)
        place = self._ground.place_for(spec)
        with self._guard():
            self._ground.root.mkdir(parents=True, exist_ok=True)
            self._ground.root.chmod(0o711)
            with self._ground.lock():
                if place.read() is None:
                    self._ground.sweep()
                    self._ground.accept(place, spec)
                if place.wanted() == "running" and not place.has("deleting"):
                    local_power.supervise(place)
        return place.external_id

    def delete(self, external_id: str) -> None:
        """End a desktop's processes and remove its account and its directory."""
        place = self._ground.place(external_id)
        if place is None:
            return
        with self._guard():
            desktop = place.read()
            if place.directory.exists():
                place.set("deleting")
            uid = local_account.user_id(account_of(external_id))
            known = local_power.known(place)
            local_processes.end(lambda: local_processes.supervisors(external_id), 0)
            if not local_processes.end(lambda: local_processes.members(external_id, uid, known), 0):
                raise CloudError("Some processes of this desktop do not end.", external_id)
            if desktop is not None:
                clear_display(desktop.display)
            if not place.directory.exists():
                return
            with self._ground.lock():
                if desktop is not None and desktop.account:
                    local_account.remove(desktop.account, self._ground.root / ".accounts.lock")
                if place.directory.exists():
                    place.directory.rename(self._ground.root / f".gone-{external_id}")
                self._ground.sweep()

    def power(self, external_id: str, action: PowerAction) -> None:
        """Have the desktop's processes ended, started, stopped or continued."""
        place = self._ground.place(external_id)
        desktop = place.read() if place else None
        if place is None or desktop is None or place.has("deleting"):
            raise CloudNotFound("There is no such desktop on this machine.", external_id)
        if action not in _POWER:
            raise CloudRefused("A local desktop cannot do this.", action)
        with self._guard(), self._ground.lock():
            local_power.switch(place, desktop, action)

    def _machine(self, place: Place, open_ports: set[tuple[str, int]]) -> Machine | None:
        desktop = place.read()
        if desktop is None:
            return None
        power, failure = self._state(place, desktop, open_ports), place.failure()
        return Machine(
            external_id=desktop.external_id,
            name=desktop.name,
            power=power,
            ready=place.has("built") and not failure,
            error=failure,
            desktop_id=desktop.desktop_id,
            deployment_id=desktop.deployment_id,
            address=desktop.address,
            image_id=desktop.image_id,
            flavor=desktop.flavor,
            created_at=datetime.fromtimestamp(desktop.created, UTC),
            os_family="linux",
            protocols=desktop.protocols,
            ssh_host_keys=place.host_keys(),
            tags=desktop.tags,
        )

    def _state(self, place: Place, desktop: Desktop, open_ports: set[tuple[str, int]]) -> Power:
        if place.has("deleting"):
            return Power.STOPPING
        if place.failure():
            return Power.ERROR
        wanted = place.wanted()
        if wanted == "running":
            if not place.is_supervised():  # killed, or the host was started anew
                local_power.supervise(place)
            ready = all((desktop.address, port) in open_ports for port in desktop.protocols.values())
            return Power.RUNNING if ready else Power.STARTING
        alive = (wanted == "stopped" and place.is_supervised()) or any(
            local_processes.is_alive(process) for process in (place.running().parts or {}).values()
        )
        if wanted == "suspended":
            return Power.SUSPENDED if alive else Power.STOPPED
        return Power.STOPPING if alive else Power.STOPPED

    def belongings(self) -> tuple[Belonging, ...]:
        """List the desktops of our deployment; all else that is made for one goes with it."""
        return tuple(
            Belonging("machine", machine.external_id, machine.name, machine.desktop_id, machine.created_at, machine.external_id)
            for machine in self.scan().machines
            if machine.deployment_id == self._context.deployment_id
        )  # fmt: skip

    def remove(self, belonging: Belonging) -> None:
        """Remove a desktop that carries our tag."""
        seen = next((one for one in self.scan().machines if one.external_id == belonging.external_id), None)
        if seen is not None and seen.deployment_id != self._context.deployment_id:
            raise CloudRefused("This desktop is not ours.", belonging.external_id)
        self.delete(belonging.external_id)

    def mend(self, fix: str) -> None:
        """Refuse: what a machine lacks, its administrator installs."""
        raise CloudRefused("Install what is missing on the machine itself.", fix)

    def console(self, external_id: str) -> Console:
        """Refuse: local desktops are processes, which have no console."""
        raise CloudRefused("Local desktops have no console.", external_id)

    def snapshot(self, external_id: str, name: str) -> str:
        """Refuse: local desktops have no disk of their own."""
        raise CloudRefused("Local desktops have no disk to make an image of.", external_id)

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Refuse: nothing is counted."""
        raise CloudRefused("What local desktops use is not counted.")

    def _refuse(self, spec: MachineSpec) -> None:
        if spec.image_id not in IMAGES:
            raise CloudRefused("There is no such image here; there are linux-desktop and linux-shell.", spec.image_id)
        problem_here = self._ground.problem()
        if problem_here:
            raise CloudRefused(problem_here)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError, local_account.AccountFailed) as problem:  # TimeoutError is one
            raise CloudError("This machine did not do what was asked.", str(problem)) from problem
