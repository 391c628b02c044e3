"""The gateway as a process, between a broker double, real desktops and a WebSocket client."""

import json
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from joserfc.jwk import OKPKey
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import SshServer, VncServer
from doubles.processes import GatewayProcess
from portico.gateway.websocket import ABORT_SECONDS

ORIGIN = "https://portal.example"


class Lab(SimpleNamespace):
    """Broker double, gateway process, and ways in."""

    broker: BrokerDouble
    gateway: GatewayProcess
    trust: ssl.SSLContext

    def open(self, protocol: str, origin: str | None = ORIGIN, **more: Any) -> ClientConnection:
        address = f"wss://127.0.0.1:{self.gateway.port}/gw/{protocol}"
        return connect(address, ssl=self.trust, origin=origin, max_size=None, compression=None, **more).__enter__()

    def enter(self, protocol: str, ticket: str, **more: Any) -> tuple[ClientConnection, dict[str, Any]]:
        client = self.open(protocol)
        client.send(json.dumps({"ticket": ticket, **more}))
        return client, json.loads(client.recv(timeout=20))

    def refused(self, protocol: str, ticket: str) -> tuple[str, int]:
        """Return the error and the close code that a ticket meets."""
        client, answer = self.enter(protocol, ticket)
        return answer.get("error", ""), close_code(client)


def close_code(client: ClientConnection, seconds: float = 20.0) -> int:
    """Read until the gateway closes and return its code."""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            client.recv(timeout=max(0.1, end - time.monotonic()))
    except ConnectionClosed:
        return client.protocol.close_code or 0
    raise AssertionError("not closed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module")
def lab(folder: Path) -> Iterator[Lab]:
    authority = Authority(folder)
    broker = BrokerDouble(authority).start()
    gateway = GatewayProcess(folder, broker, ORIGIN)
    gateway.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    # The threaded client reads and writes one TLS object at once, which the tickets of TLS 1.3 now and then bring to a halt.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    yield Lab(broker=broker, gateway=gateway, trust=trust)
    gateway.stop()
    broker.stop()


@pytest.fixture(scope="module")
def desktop(folder: Path) -> Iterator[VncServer]:
    server = VncServer(folder / "vnc", terminal=False)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shell(folder: Path) -> Iterator[SshServer]:
    server = SshServer(folder / "ssh")
    yield server
    server.stop()


def grant_vnc(lab: Lab, desktop: VncServer, connection: str, **policy: Any) -> str:
    lab.broker.grant(connection, "vnc", "127.0.0.1", desktop.port, desktop.credentials, **policy)
    return lab.broker.ticket(connection)


class Stream:
    """The binary messages of a client as one stream of bytes."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client
        self._bytes = b""
        self.everything = b""

    def read(self, count: int) -> bytes:
        while len(self._bytes) < count:
            message = self._client.recv(timeout=20)
            if isinstance(message, bytes):
                self._bytes += message
                self.everything += message
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken


def rfb_init(client: ClientConnection) -> tuple[Stream, int, int]:
    """Go through the handshake as a browser does and return the size of the desktop."""
    stream = Stream(client)
    assert stream.read(12) == b"RFB 003.008\n"
    client.send(b"RFB 003.008\n")
    assert stream.read(2) == b"\x01\x01"
    client.send(b"\x01")
    assert stream.read(4) == bytes(4)
    client.send(b"\x01")
    width, height = struct.unpack(">HH", stream.read(4))
    stream.read(16)
    stream.read(struct.unpack(">I", stream.read(4))[0])
    return stream, width, height


@pytest.mark.capability("S015", "S057", "S031")
def test_vnc_shows_a_picture_and_the_password_stays_in_the_gateway(lab: Lab, desktop: VncServer) -> None:
    """The browser is offered security type None, gets a framebuffer update, and never sees the password or its answer."""
    client, answer = lab.enter("vnc", grant_vnc(lab, desktop, "happy"))
    assert answer["ok"] is True and answer["policy"]["clipboard_in"] is True
    stream, width, height = rfb_init(client)
    client.send(struct.pack(">BxHi", 2, 1, 0))  # Raw only
    client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16))
    assert stream.read(1) == b"\x00"
    assert (width, height) == (1024, 768)
    assert desktop.password.encode() not in stream.everything and desktop.password not in json.dumps(answer)
    lab.broker.wait_for(lambda: [event for event in lab.broker.events("opened") if event["connection"] == "happy"])
    client.close()
    closed = lab.broker.wait_for(lambda: [e for e in lab.broker.events("closed") if e["connection"] == "happy"])
    assert closed[0]["reason"] == "browser.left" and closed[0]["bytes_out"] > 1024
    assert desktop.password not in lab.gateway.log and "bearer-1" not in lab.gateway.log


@pytest.mark.capability("S015", "S057")
def test_a_line_typed_into_ssh_lands_in_a_file(lab: Lab, shell: SshServer, tmp_path: Path) -> None:
    """A certificate opens the shell, the terminal has the browser's size and follows it, and UTF-8 passes whole."""
    lab.broker.grant("shell", "ssh", "127.0.0.1", shell.port, shell.credentials)
    client, answer = lab.enter("ssh", lab.broker.ticket("shell", "ssh"), columns=101, rows=31)
    assert answer["ok"] is True
    client.send(json.dumps({"resize": [90, 20]}))
    client.send(f"printf 'héllo 漢字 ' > {tmp_path}/proof; stty size >> {tmp_path}/proof; exit 7\n".encode())
    texts, code = [], 0
    try:
        while True:
            message = client.recv(timeout=20)
            texts += [message] if isinstance(message, str) else []
    except ConnectionClosed:
        code = client.protocol.close_code or 0
    assert (tmp_path / "proof").read_text() == "héllo 漢字 20 90\n"
    assert [json.loads(text) for text in texts] == [{"exit": 7}] and code == 1000


