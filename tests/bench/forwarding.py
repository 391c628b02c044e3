"""What a gateway's forwards cost beside HAProxy and nginx, in the same run: CPU for each gigabit and datagram, memory when idle."""

import asyncio
import resource
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic, sleep

from tests.bench.machine import ROOT, cpu_seconds, free_port, table

MEBIBYTES = 512
DATAGRAMS, SIZE, IN_FLIGHT = 60_000, 1200, 64
IDLE = 5000
ROUNDS = 3
GOALS = "Goals: TCP at most 0.6 of HAProxy, UDP at most 2.5 of nginx, an idle forward at most 5 KiB."


def report() -> str:
    """Measure and return the table."""
    with Desktop() as desktop, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-bench-")))
        ours = stack.enter_context(_gateway(desktop.port))
        proxies = {"Portico": ours, "HAProxy": stack.enter_context(_haproxy(folder, desktop.port))}
        tcp = {name: min(_tcp(pid, port) for _ in range(ROUNDS)) for name, (pid, port) in proxies.items()}
        nginx = stack.enter_context(_nginx(folder, desktop.port))
        udp = {
            name: min(_udp(pid, port) for _ in range(ROUNDS))
            for name, (pid, port) in (("Portico", ours), ("nginx", nginx))
        }
        idle = {name: _idle(pid, port) for name, (pid, port) in proxies.items()}
    rows = [
        (
            "TCP, desktop to client, CPU s for each Gbit",
            tcp["Portico"],
            "HAProxy",
            tcp["HAProxy"],
            tcp["Portico"] / tcp["HAProxy"],
        ),
        ("UDP, CPU µs for each datagram", udp["Portico"], "nginx", udp["nginx"], udp["Portico"] / udp["nginx"]),
        (
            f"memory of an idle TCP connection at {IDLE:,}, KiB",
            idle["Portico"],
            "HAProxy",
            idle["HAProxy"],
            idle["Portico"] / idle["HAProxy"],
        ),
    ]
    return table("Forwards", ("what", "Portico", "yardstick", "its", "ratio"), rows) + f"\n{GOALS}\n"


class Desktop:
    """A desktop's port: TCP sends MEBIBYTES to whoever says so and keeps the others waiting; UDP echoes."""

    def __enter__(self) -> "Desktop":
        self._tcp, self._udp = (
            socket.create_server(("127.0.0.1", 0), backlog=4096),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        )
        self.port = self._tcp.getsockname()[1]
        self._udp.bind(("127.0.0.1", self.port))
        self._waiting: list[socket.socket] = []
        for work in (self._accept, self._echo):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        for one in (self._tcp, self._udp, *self._waiting):
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._tcp.accept()
            except OSError:
                return
            self._waiting.append(client)
            threading.Thread(target=self._send, args=(client,), daemon=True).start() if len(
                self._waiting
            ) < 50 else None

    def _send(self, client: socket.socket) -> None:
        block = bytes(1 << 20)
        if client.recv(1) == b"g":
            for _ in range(MEBIBYTES):
                client.sendall(block)
        client.close()

    def _echo(self) -> None:
        while True:
            try:
                self._udp.sendto(*self._udp.recvfrom(65536))
            except OSError:
                return


def _tcp(pid: int, port: int) -> float:
    before = cpu_seconds(pid)
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        client.sendall(b"g")
        buffer, left = bytearray(1 << 20), MEBIBYTES << 20
        while left:
            left -= client.recv_into(buffer)
    sleep(0.1)
    return (cpu_seconds(pid) - before) / (MEBIBYTES * 8 / 1024)


def _udp(pid: int, port: int) -> float:
    before, data, got = cpu_seconds(pid), bytes(SIZE), 0
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(0.5)
        sent = 0
        while got < DATAGRAMS:
            while sent - got < IN_FLIGHT and sent < DATAGRAMS:
                client.send(data)
                sent += 1
            try:
                client.recv(65536)
                got += 1
            except TimeoutError:  # what was lost is sent again
                sent = got
    return (cpu_seconds(pid) - before) / (DATAGRAMS * 2) * 1e6


def _idle(pid: int, port: int) -> float:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before, clients = memory_kib(pid), []
    for _ in range(IDLE):
        clients.append(socket.create_connection(("127.0.0.1", port)))
    end = monotonic() + 30
    while monotonic() < end and len([*Path(f"/proc/{pid}/fd").iterdir()]) < 2 * IDLE:
        sleep(0.1)
    grown = memory_kib(pid) - before
    for client in clients:
        client.close()
    return grown / IDLE


def memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


@contextmanager
def running(command: list[str], port: int) -> Iterator[tuple[int, int]]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = monotonic() + 20
    try:
        while monotonic() < end and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            sleep(0.05)
        else:
            raise RuntimeError(f"{command[0]} did not start")
        sleep(0.5)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(15)


@contextmanager
def _gateway(target: int) -> Iterator[tuple[int, int]]:
    port = free_port()
    with running([sys.executable, "-m", "tests.bench.forwarding", str(port), str(target)], port) as found:
        yield found


@contextmanager
def _haproxy(folder: Path, target: int) -> Iterator[tuple[int, int]]:
    port, path = free_port(), folder / "haproxy.cfg"
    path.write_text(
        f"global\n nbthread 1\n maxconn 8000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n"
        f"listen l\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{target}\n"
    )
    with running(["haproxy", "-db", "-f", str(path)], port) as found:
        yield found


@contextmanager
def _nginx(folder: Path, target: int) -> Iterator[tuple[int, int]]:
    port, path = free_port(), folder / "nginx.conf"
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    load = f"load_module {module};\n" if module.exists() else ""
    path.write_text(
        f"{load}daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{ worker_connections 8000; }}\n"
        f"stream {{ server {{ listen 127.0.0.1:{port} udp; proxy_pass 127.0.0.1:{target}; proxy_timeout 60s; }}\n"
        f"server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{target}; }} }}\n"
    )
    with running(["nginx", "-c", str(path), "-p", str(folder)], port) as found:
        yield found


async def _serve(port: int, target: int) -> None:
    """Run one forward of TCP and UDP, as a gateway does."""
    from portico.gateway import forwards
    from portico.gateway.order import FILTERED, Order

    forwards.MAX_CONNECTIONS = 2 * IDLE
    place = forwards.Forwards("127.0.0.1", (port, port), lambda kind, forward, reason: None)
    place.take(
        Order(
            "bench",
            "127.0.0.1",
            "127.0.0.1",
            "",
            FILTERED,
            (("tcp", target), ("udp", target)),
            False,
            (port,),
            None,
            None,
        )
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
