"""What a browser's session costs a gateway beside HAProxy's TLS alone, in the same run: CPU for each gigabit, memory when idle."""

import json
import resource
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.bench.forwarding import MEBIBYTES, ROUNDS, memory_kib, running
from tests.bench.machine import cpu_seconds, free_port, table

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.processes import GatewayProcess

IDLE = 5000
ORIGIN = "https://portal.example"
GOALS = "Goals: at most 1.4 of HAProxy's TLS, aim 1.0; an idle session at most 64 KiB."


def report() -> str:
    """Measure and return the table."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-bench-")))
        authority = Authority(folder)
        plain, rfb = stack.enter_context(Desktop(rfb=False)), stack.enter_context(Desktop(rfb=True))
        broker = BrokerDouble(authority).start()
        stack.callback(broker.stop)
        gateway = GatewayProcess(folder, broker, ORIGIN, trusted_proxies="127.0.0.1")
        gateway.start()
        stack.callback(gateway.stop)
        pid, port = stack.enter_context(_haproxy(folder, authority, plain.port))
        ours = Gateway(broker, gateway, rfb.port, trust(authority))
        wss = min(ours.stream() for _ in range(ROUNDS))
        tls = min(_stream(pid, secured(port, trust(authority)), b"g") for _ in range(ROUNDS))
        idle, its = ours.idle(), _idle_tls(pid, port, trust(authority))
    rows = [
        ("WSS against TLS, desktop to client, CPU s for each Gbit", wss, "HAProxy, TLS", tls, wss / tls),
        (f"memory of an idle session at {IDLE:,}, KiB", idle, "HAProxy, TLS", its, idle / its),
    ]
    return table("Sessions in the browser", ("what", "Portico", "yardstick", "its", "ratio"), rows) + f"\n{GOALS}\n"


def trust(authority: Authority) -> ssl.SSLContext:
    """Return the client's TLS: one cipher, so that both are asked for the same work."""
    context = ssl.create_default_context(cafile=str(authority.path))
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256")
    return context


def secured(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect under TLS."""
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port)))


class Desktop:
    """A desktop's port that sends MEBIBYTES to whoever says "g" and keeps the others waiting, `rfb`: behind a VNC handshake."""

    def __init__(self, *, rfb: bool) -> None:
        self._rfb = rfb

    def __enter__(self) -> "Desktop":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        for one in (self._listener, *self._waiting):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._waiting.append(client)
            if (
                self._rfb
            ):  # all that a server says in a handshake without a password; what the client says is not waited for
                client.sendall(b"RFB 003.008\n")
                client.recv(12)
                client.sendall(b"\x01\x01")
                client.recv(1)
                client.sendall(bytes(4))
            if len(self._waiting) < 50:
                threading.Thread(target=self._send, args=(client,), daemon=True).start()

    def _send(self, client: socket.socket) -> None:
        block = bytes(1 << 20)
        try:
            if client.recv(64)[-1:] == b"g":
                for _ in range(MEBIBYTES):
                    client.sendall(block)
                client.close()
        except OSError:
            return


class Gateway:
    """A gateway with its broker, and ways in for browsers of many addresses."""

    def __init__(self, broker: BrokerDouble, process: GatewayProcess, target: int, context: ssl.SSLContext) -> None:
        self._broker, self._process, self._target, self._context = broker, process, target, context
        self._number = 0

    def stream(self) -> float:
        """Return CPU seconds for each Gbit to one browser."""
        return _stream(self._process.pid, self.enter("stream"), masked(b"\x01g", 2))

    def idle(self) -> float:
        """Return the KiB of a session that nothing crosses."""
        before, end = memory_kib(self._process.pid), monotonic() + 300
        with ThreadPoolExecutor(8) as workers:
            clients = list(workers.map(lambda number: self.enter(f"idle-{number}"), range(IDLE)))
        while monotonic() < end and len([*Path(f"/proc/{self._process.pid}/fd").iterdir()]) < 2 * IDLE:
            sleep(0.1)
        sleep(1)
        grown = memory_kib(self._process.pid) - before
        for client in clients:
            client.close()
        return grown / IDLE

    def enter(self, name: str) -> ssl.SSLSocket:
        """Open a session as a browser does, up to where the desktop's bytes begin."""
        self._broker.grant(name, "vnc", "127.0.0.1", self._target, {"username": "", "password": ""})
        ticket = self._broker.ticket(name)
        self._number += 1
        client = secured(self._process.port, self._context)
        host = f"10.{self._number >> 16 & 255}.{self._number >> 8 & 255}.{self._number & 255}"
        client.sendall(
            f"GET /gw/vnc HTTP/1.1\r\nHost: portal.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: {ORIGIN}\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nX-Forwarded-For: {host}\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        assert head.startswith(b"HTTP/1.1 101"), head
        client.sendall(masked(json.dumps({"ticket": ticket}).encode(), 1))
        rest = head.partition(b"\r\n\r\n")[2]
        for wanted, said in ((b"RFB 003.008\n", b"RFB 003.008\n"), (b"\x01\x01", b"\x01"), (bytes(4), b"")):
            while wanted not in rest:
                piece = client.recv(4096)
                assert piece, rest
                rest += piece
            rest = rest.partition(wanted)[2]
            if said:
                client.sendall(masked(said, 2))
        return client


def masked(data: bytes, kind: int) -> bytes:
    """Return a frame of a client (RFC 6455, section 5.2) with a mask of zeros."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([0x80 | kind]) + length + bytes(4) + data


def _stream(pid: int, client: ssl.SSLSocket, go: bytes) -> float:
    before = cpu_seconds(pid)
    with closing(client):
        client.sendall(go)
        buffer, left = bytearray(1 << 20), MEBIBYTES << 20
        while left > 0:
            got = client.recv_into(buffer)
            assert got, f"{left} bytes are missing"
            left -= got
    sleep(0.1)
    return (cpu_seconds(pid) - before) / (MEBIBYTES * 8 / 1024)


def _idle_tls(pid: int, port: int, context: ssl.SSLContext) -> float:
    before = memory_kib(pid)
    with ThreadPoolExecutor(8) as workers:
        clients = list(workers.map(lambda number: secured(port, context), range(IDLE)))
    sleep(1)
    grown = memory_kib(pid) - before
    for client in clients:
        client.close()
    return grown / IDLE


@contextmanager
def _haproxy(folder: Path, authority: Authority, target: int) -> Iterator[tuple[int, int]]:
    certificate, key = authority.issue("haproxy", "127.0.0.1")
    both, path, port = folder / "haproxy.pem", folder / "haproxy.cfg", free_port()
    both.write_text(certificate.read_text("ascii") + key.read_text("ascii"), "ascii")
    path.write_text(
        f"global\n nbthread 1\n maxconn 6000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
        f"listen l\n bind 127.0.0.1:{port} ssl crt {both}\n server s 127.0.0.1:{target}\n"
    )
    with running(["haproxy", "-db", "-f", str(path)], port) as found:
        yield found


if __name__ == "__main__":
    print(report())