@pytest.mark.capability("S015")
def test_a_ticket_opens_one_session(lab: Lab, desktop: VncServer) -> None:
    """The second use of a ticket is refused as used."""
    ticket = grant_vnc(lab, desktop, "once")
    client, answer = lab.enter("vnc", ticket)
    assert answer["ok"] is True
    assert lab.refused("vnc", ticket) == ("ticket.used", 4002)
    client.close()


@pytest.mark.capability("S015")
def test_bad_tickets_are_refused_before_a_broker_is_asked(lab: Lab, desktop: VncServer) -> None:
    """Forged, expired, of another gateway, realm or protocol, and plain nonsense: all are invalid."""
    grant_vnc(lab, desktop, "bad")
    past = int(time.time()) - 3600
    stranger = OKPKey.generate_key("Ed25519", parameters={"kid": "first"})
    asked = len(lab.broker.redeemed)
    for ticket in (
        lab.broker.ticket("bad", key=stranger),
        lab.broker.ticket("bad", issued=past, expires=past + 60),
        lab.broker.ticket("bad", gateway="gateway-2"),
        lab.broker.ticket("bad", realm="elsewhere"),
        lab.broker.ticket("bad", protocol="ssh"),
        "nonsense",
        "a.b.c",
    ):
        assert lab.refused("vnc", ticket) == ("ticket.invalid", 4001)
    assert len(lab.broker.redeemed) == asked


@pytest.mark.capability("S015")
def test_an_ended_assignment_refuses_its_ticket(lab: Lab) -> None:
    """The broker's word that the assignment is over reaches the browser as such."""
    assert lab.refused("vnc", lab.broker.ticket("never granted")) == ("session.ended", 4003)


@pytest.mark.capability("S015")
def test_only_our_pages_may_open_a_door(lab: Lab) -> None:
    """A foreign origin, no origin, and an unknown path are answered before any WebSocket stands."""
    for origin, path, status in (("https://evil.example", "vnc", 403), (None, "vnc", 403), (ORIGIN, "rdpx", 404)):
        with pytest.raises(InvalidStatus) as refusal:
            lab.open(path, origin)
        assert refusal.value.response.status_code == status


@pytest.mark.capability("S015")
def test_a_first_message_that_is_late_or_wrong_closes_the_door(lab: Lab) -> None:
    """Silence is ended after ten seconds; binary, junk and oversized messages at once."""
    silent = lab.open("vnc")
    for message in (b"\x00\x01", "[]", "{", '{"ticket": 5}', '{"ticket": ""}'):
        client = lab.open("vnc")
        client.send(message)
        assert json.loads(client.recv(timeout=20))["error"] == "ticket.invalid"
        assert close_code(client) == 4001
    client = lab.open("vnc")
    client.send("x" * 9000)
    assert close_code(client) == 1009
    assert json.loads(silent.recv(timeout=20))["error"] == "ticket.invalid"
    assert close_code(silent) == 4001


