"""Networks of tenants: a network namespace each, with a desktop's address that others have as well, and one way to the broker."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

DESKTOP = "10.0.0.5"
ECHO = (
    "import socketserver, sys\n"
    "class Echo(socketserver.BaseRequestHandler):\n"
    "    def handle(self):\n"
    "        while data := self.request.recv(65536):\n"
    "            self.request.sendall(sys.argv[1].encode() + b' ' + data)\n"
    "socketserver.ThreadingTCPServer.allow_reuse_address = True\n"
    "socketserver.ThreadingTCPServer((sys.argv[2], 4000), Echo).serve_forever()\n"
)


@dataclass(frozen=True)
class Network:
    """One tenant's network, as a gateway in it and a broker outside see it."""

    name: str
    broker: str  # the broker's address on the way to it
    gateway: str  # the gateway's address on that way

    @property
    def prefix(self) -> list[str]:
        """What makes a command run in it."""
        return ["ip", "netns", "exec", self.name]


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def network(number: int, said: str) -> Iterator[Network]:
    """Make a network whose desktop answers with what it is said to; take it away again."""
    name, ours, theirs = f"portico-t{number}", f"pt{number}a", f"pt{number}b"
    made = Network(name, f"10.213.{number}.1", f"10.213.{number}.2")
    _ip("netns", "del", name, check=False)
    _ip("netns", "add", name)
    desktop: subprocess.Popen[bytes] | None = None
    try:
        _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
        _ip("addr", "add", f"{made.broker}/30", "dev", ours)
        _ip("link", "set", ours, "up")
        for words in (
            ("link", "set", "lo", "up"), ("addr", "add", f"{made.gateway}/30", "dev", theirs), ("link", "set", theirs, "up"),
            ("addr", "add", f"{DESKTOP}/32", "dev", "lo"),
        ):  # fmt: skip
            _ip("-n", name, *words)
        desktop = subprocess.Popen([*made.prefix, sys.executable, "-c", ECHO, said, DESKTOP])
        yield made
    finally:
        if desktop is not None:
            desktop.kill()
            desktop.wait()
        _ip("netns", "del", name, check=False)
        _ip("link", "del", ours, check=False)
