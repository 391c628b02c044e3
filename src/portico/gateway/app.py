"""The gateway process: enrol, listen, report, obey, and leave politely."""

import asyncio
import contextlib
import signal
import socket as sockets
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from picows import ws_create_server

from portico import logs
from portico.config import Config
from portico.errors import Invalid, PorticoError, Unavailable
from portico.gateway import identity as identities
from portico.gateway.broker import Broker
from portico.gateway.certificates import Certificates
from portico.gateway.control import Control
from portico.gateway.doors import Doors
from portico.gateway.file_door import FileDoor
from portico.gateway.forwards import Forward, Forwards
from portico.gateway.memory import keep_tidy
from portico.gateway.rdgateway import RdGateway
from portico.gateway.rdp_door import RdpDoor
from portico.gateway.recording import Recorders
from portico.gateway.reports import Reports
from portico.gateway.sessions import Session, Sessions
from portico.gateway.shadows import Shadows
from portico.gateway.trust import Trust
from portico.gateway.uploads import Uploads
from portico.gateway.websocket import MAX_FRAME
from portico.wire.networks import Network, networks

new_event_loop: Callable[[], asyncio.AbstractEventLoop]
try:
    from uvloop import new_event_loop
except ImportError:  # The standard loop serves as well, with somewhat more CPU.
    from asyncio import new_event_loop

log = logs.get(__name__)

SWEEP_SECONDS = 1.0
DRAIN_SECONDS = 1.0  # for sessions that are being opened when we are told to go
LAST_REPORT_SECONDS = 2.0
READ_BUFFER = 4096  # grows for whoever sends more than keys and pointer movements
TLS_HANDSHAKE_SECONDS = 10.0
PING_SECONDS = 20.0


def run_gateway(config: Config) -> int:
    """Run the gateway until SIGTERM or SIGINT and return the exit status."""
    logs.configure(config.log_format, config.log_level)
    return run_until_signal(lambda stop: _run(config, stop))


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run a process's main coroutine with an event that SIGTERM and SIGINT set; trouble is logged and gives 1."""

    async def wrapped() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(_unexpected)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        tidying = asyncio.create_task(keep_tidy())
        try:
            await main(stop)
        finally:
            tidying.cancel()

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(wrapped())
    except PorticoError as problem:
        log.error("cannot go on", because=problem.sentence, detail=problem.detail)
        return 1
    return 0


