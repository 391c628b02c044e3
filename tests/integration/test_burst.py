"""A crowd at the gateway's door: people come in meanwhile, and no socket of the crowd is left afterwards."""

import resource
import selectors
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.test_gateway import ORIGIN, Lab, grant_vnc, rfb_init

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import VncServer, wait_until
from doubles.processes import GatewayProcess

pytestmark = pytest.mark.capability("S014", "S057")
CROWD = 5000
STEP = 500


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    authority = Authority(tmp_path)
    broker = BrokerDouble(authority).start()
    gateway = GatewayProcess(tmp_path, broker, ORIGIN, forward_listen="")
    gateway.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    yield Lab(broker=broker, gateway=gateway, trust=trust, folder=tmp_path)
    gateway.stop()
    broker.stop()


def descriptors(lab: Lab) -> int:
    """Return how many files and sockets the gateway has open."""
    assert lab.gateway._process is not None
    return sum(1 for _ in Path(f"/proc/{lab.gateway._process.pid}/fd").iterdir())


def come(port: int, number: int) -> list[socket.socket]:
    """Connect so many at once, and wait until all are connected."""
    waiting = selectors.DefaultSelector()
    made = []
    for _ in range(number):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
        waiting.register(one, selectors.EVENT_WRITE)
        made.append(one)
    while waiting.get_map():
        ready = waiting.select(30)
        assert ready, "the door is shut"
        for key, _ in ready:
            waiting.unregister(key.fileobj)
    waiting.close()
    return made


def knock(lab: Lab) -> list[socket.socket]:
    """Bring the crowd: some say nothing, some say nonsense, some hang up at once."""
    crowd: list[socket.socket] = []
    while len(crowd) < CROWD:
        step = come(lab.gateway.port, STEP)
        for number, one in enumerate(step):
            if number % 3 == 1:
                one.send(b"GET / HTTP/1.1\r\nnonsense in place of TLS\r\n\r\n")
            elif number % 3 == 2:
                one.close()
        crowd += step
    return crowd


def test_a_crowd_at_the_door_keeps_nobody_out_and_leaves_no_socket(lab: Lab) -> None:
    """The next person works meanwhile, and all sockets are given back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    desktop = VncServer(lab.folder / "vnc", terminal=False)
    before, memory = descriptors(lab), lab.gateway.memory_kib()
    try:
        crowd = knock(lab)
        client, answer = lab.enter("vnc", grant_vnc(lab, desktop, "c-1"))
        assert answer["ok"]
        rfb_init(client)
        client.close()
        most = lab.gateway.memory_kib() - memory
        for one in crowd:
            one.close()
        wait_until(lambda: descriptors(lab) <= before + 5, "the crowd's sockets are closed", 60)
        left = most // 3
        wait_until(lambda: lab.gateway.memory_kib() - memory <= left, f"the memory of {most} KiB is given back", 60)
    finally:
        desktop.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "[error" not in lab.gateway.log


def test_who_says_nothing_at_all_is_not_waited_for(lab: Lab) -> None:
    """Not even for the beginning of TLS: the socket is given back within the time that a handshake may take."""
    silent = come(lab.gateway.port, 20)
    for one in silent:
        one.setblocking(True)
        one.settimeout(60)
        assert one.recv(1) == b""
        one.close()
