"""The RD Gateway door between a broker double, real RDP servers, and xfreerdp."""

import signal
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import Screen, VncServer, free_port, wait_for_port, wait_until
from doubles.processes import FrontProcess, GatewayProcess
from doubles.rdp import ShadowServer
from portico.gateway import frames, tsgu

pytestmark = pytest.mark.capability("S014", "S016", "S052", "S068")


class Lab(SimpleNamespace):
    """Broker double, gateway, front, an RDP desktop, and a screen for the client."""

    broker: BrokerDouble
    gateway: GatewayProcess
    front: FrontProcess
    shadow: ShadowServer
    screen: Screen
    folder: Path
    rdgateway_port: int
    rdp_port: int

    def ticket(self, connection: str, credentials: dict[str, Any] | None = None, **policy: Any) -> str:
        """Grant a session at the RDP desktop and return a session ticket for it."""
        known = self.shadow.credentials if credentials is None else credentials
        self.broker.grant(connection, "rdp", "127.0.0.1", self.shadow.port, known, **policy)
        return self.broker.ticket(connection, "rdp", use="session")

    @contextmanager
    def client(self, ticket: str, port: int, *more: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run xfreerdp through the RD Gateway at a port."""
        log = self.folder / f"xfreerdp-{free_port()}.log"
        way = ["/v:desk.example", f"/g:127.0.0.1:{port}", "/gt:http", f"/gat:{ticket}"]
        if ticket.startswith("r."):
            way = [f"/v:127.0.0.1:{port}", f"/load-balance-info:Cookie: msts={ticket}"]
        command = [
            "xfreerdp", *way, "/cert:ignore", "/u:ignored", "/p:ignored",
            "/size:800x600", "-grab-keyboard", "/log-level:WARN", *more,
        ]  # fmt: skip
        process = subprocess.Popen(
            command, env={**self.screen.environment, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL, stdout=log.open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        process.log = log  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    def opened(self, connection: str) -> None:
        self.broker.wait_for(lambda: [e for e in self.broker.events("opened") if e["connection"] == connection], 60)

    def times(self, kind: str, connection: str, number: int) -> None:
        """Wait until a connection has opened or closed so many times."""
        self.broker.wait_for(
            lambda: len([e for e in self.broker.events(kind) if e["connection"] == connection]) >= number, 60
        )

    def closed(self, connection: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.broker.wait_for(
            lambda: [e for e in self.broker.events("closed") if e["connection"] == connection], 60
        )
        return found[-1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("rdgateway")
    broker = BrokerDouble(Authority(folder)).start()
    port, rdgateway_port = free_port(), free_port()
    rdp_port = free_port()
    listen = {"rdgateway_listen": f"127.0.0.1:{rdgateway_port}", "rdp_listen": f"127.0.0.1:{rdp_port}"}
    gateway = GatewayProcess(folder, broker, f"https://localhost:{port}", **listen)
    front = FrontProcess(folder, broker, port, gateway.port, **listen)
    gateway.start()
    front.start()
    desktop, screen = VncServer(folder / "vnc"), Screen()
    shadow = ShadowServer(folder / "shadow", desktop)
    yield Lab(
        broker=broker, gateway=gateway, front=front, shadow=shadow, screen=screen, folder=folder, rdgateway_port=rdgateway_port, rdp_port=rdp_port,
    )  # fmt: skip
    for each in (shadow, screen, desktop, front, gateway, broker):
        each.stop()


def typed(lab: Lab, text: str) -> bool:
    """Type a line and tell whether it has landed in the desktop: what is typed before the client's window stands is lost."""
    lab.screen.type_line("xfreerdp", text)
    return text in lab.shadow.proof.read_text()


def test_a_client_of_its_own_is_logged_in_through_the_front(lab: Lab) -> None:
    """xfreerdp, through the portal's own port, with a ticket and no password: the gateway does NLA, typed text lands in the desktop."""
    with lab.client(lab.ticket("native"), lab.front.port, "/sec:tls"):
        lab.opened("native")
        wait_until(
            lambda: typed(lab, "typed by xfreerdp"),
            "nothing typed",
            60,
        )
    assert lab.closed("native")["bytes_out"] > 10_000
    assert lab.shadow.password not in lab.gateway.log


def test_without_a_password_of_ours_tls_and_nla_go_end_to_end(lab: Lab) -> None:
    """The client's own log-in is checked by the desktop itself; a wrong one does not get in."""
    ticket = lab.ticket("end-to-end", {"username": "", "password": ""})
    with lab.client(ticket, lab.rdgateway_port, f"/u:{lab.shadow.username}", f"/p:{lab.shadow.password}", "/sec:nla"):
        lab.opened("end-to-end")
        wait_until(
            lambda: typed(lab, "end to end"),
            "nothing typed",
            60,
        )


def test_a_plan_without_usb_stands_between(lab: Lab) -> None:
    """The client's session is read for what the desktop wishes; without a password of ours the desktop asks for one itself."""
    with lab.client(lab.ticket("no-usb", usb=False), lab.front.port, "/sec:tls"):
        lab.opened("no-usb")
        wait_until(lambda: typed(lab, "without usb"), "nothing typed", 60)


def test_a_ticket_is_good_again_while_its_session_lives(lab: Lab) -> None:
    """A client that reconnects sends the same ticket; the broker decides whether it is still good."""
    ticket = lab.ticket("again")
    lab.broker.reusable.add("again")
    for time in (1, 2):
        with lab.client(ticket, lab.rdgateway_port, "/sec:tls"):
            lab.times("opened", "again", time)
        lab.times("closed", "again", time)


def test_a_client_without_rd_gateway_comes_by_a_routing_token(lab: Lab) -> None:
    """By the gateway's own port: the person logs in end to end, a stranger does not get in, and an end is an end."""
    token = "r.of-the-person"
    lab.ticket("routed", {"username": "", "password": ""})
    lab.broker.routing[token] = "routed"
    me = (f"/u:{lab.shadow.username}", f"/p:{lab.shadow.password}", "/sec:nla")
    with lab.client(token, lab.rdp_port, *me) as client:
        lab.opened("routed")
        wait_until(lambda: typed(lab, "by a routing token"), "nothing typed", 60)
        lab.broker.tell(kind="close", connection="routed", reason="closed.by_administrator")
        assert lab.closed("routed")["reason"] == "closed.by_administrator"
        client.wait(60)
    asked = len(lab.broker.redeemed)
    with lab.client("r.of-nobody", lab.rdp_port, *me) as client:
        client.wait(60)
    for said in (
        b"",
        b"\x03\x00\x00\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x03\x00\xff\xff" + bytes(70000),
    ):
        with socket.create_connection(("127.0.0.1", lab.rdp_port), 20) as stranger:
            stranger.sendall(said)
            stranger.settimeout(30)
            with suppress(ConnectionResetError):
                assert stranger.recv(100) == b""
    # Only what looks like a token is asked about; this client tries again with another protocol.
    assert {one["ticket"] for one in lab.broker.redeemed[asked:]} == {"r.of-nobody"}
    assert len([one for one in lab.broker.events("opened") if one["connection"] == "routed"]) == 1


def test_an_administrator_ends_it_at_once(lab: Lab) -> None:
    """The client's connection is closed when the broker says so."""
    with lab.client(lab.ticket("killed"), lab.rdgateway_port, "/sec:tls") as client:
        lab.opened("killed")
        lab.broker.tell(kind="close", connection="killed", reason="closed.by_administrator")
        assert lab.closed("killed")["reason"] == "closed.by_administrator"
        assert client.wait(30) != 0


@pytest.mark.parametrize(
    "change", [{"use": "entry"}, {"protocol": "vnc"}, {"gateway": "other"}, {"realm": "elsewhere"}]
)
def test_other_tickets_open_nothing(lab: Lab, change: dict[str, str]) -> None:
    """A browser's ticket, one for another protocol, gateway or realm: the tunnel is refused, and no broker is asked."""
    lab.ticket("refused")
    protocol = change.pop("protocol", "rdp")
    ticket = lab.broker.ticket("refused", protocol, **{"use": "session", **change})
    asked = len(lab.broker.redeemed)
    assert tunnel_status(lab, ticket) == tsgu.COOKIE_REFUSED
    assert len(lab.broker.redeemed) == asked


@pytest.mark.capability("S057")
def test_what_must_be_recorded_opens_no_tunnel(lab: Lab) -> None:
    """A client of its own is sent what the gateway does not record; where recording is not a must, it is let in."""
    for connection, mode, opens in (("must", "required", False), ("may", "on", True)):
        ticket = lab.ticket(connection)
        lab.broker.grants[connection]["recording"] = {"id": connection, "mode": mode, "key": "k", "public": "00" * 32}
        assert (tunnel_status(lab, ticket) == 0) is opens


def test_a_wrong_password_of_ours_refuses_the_channel(lab: Lab) -> None:
    """The desktop does not take what the broker gave: the client is told that access is denied."""
    ticket = lab.ticket("wrong", {"username": lab.shadow.username, "password": "wrong"})
    with tunnel(lab, ticket) as (packets, send):
        assert status(next(packets), "<HI", 1) == 0
        send(tsgu.packet(tsgu.TUNNEL_AUTH, bytes(4)))
        next(packets)
        send(tsgu.packet(tsgu.CHANNEL_CREATE, bytes(12)))
        assert status(next(packets), "<I", 0) == tsgu.ACCESS_DENIED


def status(packet: tsgu.Packet, form: str, at: int) -> int:
    return int(struct.unpack_from(form, packet.body)[at])


def tunnel_status(lab: Lab, ticket: str) -> int:
    with tunnel(lab, ticket) as (packets, _):
        return status(next(packets), "<HI", 1)


@contextmanager
def tunnel(lab: Lab, ticket: str) -> Iterator[tuple[Iterator[tsgu.Packet], Any]]:
    """Speak MS-TSGU as a client up to the tunnel request; give what comes and how to send."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", lab.rdgateway_port), 20) as plain, context.wrap_socket(plain) as stream:
        stream.settimeout(30)
        stream.sendall(
            b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: odd\r\n\r\n"
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.recv(1)
        assert b" 101 " in head

        def send(packets: bytes) -> None:
            mask = b"\1\2\3\4"
            size = struct.pack(">BBH", 0x82, 0x80 | 126, len(packets))
            stream.sendall(size + mask + frames.unmask(packets, mask))

        def receive() -> Iterator[tsgu.Packet]:
            reader = tsgu.PacketReader()
            while True:
                first = read(stream, 2)
                length = first[1] & 0x7F
                if length == 126:
                    length = int.from_bytes(read(stream, 2), "big")
                if first[0] & 0xF == frames.BINARY:
                    yield from reader.feed(read(stream, length))

        packets = receive()
        send(tsgu.packet(tsgu.HANDSHAKE_REQUEST, struct.pack("<BBHH", 1, 0, 0, 2)))
        assert next(packets).kind == tsgu.HANDSHAKE_RESPONSE
        cookie = (ticket + "\0").encode("utf-16-le")
        send(tsgu.packet(tsgu.TUNNEL_CREATE, struct.pack("<IHHH", 0x3F, 1, 0, len(cookie)) + cookie))
        yield packets, send


def read(stream: ssl.SSLSocket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.recv(count - len(data))
        assert piece, "closed"
        data += piece
    return data


@pytest.mark.parametrize(
    ("request_line", "answer"),
    [
        (b"RDG_OUT_DATA /elsewhere HTTP/1.1", b" 404 "), (b"POST /remoteDesktopGateway/ HTTP/1.1", b" 405 "),
        (b"RDG_IN_DATA /remoteDesktopGateway/ HTTP/1.1", b" 405 "), (b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1", b" 501 "),
    ],
)  # fmt: skip
def test_what_is_no_tunnel_gets_an_answer(lab: Lab, request_line: bytes, answer: bytes) -> None:
    """A wrong path, a wrong method, a client of the older transport."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", lab.rdgateway_port), 20) as plain, context.wrap_socket(plain) as stream:
        stream.sendall(request_line + b"\r\nHost: x\r\n\r\n")
        assert answer in stream.recv(4096)


def test_the_door_waits_for_nobody_for_ever(lab: Lab) -> None:
    """Who says nothing, or nonsense behind the upgrade, is sent away."""
    with tunnel(lab, lab.ticket("nonsense")) as (packets, send):
        next(packets)
        send(b"\xff" * 200)
        with pytest.raises((AssertionError, OSError)):
            while True:
                next(packets)
    wait_for_port(lab.rdgateway_port, lab.gateway._process)  # type: ignore[arg-type]