def _unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no coroutine caught: broken connections quietly, for a public listener sees them all day."""
    problem = context.get("exception")
    quiet = isinstance(problem, (OSError, TimeoutError)) or "SSL handshake failed" in str(context.get("message"))
    (log.debug if quiet else log.error)(
        "unexpected in the event loop", message=context.get("message"), because=repr(problem)
    )


async def _run(config: Config, stop: asyncio.Event) -> None:
    gateway = Gateway(config)
    starting = asyncio.ensure_future(gateway.start())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():  # told to go while still waiting for a broker
        starting.cancel()
        return
    await starting
    await stopping
    await gateway.stop()


class Gateway:
    """One gateway: what `portico gateway` runs, and what tests start within themselves."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._broker = Broker(config.broker_url, Trust(config.ca_fingerprint, identities.home(config) / "ca.pem"))
        self._sessions = Sessions(self._report)
        self._shadows = Shadows(self._sessions, self._report_visit)
        self._forwards = _forwards(config, self._report_forward)
        self._reports = Reports(self._broker, self._live)
        self._uploads = Uploads(self._broker)
        self._recorders: Recorders | None = None
        self._files: FileDoor | None = None
        self._doors: Doors | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._rdgateway: asyncio.Server | None = None
        self._rdp: RdpDoor | None = None
        self.port = 0

    async def start(self) -> None:
        """Enrol if needed and listen. Raises Denied, Invalid."""
        config = self._config
        identity = await identities.establish(config, self._broker)
        self._broker.bearer = identity.bearer
        origins = (config.public_url, *config.gateway_origins)
        self._doors = doors = Doors(
            self._broker,
            self._sessions,
            self._shadows,
            origins,
            config.trusted_proxies,
            identities.key_set(identity.keys),
        )
        doors.gateway_id, doors.realm = identity.gateway_id, identity.realm
        doors.reach = _networks(config.may_reach)

        def keep_keys(keys: dict[str, Any]) -> None:
            identities.save(config, identities.with_keys(identity, keys))

        self._recorders = doors.recorders = Recorders(
            identities.home(config) / "recordings", config.recording_mib << 20, self._uploads.wake
        )
        self._files = doors.files = FileDoor(config.transfer_mib << 20, self._report_file)
        control = Control(self._broker, self._sessions, self._forwards, doors, keep_keys, self._refuse_forward)
        certificates = Certificates(*identities.certificate_files(config))
        await self._listen(doors, certificates)
        await self._listen_rdgateway(doors, certificates)
        await self._listen_rdp(doors, certificates)
        for work in (
            self._reports.run(),
            control.run(),
            self._sweep(),
            self._uploads.run(self._recorders),
            certificates.follow(),
        ):
            self._tasks.append(asyncio.ensure_future(work))
        log.info("gateway listening", address=config.gateway_listen, gateway=identity.gateway_id)

    async def stop(self) -> None:
        """Open no more sessions, tell the others to come back, report, and stop listening."""
        if self._doors is not None:
            self._doors.draining = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._doors.settled()
        if self._rdp is not None:
            self._rdp.close()
        for server in (self._server, self._rdgateway):
            if server is not None:
                server.close()
        self._sessions.close_all("draining")
        if self._forwards is not None:
            self._forwards.close_all()
        if self._recorders is not None:
            await asyncio.to_thread(self._recorders.stop)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LAST_REPORT_SECONDS):
                await self._reports.send()
        self._broker.close()
        log.info("gateway stopped")

    async def _listen(self, doors: Doors, certificates: Certificates) -> None:
        host, port = split_listen(self._config.gateway_listen, "gateway_listen")
        context = certificates.context()
        try:
            self._server = await ws_create_server(
                doors.upgrade,
                host,
                port,
                ssl=context,
                ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS,
                websocket_handshake_timeout=TLS_HANDSHAKE_SECONDS,
                max_frame_size=MAX_FRAME,
                read_buffer_init_size=READ_BUFFER,
                enable_auto_ping=True,
                auto_ping_idle_timeout=PING_SECONDS,
                auto_ping_reply_timeout=PING_SECONDS,
                backlog=1024,
                reuse_address=True,
                # Its TLS leaves 33 KiB behind for each handshake that fails (1.2.0 and before); the loop's leaves nothing.
                use_aiofastnet=False,
            )
        except OSError as problem:
            raise Invalid(f"Cannot listen on {self._config.gateway_listen}: {problem.strerror or problem}") from problem
        self.port = bound_port(self._server.sockets[0])

    async def _listen_rdgateway(self, doors: Doors, certificates: Certificates) -> None:
        if not self._config.rdgateway_listen:
            return
        host, port = split_listen(self._config.rdgateway_listen, "rdgateway_listen")
        context = certificates.context()
        door = RdGateway(doors, self._sessions, frozenset(self._config.trusted_proxies), context)
        try:
            self._rdgateway = await asyncio.start_server(
                door.accept, host, port, ssl=context, ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS, backlog=1024
            )
        except OSError as problem:
            raise Invalid(
                f"Cannot listen on {self._config.rdgateway_listen}: {problem.strerror or problem}"
            ) from problem

    async def _listen_rdp(self, doors: Doors, certificates: Certificates) -> None:
        if not self._config.rdp_listen:
            return
        self._rdp = RdpDoor(doors, self._sessions, certificates.context())
        try:
            await self._rdp.listen(*split_listen(self._config.rdp_listen, "rdp_listen"))
        except OSError as problem:
            raise Invalid(f"Cannot listen on {self._config.rdp_listen}: {problem.strerror or problem}") from problem
        self._reports.rdp_port = self._rdp.port

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._sessions.sweep(time.time(), time.monotonic())
            self._shadows.sweep(time.time(), time.monotonic())
            if self._files is not None:
                self._files.sweep()
            if self._recorders is not None:
                self._recorders.flush()
            if self._forwards is not None:
                self._forwards.sweep(time.time(), time.monotonic())

    def _live(self) -> list[str]:
        return self._sessions.connections + (self._forwards.connections if self._forwards is not None else [])

    def _report_forward(self, kind: str, forward: Forward, reason: str) -> None:
        ports = [[theirs, ours] for theirs, ours in forward.ports.items()]
        more = {"ports": ports} if kind == "listening" else {}
        self._reports.add(kind, forward.order.connection, reason, forward.bytes_in, forward.bytes_out, **more)

    def _refuse_forward(self, connection: str, reason: str) -> None:
        self._reports.add("closed", connection, reason, 0, 0)

    def _report_visit(self, kind: str, connection: str, shadow: str, reason: str) -> None:
        self._reports.add(kind, connection, reason, 0, 0, shadow=shadow)

    def _report_file(self, session: Session, way: str, name: str, size: int) -> None:
        counts = (size, 0) if way == "in" else (0, size)
        self._reports.add(f"file.{way}", session.grant.connection, name[:200], *counts)

    def _report(self, kind: str, session: Session, reason: str) -> None:
        grant = session.grant
        self._reports.add(kind, grant.connection, reason, session.bytes_in, session.bytes_out, entry=grant.entry)


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    try:
        return networks(texts)
    except ValueError as problem:
        raise Invalid("The configuration has a mistake.", {"may_reach": f"{problem} is not a network."}) from problem


def _forwards(config: Config, on_event: Callable[[str, Forward, str], None]) -> Forwards | None:
    """Return the place of forwards, None where the gateway opens no ports. Raises Invalid naming the setting."""
    if not config.forward_listen:
        return None
    first, _, last = config.forward_ports.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 1024 <= int(first) <= int(last) <= 65535):
        raise Invalid("forward_ports must be FIRST-LAST, as in 20001-23000", {"forward_ports": "FIRST-LAST is wanted"})
    return Forwards(config.forward_listen, (int(first), int(last)), on_event)


def split_listen(text: str, name: str) -> tuple[str, int]:
    """Return host and port of an address to listen on. Raises Invalid naming the setting."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535 or not host:
        raise Invalid(f"{name} must be HOST:PORT, as in 127.0.0.1:8445", {name: "HOST:PORT is wanted"})
    return host.strip("[]"), int(port)


def bound_port(listener: sockets.socket) -> int:
    """Return the port that a socket is bound to."""
    return int(listener.getsockname()[1])
