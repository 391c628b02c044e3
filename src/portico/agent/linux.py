"""What Linux shows of sessions: X clients over VNC from /proc/net/tcp, terminals from their tmux socket. Reads only.

Nothing is started for a look that is taken more than once a second; only idle times ask a program, seldom.
"""

import os
import re
import socket
import subprocess
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from portico.agent.config import Settings, Ssh, Vnc
from portico.agent.session import Sight

_IDLE_EVERY_SECONDS = 10.0
_TOOL_SECONDS = 5
_LISTENING, _ESTABLISHED = "0A", "01"
_UNIX_LISTENS = "00010000"
_UNIX_CONNECTED = "03"


class Leader(NamedTuple):
    """The first process of a graphical session; `start` (clock ticks since boot) tells it from a later one of the same pid."""

    pid: int
    start: int


def facts(settings: Settings, port: int, address: str) -> Dict[str, Any]:
    """Return what the broker wants to know of this machine (FACTS of wire.agent)."""
    protocols = dict(settings.protocols)
    if settings.vnc:
        protocols["vnc"] = settings.vnc.port
    if settings.ssh:
        protocols["ssh"] = settings.ssh.port
    if settings.rdp:
        protocols["rdp"] = settings.rdp.port
    return {
        "hostname": socket.gethostname(),
        "os_family": "linux",
        "os_name": _os_name(),
        "address": settings.address or address,
        "port": port,
        "protocols": protocols,
        "ssh_host_keys": _host_keys(settings.ssh),
        "login_user": settings.login_user,
    }


class Eyes:
    """Looks at the sessions. Idle times are kept for some seconds between two questions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: Dict[str, Tuple[float, Optional[int]]] = {}

    def look(self, with_idle: Set[str]) -> List[Sight]:
        """Return what there is of each kind of session; idle times only of the kinds that are asked for."""
        sights = []
        if self._settings.vnc:
            leader = find_leader(self._settings.vnc)
            name = "vnc-{}-{}".format(leader.pid, leader.start) if leader else ""
            clients = self._vnc_clients(self._settings.vnc) if leader else 0
            sights.append(Sight("vnc", name, clients, self._idle_seconds("vnc", with_idle)))
        if self._settings.ssh:
            inode, clients = tmux_server(self._settings.ssh.socket)
            name = "ssh-{}".format(inode) if inode else ""
            sights.append(Sight("ssh", name, clients, self._idle_seconds("ssh", with_idle)))
        return sights

    def idle_seconds(self, kind: str) -> Optional[int]:
        """Return the idle time of this kind of session as of the last question."""
        return self._idle.get(kind, (0.0, None))[1]

    def listens(self, port: int) -> bool:
        """Tell whether something accepts connections on a port of this desktop."""
        return any(state == _LISTENING for state, _ in self._rows(port))

    def is_used(self, port: int) -> bool:
        """Tell whether somebody is connected to a port of this desktop."""
        return any(state == _ESTABLISHED for state, _ in self._rows(port))

    def _vnc_clients(self, vnc: Vnc) -> int:
        return sum(state == _ESTABLISHED for state, _ in self._rows(vnc.port))

    def _rows(self, port: int) -> Iterator[Tuple[str, str]]:
        wanted = "{:04X}".format(port)
        mine = _hexadecimal(self._settings.address)
        for name in ("tcp", "tcp6"):
            for line in _lines("/proc/net/" + name):
                fields = line.split()
                address, _, local_port = fields[1].partition(":")
                anywhere = not address.strip("0")
                if local_port == wanted and (not mine or anywhere or address.endswith(mine)):
                    yield fields[3], address

    def _idle_seconds(self, kind: str, with_idle: Set[str]) -> Optional[int]:
        if kind not in with_idle:
            self._idle.pop(kind, None)
            return None
        asked, seconds = self._idle.get(kind, (0.0, None))
        now = time.monotonic()
        if now - asked >= _IDLE_EVERY_SECONDS or not asked:
            seconds = self._ask_idle(kind)
            self._idle[kind] = (now, seconds)
        return seconds

    def _ask_idle(self, kind: str) -> Optional[int]:
        if kind == "vnc" and self._settings.vnc:
            text = run(["xprintidle"], display_environment(self._settings.vnc))
            return int(text) // 1000 if text and text.strip().isdigit() else None
        if kind == "ssh" and self._settings.ssh:
            text = run(["tmux", "-S", self._settings.ssh.socket, "list-clients", "-F", "#{client_activity}"], None)
            times = [int(word) for word in (text or b"").split() if word.isdigit()]
            return max(0, int(time.time()) - max(times)) if times else None
        return None


def find_leader(vnc: Vnc) -> Optional[Leader]:
    """Return the live first process of the graphical session, None when there is none."""
    try:
        with open(vnc.leader_file, encoding="ascii") as file:
            pid = int(file.read(32))
        with open("/proc/{}/stat".format(pid), encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        with open("/proc/{}/environ".format(pid), "rb") as file:
            variables = file.read().split(b"\0")
    except (OSError, ValueError):
        return None
    # The file may be older than the machine's last start: the process must really be one of this display.
    if fields[0] == "Z" or "DISPLAY={}".format(vnc.display).encode("ascii") not in variables:
        return None
    return Leader(pid, int(fields[19]))


def tmux_server(path: str) -> Tuple[str, int]:
    """Return the inode that names the tmux server at a socket (empty when there is none), and how many clients it has."""
    inode, clients = "", 0
    for line in _lines("/proc/net/unix"):
        fields = line.split(None, 7)
        if len(fields) == 8 and fields[7] == path:
            if fields[3] == _UNIX_LISTENS:
                inode = fields[6]
            elif fields[5] == _UNIX_CONNECTED:
                clients += 1
    return inode, clients if inode else 0


def display_environment(vnc: Vnc) -> Dict[str, str]:
    """Return the environment in which a program finds the session's display."""
    environment = dict(os.environ, DISPLAY=vnc.display)
    if vnc.xauthority:
        environment["XAUTHORITY"] = vnc.xauthority
    return environment


def run(argv: List[str], environment: Optional[Dict[str, str]], given: bytes = b"") -> Optional[bytes]:
    """Run a program for some seconds at most and return what it printed, None when it failed or is not there."""
    try:
        done = subprocess.run(
            argv,
            env=environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TOOL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _lines(path: str) -> List[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()[1:]
    except OSError:
        return []


def _hexadecimal(address: str) -> str:
    # The kernel prints an IPv4 address as the number that its bytes are in memory.
    try:
        return socket.inet_aton(address)[::-1].hex().upper() if address else ""
    except OSError:
        return ""


def _host_keys(ssh: Optional[Ssh]) -> List[str]:
    keys = []
    for name in ssh.host_key_files if ssh else ():
        try:
            with open(name, encoding="ascii") as file:
                keys.append(" ".join(file.read(4096).split()[:2]))
        except (OSError, ValueError):
            continue
    return keys


def _os_name() -> str:
    for line in _lines_of_release():
        found = re.match(r'PRETTY_NAME="?([^"]*)"?$', line)
        if found:
            return found.group(1)
    return "Linux"


def _lines_of_release() -> List[str]:
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