@pytest.mark.capability("S015", "S031")
def test_the_broker_ends_a_session_at_once(lab: Lab, desktop: VncServer) -> None:
    """A close message ends just that session, with the code of its reason."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "killed"))
    other, _ = lab.enter("vnc", grant_vnc(lab, desktop, "spared"))
    lab.broker.wait_for(lambda: [e for e in lab.broker.events("opened") if e["connection"] == "killed"])
    lab.broker.tell(kind="close", connection="killed", reason="closed.by_administrator")
    assert close_code(client) == 4006
    rfb_init(other)
    other.close()


@pytest.mark.capability("S015")
def test_opening_elsewhere_ends_the_first_window(lab: Lab, desktop: VncServer) -> None:
    """A second window of the same connection takes over, and the broker hears closed before opened."""
    first, _ = lab.enter("vnc", grant_vnc(lab, desktop, "twice"))
    second, answer = lab.enter("vnc", lab.broker.ticket("twice"))
    assert answer["ok"] is True and close_code(first) == 4007
    second.close()
    events = lab.broker.wait_for(
        lambda: (found := [e for e in lab.broker.events() if e["connection"] == "twice"]) and len(found) == 4 and found
    )
    assert [event["kind"] for event in events] == ["opened", "closed", "opened", "closed"]


@pytest.mark.capability("S050", "S015")
def test_a_session_outlives_the_broker_and_reports_arrive_late(lab: Lab, desktop: VncServer) -> None:
    """With no broker the session goes on, new ones are refused with the reason, and what happened is told later."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "survivor"))
    leaver, _ = lab.enter("vnc", grant_vnc(lab, desktop, "leaver"))
    late = grant_vnc(lab, desktop, "late")
    lab.broker.wait_for(lambda: [e for e in lab.broker.events("opened") if e["connection"] == "leaver"])
    lab.broker.stop()
    stream, _, _ = rfb_init(client)
    leaver.close()
    assert lab.refused("vnc", late) == ("broker.unreachable", 4008)
    client.send(struct.pack(">BxHi", 2, 1, 0) + struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16))
    assert stream.read(1) == b"\x00"
    lab.broker.start()
    lab.broker.wait_for(lambda: [e for e in lab.broker.events("closed") if e["connection"] == "leaver"])
    assert "survivor" in lab.broker.reports[-1]["live"] and "leaver" not in lab.broker.reports[-1]["live"]
    lab.broker.tell(kind="close", connection="survivor", reason="session.ended")
    assert close_code(client) == 4003


