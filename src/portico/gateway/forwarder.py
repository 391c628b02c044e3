"""The front: the one listener where no load balancer stands. `/gw/` goes to the gateway without cookies, all else to a broker.

It terminates TLS and reads HTTP, and no protocol besides; a plain HTTP request on its port is sent to HTTPS.
"""

import asyncio
import contextlib
import socket as sockets
import ssl
from collections import Counter
from pathlib import Path

from portico import logs
from portico.config import Config
from portico.errors import Invalid, Unavailable
from portico.gateway import files, front_headers, front_pages
from portico.gateway.app import bound_port, run_until_signal, split_listen
from portico.gateway.certificates import Certificates
from portico.gateway.front_broker import CHUNK, Brokers
from portico.gateway.front_exchange import Exchange
from portico.gateway.trust import Trust, split_urls

log = logs.get(__name__)

FIRST_BYTE_SECONDS = 10.0
TLS_HANDSHAKE_SECONDS = 10.0
PLAIN_SECONDS = 5.0
GATEWAY_SECONDS = 5.0
STOP_SECONDS = 2.0
MAX_CONNECTIONS = 8192
MAX_FROM_ONE_ADDRESS = 1024  # a whole office may stand behind one
MAX_PLAIN_HEAD = 8 * 1024
TLS_HANDSHAKE_RECORD = b"\x16"


def run_front(config: Config) -> int:
    """Run the forwarder until SIGTERM or SIGINT and return the exit status."""
    logs.configure(config.log_format, config.log_level)

    async def main(stop: asyncio.Event) -> None:
        front = Front(config)
        await front.start()
        await stop.wait()
        await front.stop()

    return run_until_signal(main)


def certificate_files(config: Config) -> tuple[Path, Path]:
    """Return the PEM files of certificate and key: those given, else those that the broker wrote into the state folder."""
    if config.front_certificate != Path():
        return config.front_certificate, config.front_key
    return config.state / "front" / "cert.pem", config.state / "front" / "key.pem"


class Front:
    """One forwarder: what `portico front` runs, and what tests start within themselves."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._certificates = Certificates(*certificate_files(config))
        self._context = self._certificates.context()
        self._trust = Trust(config.ca_fingerprint, config.state / "front" / "ca.pem")
        self._brokers = Brokers(config.broker_url, self._trust)
        self._hsts = front_headers.wants_hsts(config.public_url)
        self._gateway = _reachable(split_listen(config.gateway_listen, "gateway_listen"))
        rdgateway = config.rdgateway_listen
        self._rdgateway = _reachable(split_listen(rdgateway, "rdgateway_listen")) if rdgateway else None
        self._connections: set[asyncio.Task[None]] = set()
        self._addresses: Counter[str] = Counter()
        self._listener: sockets.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen. Raises Invalid."""
        host, port = split_listen(self._config.front_listen, "front_listen")
        try:
            family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
            self._listener = sockets.create_server((host, port), family=family, backlog=1024)
        except OSError as problem:
            raise Invalid(f"Cannot listen on {self._config.front_listen}: {problem.strerror or problem}") from problem
        self._listener.setblocking(False)
        self.port = bound_port(self._listener)
        self._accepting = asyncio.create_task(self._accept(self._listener))
        self._following = asyncio.create_task(self._certificates.follow())
        log.info("front listening", address=self._config.front_listen, public_url=self._config.public_url)

    async def stop(self) -> None:
        """Take no more connections, give those that are there a moment, and close them."""
        for task in (self._accepting, self._following):
            if task is not None:
                task.cancel()
        if self._listener is not None:
            self._listener.close()
        for connection in self._connections:
            connection.cancel()
        if self._connections:
            await asyncio.wait(self._connections, timeout=STOP_SECONDS)
        self._brokers.close()
        log.info("front stopped")

    async def _accept(self, listener: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as problem:  # out of file descriptors: those in use will come back
                log.warning("cannot accept", because=problem.strerror)
                await asyncio.sleep(0.1)
                continue
            address = str(peer[0])
            if len(self._connections) >= MAX_CONNECTIONS or self._addresses[address] >= MAX_FROM_ONE_ADDRESS:
                connection.close()
                continue
            self._addresses[address] += 1
            task = asyncio.create_task(self._serve(connection, address))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

    async def _serve(self, connection: sockets.socket, address: str) -> None:
        handed_over = False
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                first = await _peek(connection)
            if first == TLS_HANDSHAKE_RECORD:
                handed_over = True  # the transport closes it
                await self._serve_tls(connection)
            elif first:
                await self._redirect(connection)
        except (OSError, TimeoutError, ssl.SSLError):
            pass  # Whoever knocks and leaves is no event; the listener of a public address sees thousands a day.
        except Exception:
            log.exception("a connection failed", client=address)
        finally:
            if not handed_over:
                connection.close()
            self._addresses[address] -= 1
            if self._addresses[address] <= 0:
                del self._addresses[address]

    async def _serve_tls(self, connection: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await Exchange(reader, writer, self._brokers, self._open_gateway, self._open_rdgateway, self._hsts).run()
        finally:
            await _close(writer)

    async def _redirect(self, connection: sockets.socket) -> None:
        loop = asyncio.get_running_loop()
        head = b""
        async with asyncio.timeout(PLAIN_SECONDS):
            while b"\r\n\r\n" not in head and len(head) < MAX_PLAIN_HEAD:
                data = await loop.sock_recv(connection, 2048)
                if not data:
                    return
                head += data
            await loop.sock_sendall(connection, front_pages.to_https(head, self._config.public_url))

    async def _open_gateway(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await self._open(self._gateway)

    async def _open_rdgateway(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._rdgateway is None:
            raise Unavailable("There is no door for RDP clients.")
        return await self._open(self._rdgateway)

    async def _open(self, where: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = where
        async with asyncio.timeout(GATEWAY_SECONDS):
            context = await self._gateway_context()
            return await asyncio.open_connection(host, port, ssl=context, limit=CHUNK, server_hostname=host)

    async def _gateway_context(self) -> ssl.SSLContext:
        """Trust the gateway's configured certificate if there is one, else the deployment's CA, checking names as usual."""
        if self._config.gateway_certificate == Path():
            return await self._trust.context(split_urls(self._config.broker_url))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # The very certificate is pinned, so its names say nothing more, and it may be signed by a CA that we do not know.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=files.read(self._config.gateway_certificate) or "")
        return context


async def _peek(connection: sockets.socket) -> bytes:
    """Return the first byte without taking it; empty if the client left."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(connection, wake)
    try:
        await readable
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, sockets.MSG_PEEK)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Let what was written arrive, but not for ever."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
        async with asyncio.timeout(STOP_SECONDS):
            await writer.wait_closed()
            return
    writer.transport.abort()


def _reachable(listen: tuple[str, int]) -> tuple[str, int]:
    """Return where to connect for a gateway that listens everywhere: here."""
    host, port = listen
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104
