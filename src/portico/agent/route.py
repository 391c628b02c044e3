"""Why the metadata service does not answer, and what to do about it: reads routing tables, changes nothing. Pure besides `look`."""

import glob
import re
import socket
import struct
import subprocess
import sys
from typing import List, NamedTuple, Optional

SERVICE = "169.254.169.254"
ANSWERS, NO_ROUTE, NO_GATEWAY, NO_ANSWER, REFUSED = "answers", "no route", "no gateway", "no answer", "refused"
_LEASES = (
    "/run/systemd/netif/leases/*",
    "/var/lib/dhcp/*.leases",
    "/var/lib/dhclient/*",
    "/var/lib/NetworkManager/*.lease",
)
_SERVER = re.compile(r"(?:SERVER_ADDRESS=|dhcp-server-identifier[ =])\s*(\d+\.\d+\.\d+\.\d+)")
_WINDOWS_ROW = re.compile(
    r"^\s*(\d+\.\d+\.\d+\.\d+)\s+(\d+\.\d+\.\d+\.\d+)\s+(\S.*?)\s+(\d+\.\d+\.\d+\.\d+)\s+(\d+)\s*$"
)
_LINUX_LINES = 512


class Route(NamedTuple):
    """One row of a routing table; `gateway` is empty where the network is reached directly."""

    network: int
    mask: int
    gateway: str
    metric: int
    interface: str


class Diagnosis(NamedTuple):
    """What is wrong with the way to the metadata service (one of the states above), in a sentence, and the fix."""

    state: str
    gateway: str
    sentence: str
    fix: str


def parse_linux(text: str) -> List[Route]:
    """Read /proc/net/route."""
    routes: List[Route] = []
    for line in text.splitlines()[1:_LINUX_LINES]:
        fields = line.split()
        if len(fields) < 8 or not int(fields[3], 16) & 1:  # a route that is not up
            continue
        network, gateway, mask = (_from_kernel(fields[index]) for index in (1, 2, 7))
        routes.append(Route(network, mask, _text(gateway) if gateway else "", int(fields[6]), fields[0]))
    return routes


def parse_windows(text: str) -> List[Route]:
    """Read what `route PRINT -4` prints, in any language: a direct way has words where a gateway would stand."""
    routes: List[Route] = []
    active = True
    for line in text.splitlines():
        row = _WINDOWS_ROW.match(line)
        if row is None:
            if routes and line.startswith("===="):
                active = False  # what follows are the persistent routes, which are listed above where they hold
            continue
        if active:
            gateway = row.group(3) if re.match(r"\d+\.\d+\.\d+\.\d+$", row.group(3)) else ""
            routes.append(Route(_number(row.group(1)), _number(row.group(2)), gateway, int(row.group(5)), row.group(4)))
    return routes


def best(routes: List[Route], address: str) -> Optional[Route]:
    """Return the route that a packet to an address takes: the narrowest network, then the lowest metric."""
    number = _number(address)
    ways = [route for route in routes if number & route.mask == route.network]
    return min(ways, key=lambda route: (-route.mask, route.metric)) if ways else None


def diagnose(trouble: str, routes: List[Route], windows: bool, server: str = "") -> Diagnosis:
    """Return what is wrong. `trouble` is what the question met with; `server` is the DHCP server, which may serve metadata."""
    way = best(routes, SERVICE)
    default = best(routes, "192.0.2.1")
    gateway = (default.gateway if default else "") or server
    fix = _fix(gateway, windows)
    if way is None:
        sentence = "There is no route to {}.".format(SERVICE)
        return Diagnosis(NO_ROUTE, gateway, sentence, fix)
    if not way.gateway:
        sentence = "{} is looked for on {} itself, for a route of {} says so.".format(
            SERVICE, way.interface, _text(way.network)
        )
        return Diagnosis(NO_GATEWAY, gateway, sentence, fix)
    if "refused" in trouble.lower() or trouble.startswith("status"):
        sentence = "{} gives no metadata ({}), by way of {}.".format(SERVICE, trouble, way.gateway)
        return Diagnosis(REFUSED, way.gateway, sentence, _SERVICE_FIX)
    sentence = "There is a route to {} by way of {}, and nothing answers ({}).".format(SERVICE, way.gateway, trouble)
    return Diagnosis(NO_ANSWER, way.gateway, sentence, _SERVICE_FIX)


_SERVICE_FIX = (
    "Have the cloud's operators look whether the metadata service runs on this network, and whether a firewall of this "
    "machine stops it; or give the instance a config drive."
)


def _fix(gateway: str, windows: bool) -> str:
    where = gateway or "GATEWAY"
    if windows:
        return "route -p add {} mask 255.255.255.255 {} metric 6".format(SERVICE, where)
    return "ip route add {}/32 via {}".format(SERVICE, where)


def look(trouble: str) -> Diagnosis:
    """Diagnose this machine."""
    if sys.platform == "win32":  # the system's own program needs no rights to print
        return diagnose(trouble, parse_windows(_printed(["route", "PRINT", "-4"])), True)
    return diagnose(trouble, parse_linux(_read("/proc/net/route")), False, dhcp_server())


def dhcp_server() -> str:
    """Return the address of the DHCP server that the last lease came from, empty where none is known."""
    for pattern in _LEASES:
        for name in sorted(glob.glob(pattern), reverse=True):
            found = _SERVER.findall(_read(name))
            if found:
                return str(found[-1])
    return ""


def _from_kernel(digits: str) -> int:
    # The kernel prints an IPv4 address as the number that its bytes are in this machine's memory.
    return int(struct.unpack("!I", struct.pack("=I", int(digits, 16)))[0])


def _number(address: str) -> int:
    return int(struct.unpack("!I", socket.inet_aton(address))[0])


def _text(number: int) -> str:
    return socket.inet_ntoa(struct.pack("!I", number))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""


def _printed(argv: List[str]) -> str:
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace")
