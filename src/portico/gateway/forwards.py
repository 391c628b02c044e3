"""Ways for clients that speak a protocol of their own: TCP and UDP ports that lead one person's address to one desktop.

A forward is asked for by a broker, told about by events, and ended by the broker, its policy, or because nobody uses it. What it
carries is not looked into. Strangers are refused at the port.
"""

import asyncio
import contextlib
import random
import socket as sockets
import time
from collections.abc import Callable, Iterator

from portico import logs
from portico.gateway.order import OPEN, SAME, Order
from portico.gateway.ports import ANYONE, Port, refuse
from portico.gateway.relay_tcp import Relay
from portico.gateway.relay_udp import UdpPeer

log = logs.get(__name__)

MAX_FORWARDS = 5000
MAX_CONNECTIONS = 64  # of one forward: RGS and NoMachine open a handful
MAX_PEERS = 16  # UDP clients of one forward: one, and what is left of it after it came from other ports
TRIES = 64  # random ports that may be taken
CONNECT_SECONDS = 10.0
UNUSED_SECONDS = 300.0  # nobody came
QUIET_SECONDS = 120.0  # nobody is connected any more: a client may lose its network for a moment
UDP_SECONDS = 120.0  # without a datagram a UDP client is gone

_QUIETLY = ""  # an end that no broker is told of

OnEvent = Callable[[str, "Forward", str], None]  # listening | opened | closed, forward, reason


