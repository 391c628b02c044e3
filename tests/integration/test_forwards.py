"""Ways for clients of protocols of their own: the gateway as a process, real TCP and UDP traffic from several addresses of loopback."""

import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import SshServer, free_port, wait_until
from doubles.processes import GatewayProcess

pytestmark = pytest.mark.capability("S014", "S016", "S031", "S068")
MODES = ("same_port", "random_filtered", "random_open")
PERSON, STRANGER = "127.0.0.21", "127.0.0.22"
SPAN = range(20001, 23001)


class Echo:
    """A desktop's port on TCP and UDP: what comes is sent back with its host's name before it."""

    def __init__(self, host: str, port: int) -> None:
        name = host.encode() + b" "

        class Stream(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while data := self.request.recv(65536):
                    self.request.sendall(name + data)

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, answer = self.request
                answer.sendto(name + data, self.client_address)

        self.host, self.port = host, port
        self.servers = (
            socketserver.ThreadingTCPServer((host, port), Stream),
            socketserver.ThreadingUDPServer((host, port), Datagram),
        )
        for server in self.servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        for server in self.servers:
            server.shutdown()
            server.server_close()


class Lab:
    """Broker double, gateway process, two desktops on one port number."""

    def __init__(self, folder: Path) -> None:
        self.broker = BrokerDouble(Authority(folder)).start()
        self.gateway = GatewayProcess(folder, self.broker, "https://portal.example", forward_listen="127.0.0.1")
        self.gateway.start()
        port = free_port()
        self.desktop, self.other = Echo("127.0.0.31", port), Echo("127.0.0.32", port)

    def stop(self) -> None:
        self.desktop.stop()
        self.other.stop()
        self.gateway.stop()
        self.broker.stop()

    def ask(self, connection: str, mode: str, **more: Any) -> None:
        """Ask for a forward as a broker does."""
        known = {
            "client": PERSON, "host": self.desktop.host, "realm": "default", "fixed": False, "idle_seconds": None, "expires_at": None,
            "targets": [["tcp", self.desktop.port], ["udp", self.desktop.port]],
        }  # fmt: skip
        self.broker.tell(kind="forward", connection=connection, mode=mode, **{**known, **more})

    def forward(self, connection: str, mode: str, **more: Any) -> int:
        """Ask, and return the gateway's port for the desktop's first."""
        self.ask(connection, mode, **more)
        return int(self.told("listening", connection)["ports"][0][1])

    def told(self, kind: str, connection: str, number: int = 0) -> dict[str, Any]:
        """Wait for an event of a connection; `number` of them may have come before."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [one for one in self.broker.events(kind) if one["connection"] == connection]
            return len(found) > number

        self.broker.wait_for(look)
        return found[number]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("forwards"))
    yield made
    made.stop()


def tcp(port: int, source: str = PERSON) -> socket.socket:
    """Connect to the gateway from an address."""
    return socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))


def says(client: socket.socket, text: bytes) -> bytes:
    """Send and return all that the answer's length asks for; nothing if the other side left."""
    client.sendall(text)
    want, got = len(b"127.0.0.31 ") + len(text), b""
    with suppress(ConnectionError):
        while len(got) < want and (piece := client.recv(65536)):
            got += piece
    return got


def udp(port: int, text: bytes, source: str = PERSON, seconds: float = 5.0) -> bytes:
    """Send a datagram from an address and return the answer; nothing if there is none in time."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.bind((source, 0))
        client.settimeout(seconds)
        client.connect(("127.0.0.1", port))
        with suppress(OSError):
            client.send(text)
            return client.recv(65536)
    return b""


def refused(port: int, source: str) -> bool:
    """Whether an address is cut off, or meets nobody, at a port."""
    try:
        with closing(tcp(port, source)) as client:
            return says(client, b"let me in") == b""
    except OSError:
        return True


@pytest.mark.capability("S053", "S054", "S055", "S056")
@pytest.mark.parametrize("mode", MODES)
def test_a_forward_carries_tcp_and_udp_and_refuses_a_stranger(lab: Lab, mode: str) -> None:
    """In each compatibility mode, until it is closed; then its port is nobody's."""
    port = lab.forward(f"c-{mode}", mode)
    assert port == lab.desktop.port if mode == "same_port" else port in SPAN
    with closing(tcp(port)) as client:
        assert says(client, b"hello") == b"127.0.0.31 hello"
        assert udp(port, b"datagram") == b"127.0.0.31 datagram"
        assert refused(port, STRANGER)
        assert udp(port, b"stranger", STRANGER, 0.3) == b""
        assert says(client, b"still there") == b"127.0.0.31 still there"
        lab.told("opened", f"c-{mode}")
        lab.broker.tell(kind="close", connection=f"c-{mode}", reason="session.ended")
        event = lab.told("closed", f"c-{mode}")
        assert event["reason"] == "session.ended" and event["bytes_in"] == len(b"hellodatagramstill there")
        with suppress(ConnectionError):
            assert client.recv(10) == b""
    assert refused(port, PERSON) and udp(port, b"too late", seconds=0.3) == b""


def test_two_people_share_the_port_of_their_desktops(lab: Lab) -> None:
    """Their addresses tell them apart; two behind one address cannot be told apart, so the second gets another port."""
    first = lab.forward("two-1", "same_port")
    second = lab.forward("two-2", "same_port", client=STRANGER, host=lab.other.host)
    third = lab.forward("two-3", "same_port", host=lab.other.host)
    assert first == second == lab.desktop.port and third in SPAN
    with closing(tcp(first)) as one, closing(tcp(second, STRANGER)) as two, closing(tcp(third)) as three:
        assert says(one, b"1") == b"127.0.0.31 1"
        assert says(two, b"2") == b"127.0.0.32 2"
        assert says(three, b"3") == b"127.0.0.32 3"
    assert udp(first, b"u") == b"127.0.0.31 u" and udp(second, b"u", STRANGER) == b"127.0.0.32 u"
    lab.ask("two-4", "same_port", fixed=True)
    assert lab.told("closed", "two-4")["reason"] == "forward.port_taken"
    for connection in ("two-1", "two-2", "two-3"):
        lab.broker.tell(kind="close", connection=connection, reason="session.ended")
        lab.told("closed", connection)


def test_a_port_without_filter_is_for_whoever_comes_first(lab: Lab) -> None:
    """So that a stranger who finds the port later meets nobody."""
    port = lab.forward("first", "random_open", client=PERSON)
    with closing(tcp(port, STRANGER)) as client:
        assert says(client, b"roaming") == b"127.0.0.31 roaming"
    assert refused(port, PERSON)
    lab.broker.tell(kind="close", connection="first", reason="closed.by_administrator")
    assert lab.told("closed", "first")["reason"] == "closed.by_administrator"


def test_megabytes_cross_both_ways_and_a_half_close_is_passed_on(lab: Lab) -> None:
    """What waits in a pipe when the receiver is slow arrives in the end, in order."""
    content = bytes(range(256)) * 40_000

    class Counting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            total = b""
            while data := self.request.recv(1 << 20):
                total += data
            self.request.sendall(total[::-1])  # only after the client has said all

    with socketserver.ThreadingTCPServer(("127.0.0.33", 0), Counting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = lab.forward("bulk", "random_filtered", host="127.0.0.33", targets=[["tcp", server.server_address[1]]])
        with closing(tcp(port)) as client:
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            got = b""
            while piece := client.recv(1 << 16):
                got += piece
        server.shutdown()
    assert got == content[::-1]
    lab.broker.tell(kind="close", connection="bulk", reason="session.ended")
    assert lab.told("closed", "bulk")["bytes_out"] == len(content)


def test_a_forward_ends_with_its_time_and_when_it_is_idle(lab: Lab) -> None:
    """By the policy that came with it, whatever the broker does meanwhile."""
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    lab.forward("timed", "random_filtered", expires_at=soon)
    port = lab.forward("idle", "random_filtered", idle_seconds=1)
    with closing(tcp(port)) as client:
        assert says(client, b"x") == b"127.0.0.31 x"
        assert lab.told("closed", "idle")["reason"] == "idle"
    assert lab.told("closed", "timed")["reason"] == "time.up"


def test_what_cannot_be_forwarded_says_why(lab: Lab) -> None:
    """A foreign realm, a name without address, a port that another program has; nonsense is passed over."""
    lab.ask("foreign", "random_open", realm="elsewhere")
    assert lab.told("closed", "foreign")["reason"] == "forward.no_address"
    lab.ask("unknown", "random_open", host="no-such-host.invalid")
    assert lab.told("closed", "unknown")["reason"] == "forward.no_address"
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        lab.ask("taken", "same_port", fixed=True, targets=[["tcp", number]])
        assert lab.told("closed", "taken")["reason"] == "forward.port_taken"
    for nonsense in (
        {"targets": []},
        {"targets": [["icmp", 1]]},
        {"mode": "all"},
        {"client": "nobody"},
        {"ports": [1, 2, 3]},
    ):
        lab.ask("nonsense", **{"mode": "random_open", **nonsense})
    lab.ask("after", "random_filtered")
    lab.told("listening", "after")
    assert not [event for event in lab.broker.events() if event["connection"] == "nonsense"]


def test_a_desktop_that_does_not_answer_cuts_the_client_off_and_the_way_stays(lab: Lab) -> None:
    """Its machine may be starting: the person tries again."""
    number = free_port()
    port = lab.forward("booting", "random_filtered", host="127.0.0.34", targets=[["tcp", number]])
    assert refused(port, PERSON)
    desktop = Echo("127.0.0.34", number)
    with closing(tcp(port)) as client:
        assert says(client, b"now") == b"127.0.0.31 now".replace(b".31", b".34")
    desktop.stop()
    lab.broker.tell(kind="close", connection="booting", reason="session.ended")
    lab.told("closed", "booting")


@pytest.mark.capability("S050")
def test_ssh_of_the_device_works_through_a_forward(lab: Lab, tmp_path: Path) -> None:
    """The client that every system has, with the desktop's own key at the end."""
    server = SshServer(tmp_path)
    try:
        port = lab.forward("ssh", "random_filtered", host="127.0.0.1", targets=[["tcp", server.port]])
        login = server.credentials
        key, certificate = tmp_path / "login", tmp_path / "login-cert.pub"
        for path, text in ((key, login["ssh_key"]), (certificate, login["ssh_certificate"])):
            path.write_text(f"{text.strip()}\n")
            path.chmod(0o600)
        options = ("StrictHostKeyChecking=no", f"UserKnownHostsFile={tmp_path}/hosts", f"BindAddress={PERSON}")
        command = ["ssh", "-F", "/dev/null", "-p", str(port), "-i", str(key)]
        command += [part for one in options for part in ("-o", one)]
        command += [f"{login['username']}@127.0.0.1", "echo through the gateway"]
        run = subprocess.run(command, capture_output=True, timeout=60, text=True)
        assert "through the gateway" in run.stdout, run.stderr
    finally:
        server.stop()


def test_a_gateway_that_starts_anew_opens_the_same_ports_again(lab: Lab) -> None:
    """The broker asks again with the ports of before, so that a client's own reconnect finds its way."""
    port = lab.forward("again", "random_filtered")
    with closing(tcp(port)) as client:
        assert says(client, b"before") == b"127.0.0.31 before"
        before = lab.broker.reports[-1]["boot_id"]
        lab.gateway.stop(9)
        lab.gateway.start()
    lab.broker.wait_for(lambda: lab.broker.reports[-1]["boot_id"] != before)
    lab.ask("again", "random_filtered", ports=[port])
    # What was asked before may be read again first, and lead to other ports until the newer word is read.
    again = [[lab.desktop.port, port]]
    lab.broker.wait_for(
        lambda: (
            lab.broker.reports[-1]["boot_id"] != before
            and any(
                event["connection"] == "again" and event["ports"] == again
                for report in lab.broker.reports
                if report["boot_id"] != before
                for event in report["events"]
                if event["kind"] == "listening"
            )
        )
    )
    with closing(tcp(port)) as client:
        assert says(client, b"after") == b"127.0.0.31 after"
    # Said goodbye to politely it tells no end: the broker decides what still counts.
    lab.gateway.stop()
    assert not [event for event in lab.broker.events("closed") if event["connection"] == "again"]
    lab.gateway.start()


def test_idle_connections_are_cheap_and_strangers_leave_nothing(lab: Lab) -> None:
    """A thousand that wait, and as many strangers: the memory of one is a few KiB, and it is given back."""
    port = lab.forward("many-0", "random_filtered")
    lab.ask("warm", "random_filtered")
    lab.told("listening", "warm")
    for number in range(1, 17):
        lab.ask(f"many-{number}", "random_filtered")
    ports = [port, *(int(lab.told("listening", f"many-{number}")["ports"][0][1]) for number in range(1, 17))]
    before = lab.gateway.memory_kib()
    clients = [tcp(one) for one in ports for _ in range(60)]
    for client in clients[::60]:
        assert says(client, b"x")
    assert all(refused(port, STRANGER) for _ in range(200))
    grown = lab.gateway.memory_kib() - before
    assert grown < 16 * len(clients), f"{grown} KiB for {len(clients)}"
    for client in clients:
        client.close()
    for number in range(17):
        lab.broker.tell(kind="close", connection=f"many-{number}", reason="session.ended")
        lab.told("closed", f"many-{number}")
    wait_until(lambda: refused(port, PERSON), "the ports are closed")