class Rude:
    """A desktop that says something and leaves, or says nothing."""

    def __init__(self, greeting: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._greeting = greeting
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with closing(connection), closing(self._listener):
            connection.sendall(self._greeting)
            connection.recv(12)


class Torrent:
    """A desktop without password that sends `amount` bytes as fast as it may and reads nothing."""

    def __init__(self, amount: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.amount = amount
        self.sent = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with closing(connection), closing(self._listener):
            connection.sendall(b"RFB 003.008\n\x01\x01" + bytes(4))
            heard = b""
            while len(heard) < 14:  # version, type, ClientInit
                heard += connection.recv(64)
            block = bytes(1 << 16)
            while self.sent < self.amount:
                connection.sendall(block)
                self.sent += len(block)


@pytest.mark.capability("S031")
def test_a_browser_that_does_not_read_makes_the_desktop_wait(lab: Lab) -> None:
    """The gateway holds little of a flood for a slow browser, and loses nothing of it."""
    torrent = Torrent(48 << 20)
    lab.broker.grant("slow", "vnc", "127.0.0.1", torrent.port, {"username": "", "password": ""})
    before = lab.gateway.memory_kib()
    client, _ = lab.enter("vnc", lab.broker.ticket("slow"))
    stream = Stream(client)
    stream.read(12)
    client.send(b"RFB 003.008\n\x01\x01")
    stream.read(6)
    still, end = -1, time.monotonic() + 20
    while torrent.sent != still and time.monotonic() < end:
        still = torrent.sent
        time.sleep(0.3)
    assert torrent.sent < torrent.amount, "the desktop was made to wait"
    assert lab.gateway.memory_kib() - before < 8 << 10
    received = 0
    while received < torrent.amount:
        received += len(client.recv(timeout=20))
    assert received == torrent.amount
    client.close()


@pytest.mark.capability("S015")
@pytest.mark.parametrize(
    ("greeting", "code"),
    [
        (b"RFB 003.008\n", "desktop.unreachable"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "desktop.unreachable"),
        (b"RFB 003.008\n\x00" + struct.pack(">I", 4) + b"busy", "desktop.refused"),
    ],
)
def test_a_desktop_that_breaks_off_is_named_unreachable_or_refusing(lab: Lab, greeting: bytes, code: str) -> None:
    """A desktop that closes in mid-handshake, speaks something else, or refuses gives the browser a clear code."""
    lab.broker.grant("rude", "vnc", "127.0.0.1", Rude(greeting).port, {"username": "", "password": "x"})
    assert lab.refused("vnc", lab.broker.ticket("rude"))[0] == code


@pytest.mark.capability("S015")
def test_wrong_password_and_closed_port_have_their_codes(lab: Lab, desktop: VncServer) -> None:
    """A password that the desktop refuses, and a desktop that is not there."""
    lab.broker.grant("wrong", "vnc", "127.0.0.1", desktop.port, {"username": "", "password": "not-it"})
    assert lab.refused("vnc", lab.broker.ticket("wrong")) == ("desktop.refused", 4005)
    lab.broker.grant("gone", "vnc", "127.0.0.1", 1, {"username": "", "password": "x"})
    assert lab.refused("vnc", lab.broker.ticket("gone")) == ("desktop.unreachable", 4004)


@pytest.mark.capability("S015", "S057")
def test_a_changed_host_key_is_refused(lab: Lab, shell: SshServer) -> None:
    """The host key must be the one that the grant pins; without a pin nothing is connected either."""
    foreign = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    for pins in ([foreign], []):
        credentials = {**shell.credentials, "ssh_host_keys": pins}
        lab.broker.grant("pinned", "ssh", "127.0.0.1", shell.port, credentials)
        assert lab.refused("ssh", lab.broker.ticket("pinned", "ssh")) == ("desktop.refused", 4005)


@pytest.mark.capability("S015")
def test_a_policy_without_clipboard_lets_no_text_out(lab: Lab, desktop: VncServer, folder: Path) -> None:
    """With clipboard_out off the picture still flows, but the desktop's cut text is left out."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "sealed", clipboard_out=False))
    stream, _, _ = rfb_init(client)
    open_client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "unsealed"))
    open_stream, _, _ = rfb_init(open_client)
    for each in (client, open_client):
        each.send(struct.pack(">BxHii", 2, 2, 0, 7))
        each.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 8, 8))
    assert stream.read(16)[12:16] == bytes(4), "only Raw was asked for"
    stream.read(8 * 8 * 4)
    script = "exec xterm -e sh -c 'printf \"\\033]52;c;c2VjcmV0LXRleHQ=\\007\"; sleep 20'"
    terminal = subprocess.Popen(
        [
            "sh",
            "-c",
            script.replace("xterm", "xterm -xrm 'XTerm*allowWindowOps: true' -xrm 'XTerm*disallowedWindowOps:'"),
        ],
        env={"DISPLAY": f":{desktop.display}", "PATH": "/usr/bin:/bin"},
    )
    try:
        while b"secret-text" not in open_stream.everything:
            open_stream.read(1)
        for each in (client, open_client):
            each.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 8, 8))
        assert stream.read(1) == b"\x00"
        assert b"secret-text" not in stream.everything
    finally:
        terminal.kill()
        terminal.wait()
        client.close()
        open_client.close()


@pytest.mark.capability("S031")
def test_pings_are_answered_beside_the_data(lab: Lab, desktop: VncServer) -> None:
    """The page can measure the round trip without touching the display's bytes."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "pinged"))
    rfb_init(client)
    client.send(json.dumps({"ping": 41}))
    while not isinstance(message := client.recv(timeout=20), str):
        continue
    assert json.loads(message) == {"pong": 41}
    client.close()


@pytest.mark.capability("S031")
def test_idle_and_expired_sessions_end(lab: Lab, desktop: VncServer) -> None:
    """A session that nobody uses, and one whose time is up, end with the reason."""
    idle, _ = lab.enter("vnc", grant_vnc(lab, desktop, "idle", idle_seconds=1))
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 1))
    expired, _ = lab.enter("vnc", grant_vnc(lab, desktop, "expired", expires_at=moment))
    assert close_code(idle) == 4010 and close_code(expired) == 4011