class Forward:
    """One way to a desktop: a guest at one or more ports."""

    def __init__(
        self, order: Order, ended: Callable[["Forward", str], None], used: Callable[["Forward"], None]
    ) -> None:
        self.order = order
        self.address = (
            order.client if order.mode != OPEN else ANYONE
        )  # by which ports know it; in mode OPEN also who claimed it
        self.claimed = self.address
        self.ports: dict[int, int] = {}  # number of the desktop's port → ours
        self.places: list[Port] = []
        self.target = ""  # the desktop's address, resolved
        self.bytes_in = self.bytes_out = 0
        self.ended = False
        self.used = False
        self._on_end, self._on_use = ended, used
        self._relays: set[Relay] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._peers: dict[tuple[str, tuple[str, int]], UdpPeer] = {}
        self._last_in = self._last_busy = time.monotonic()

    def welcomes(self, address: str) -> bool:
        """Whether an address may come in: the person's; in mode OPEN that of whoever came first."""
        if self.claimed == ANYONE:
            self.claimed = address
        return address == self.claimed

    def accept(self, client: sockets.socket, address: str, port: int) -> None:
        """Join a client with the desktop."""
        if len(self._relays) + len(self._connecting) >= MAX_CONNECTIONS:
            refuse(client)
            return
        task = asyncio.get_running_loop().create_task(self._join(client, self._behind(port)))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def datagram(self, data: bytes, sender: tuple[str, int], port: int, answer: Callable[..., object]) -> None:
        """Pass a client's datagram on, and the desktop's answers back to where it came from."""
        key = (f"{port}", sender[:2])
        peer = self._peers.get(key)
        if peer is None:
            if len(self._peers) >= MAX_PEERS:
                self._forget_oldest()
            try:
                peer = self._peers[key] = UdpPeer(sender, (self.target, self._behind(port)), answer, self.count)
            except OSError as problem:
                log.info("no way to the desktop", connection=self.order.connection, because=str(problem))
                return
            self._use()
        peer.send(data)

    def count(self, bytes_in: int, bytes_out: int) -> None:
        """Count what passed."""
        now = self._last_busy = time.monotonic()
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        if bytes_in:
            self._last_in = now

    def over(self, now: float, monotonic: float) -> str:
        """Return why it ends now (Unix seconds and monotonic seconds), else nothing."""
        order = self.order
        if order.expires_at is not None and now >= order.expires_at:
            return "time.up"
        if not self.used:
            return "forward.unused" if monotonic - self._last_in > UNUSED_SECONDS else ""
        if order.idle_seconds is not None and monotonic - self._last_in >= order.idle_seconds:
            return "idle"
        quiet = not self._relays and not self._connecting and not self._peers
        return "client.left" if quiet and monotonic - self._last_busy > QUIET_SECONDS else ""

    def sweep(self, loop_time: float) -> None:
        """Forget the UDP clients that are gone."""
        for key, peer in list(self._peers.items()):
            if loop_time - peer.last > UDP_SECONDS:
                self._peers.pop(key).close()

    def end(self, reason: str) -> None:
        """Cut every client off and give the ports back, once."""
        if self.ended:
            return
        self.ended = True
        for task in self._connecting:
            task.cancel()
        for relay in list(self._relays):
            relay.close()
        for peer in self._peers.values():
            peer.close()
        self._peers.clear()
        self._on_end(self, reason)

    def _behind(self, port: int) -> int:
        return next(theirs for theirs, ours in self.ports.items() if ours == port)

    def _use(self) -> None:
        if not self.used:
            self.used = True
            self._on_use(self)

    def _forget_oldest(self) -> None:
        key = min(self._peers, key=lambda one: self._peers[one].last)
        self._peers.pop(key).close()

    async def _join(self, client: sockets.socket, port: int) -> None:
        family = sockets.AF_INET6 if ":" in self.target else sockets.AF_INET
        desktop = sockets.socket(family, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(desktop, (self.target, port))
            self._relays.add(Relay(client, desktop, self.count, self._parted))
        except (OSError, TimeoutError) as problem:
            log.info(
                "desktop unreachable", connection=self.order.connection, port=port, because=str(problem) or "timeout"
            )
            desktop.close()
            refuse(client)
            return
        except BaseException:
            desktop.close()
            refuse(client)
            raise
        self._use()

    def _parted(self, relay: Relay) -> None:
        self._relays.discard(relay)
        self._last_busy = time.monotonic()


class Forwards:
    """The registry. `host` is the address to listen on, `span` the first and last port for those that may be any."""

    def __init__(self, host: str, span: tuple[int, int], on_event: OnEvent) -> None:
        self._host, self._span, self._on_event = host, span, on_event
        self._live: dict[str, Forward] = {}
        self._ports: dict[tuple[str, int], Port] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Return how many live."""
        return len(self._live)

    @property
    def connections(self) -> list[str]:
        """The ids of the connections that they carry."""
        return list(self._live)

    def take(self, order: Order) -> None:
        """Open a forward, and tell its ports or why there are none. One that is there already is told again."""
        there = self._live.get(order.connection)
        if there is not None and order.ports and not there.used and order.ports != tuple(there.ports.values()):
            # An older order was read first, after a new start; what the client was told of comes with this one.
            del self._live[order.connection]
            there.end(_QUIETLY)
        elif there is not None:
            if there.ports:
                self._on_event("listening", there, "")
            return
        forward = Forward(order, self._ended, self._used)
        if len(self._live) >= MAX_FORWARDS:
            self._on_event("closed", forward, "forward.too_many")
            return
        self._live[order.connection] = forward
        task = asyncio.get_running_loop().create_task(self._open(forward))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def close(self, connection: str, reason: str) -> None:
        """End one connection's forward if it lives here."""
        forward = self._live.get(connection)
        if forward is not None:
            forward.end(reason)

    def close_all(self) -> None:
        """End all without a word: a broker asks again for those that are still wanted when we are back."""
        for forward in list(self._live.values()):
            forward.end(_QUIETLY)
        self._live.clear()

    def sweep(self, now: float, monotonic: float) -> None:
        """End those whose time is up or that nobody uses."""
        loop_time = asyncio.get_running_loop().time()
        for forward in list(self._live.values()):
            forward.sweep(loop_time)
            if reason := forward.over(now, monotonic):
                forward.end(reason)

    async def _open(self, forward: Forward) -> None:
        order = forward.order
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await asyncio.get_running_loop().getaddrinfo(order.host, 0, type=sockets.SOCK_STREAM)
            forward.target = str(found[0][4][0])
        except (OSError, TimeoutError, UnicodeError) as problem:
            log.info("the desktop's name has no address", host=order.host, because=str(problem) or "timeout")
            forward.end("forward.no_address")
            return
        if forward.ended:
            return
        if not self._listen(forward):
            forward.end("forward.port_taken" if order.fixed else "forward.no_port")
            return
        log.info(
            "forward opened", connection=order.connection, client=order.client, mode=order.mode,
            ports=dict(forward.ports),
        )  # fmt: skip
        self._on_event("listening", forward, "")

    def _listen(self, forward: Forward) -> bool:
        """Bind a port for each of the desktop's; all, or none."""
        order = forward.order
        for at, number in enumerate(order.numbers):
            transports = tuple(transport for transport, port in order.targets if port == number)
            wanted = order.ports[at] if order.ports else None
            ours = next(
                (one for one in self._choices(order, number, wanted) if self._bind(forward, one, transports)), None
            )
            if ours is None:
                self._leave(forward)
                return False
            forward.ports[number] = ours
        return True

    def _choices(self, order: Order, number: int, wanted: int | None) -> Iterator[int]:
        if wanted is not None:
            yield wanted
        if order.mode == SAME or order.fixed:
            yield number
            if order.fixed:
                return
        first, last = self._span
        for _ in range(TRIES):
            yield random.randint(first, last)  # noqa: S311  (a port number is no secret: the address decides who comes in)

    def _bind(self, forward: Forward, number: int, transports: tuple[str, ...]) -> bool:
        """Take a port for all transports, beside forwards of other addresses where it is shared; False when it is taken."""
        taken: list[Port] = []
        for transport in transports:
            port = self._ports.get((transport, number))
            # A port whose client nobody knows yet cannot be shared: whoever knocks there is his.
            shared = port is not None and (ANYONE in port.routes or forward.address in (ANYONE, *port.routes))
            with contextlib.suppress(OSError):
                port = port or Port(transport, self._host, number)
            if port is None or shared:
                for one in taken:
                    self._release(forward, one)
                return False
            self._ports[transport, number] = port
            port.routes[forward.address] = forward
            forward.places.append(port)
            taken.append(port)
        return True

    def _release(self, forward: Forward, port: Port) -> None:
        port.routes.pop(forward.address, None)
        forward.places.remove(port)
        if not port.routes:
            del self._ports[port.transport, port.number]
            port.close()

    def _leave(self, forward: Forward) -> None:
        for port in list(forward.places):
            self._release(forward, port)
        forward.ports.clear()

    def _used(self, forward: Forward) -> None:
        self._on_event("opened", forward, "")

    def _ended(self, forward: Forward, reason: str) -> None:
        self._leave(forward)
        if reason == _QUIETLY:
            return
        self._live.pop(forward.order.connection, None)
        log.info(
            "forward closed", connection=forward.order.connection, reason=reason,
            bytes_in=forward.bytes_in, bytes_out=forward.bytes_out,
        )  # fmt: skip
        self._on_event("closed", forward, reason)