@pytest.mark.capability("S031")
def test_who_does_nothing_is_warned_and_may_stay(lab: Lab, desktop: VncServer) -> None:
    """The page is told before an idle session ends, and told again when a key saves it."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "warned", idle_seconds=8))
    rfb_init(client)

    def told() -> dict[str, Any]:
        while not isinstance(message := client.recv(timeout=20), str):
            continue
        fields: dict[str, Any] = json.loads(message)
        return fields

    assert 0 < told()["idle_in"] <= 4
    client.send(struct.pack(">BBxxI", 4, 1, 0x61))
    assert told() == {"idle_in": None}
    assert 0 < told()["idle_in"] <= 4
    assert close_code(client) == 4010


@pytest.mark.capability("S031")
def test_idle_sessions_cost_little_memory(lab: Lab, desktop: VncServer) -> None:
    """Prints what an idle session holds; the number is for people, the machine is shared."""
    before = lab.gateway.memory_kib()
    clients = []
    for number in range(20):
        client, answer = lab.enter("vnc", grant_vnc(lab, desktop, f"many-{number}"))
        assert answer["ok"] is True
        rfb_init(client)
        clients.append(client)
    print(f"\nidle WSS session: {(lab.gateway.memory_kib() - before) / len(clients):.0f} KiB")
    for client in clients:
        client.close()


@pytest.mark.capability("S031")
def test_a_restarted_gateway_says_so_and_needs_no_broker_to_start(lab: Lab, desktop: VncServer) -> None:
    """SIGTERM ends sessions with 4009; with its kept identity the gateway listens again while brokers are away."""
    client, _ = lab.enter("vnc", grant_vnc(lab, desktop, "restarted"))
    assert lab.gateway.stop() == 0
    assert close_code(client) == 4009
    assert [e for e in lab.broker.events("closed") if e["connection"] == "restarted" and e["reason"] == "draining"]
    lab.broker.stop()
    lab.gateway.start()
    ticket = grant_vnc(lab, desktop, "after")
    assert lab.refused("vnc", ticket) == ("broker.unreachable", 4008)
    lab.broker.start()
    client, answer = lab.enter("vnc", lab.broker.ticket("after"))
    assert answer["ok"] is True
    client.close()


@pytest.mark.capability("S031")
def test_a_gateway_without_a_valid_token_says_what_to_do(lab: Lab, tmp_path: Path) -> None:
    """A used token, and a CA with another fingerprint: the first ends the process with a remedy, the second is never trusted."""
    gateway = GatewayProcess(tmp_path, lab.broker, ORIGIN, gateway_token="token-used")
    stranger = GatewayProcess(tmp_path / "stranger", lab.broker, ORIGIN, ca_fingerprint="0" * 64)
    for each in (gateway, stranger):
        each.start(wait=False)
    try:
        assert gateway.wait() == 1 and "Make a new one in the console" in gateway.log
        end = time.monotonic() + 20
        while "another fingerprint" not in stranger.log and time.monotonic() < end:
            time.sleep(0.05)
        assert "another fingerprint" in stranger.log
    finally:
        statuses = [each.stop() for each in (gateway, stranger)]
    assert statuses == [1, 0]


@pytest.mark.capability("S031")
def test_who_was_sent_away_cuts_off_nobody_who_comes_later(lab: Lab) -> None:
    """A closed socket's number goes to the next browser: whatever is still planned for the old one must not touch it."""
    for _ in range(10):
        assert lab.refused("vnc", "nonsense") == ("ticket.invalid", 4001)
    waiting = [
        lab.open("vnc") for _ in range(10)
    ]  # they take the numbers of those who left, and stay silent for a while
    end = time.monotonic() + ABORT_SECONDS + 1
    while time.monotonic() < end:
        lab.open("vnc").close()
    for client in waiting:
        client.send(json.dumps({"ticket": "nonsense"}))
        assert json.loads(client.recv(timeout=20))["error"] == "ticket.invalid"
