"""The RD Gateway door for RDP clients of their own: MS-TSGU over a WebSocket on the portal's port, a ticket as its cookie.

The upgrade's method is RDG_OUT_DATA and its key need not be one, so no WebSocket library takes it; h11 reads the head. The tunnel's
bytes go through a pair of sockets to the same client's end that a plain connection would have.
"""

import asyncio
import base64
import contextlib
import hashlib
import socket as sockets
import ssl

import h11

from portico import logs
from portico.gateway import frames, native, tsgu, x224
from portico.gateway.doors import Doors
from portico.gateway.grant import Grant
from portico.gateway.limits import client_address
from portico.gateway.refusals import Refused
from portico.gateway.sessions import Sessions

log = logs.get(__name__)

PATH = b"/remoteDesktopGateway/"
METHODS = (b"RDG_OUT_DATA", b"GET")
HEAD_SECONDS = 10.0
STEP_SECONDS = 30.0  # between two steps of the tunnel
QUIET_SECONDS = 300.0  # without a byte, not even a keep-alive, a client is gone
WRITE_SECONDS = 60.0
MAX_HEAD = 16 * 1024
CHUNK = 64 * 1024
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
STATUS = {
    "desktop.unreachable": tsgu.UNREACHABLE,
    "desktop.refused": tsgu.ACCESS_DENIED,
    "desktop.changed": tsgu.ACCESS_DENIED,
}


class Left(Exception):
    """The client is gone, or said what nobody can answer."""


class RdGateway:
    """Accepts tunnels. `context` is also the TLS of clients whose session the gateway must see."""

    def __init__(self, doors: Doors, sessions: Sessions, proxies: frozenset[str], context: ssl.SSLContext) -> None:
        self._doors = doors
        self._sessions = sessions
        self._proxies = proxies
        self._context = context

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        address = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            forwarded = await self._upgrade(reader, writer)
            address = client_address(address, forwarded, self._proxies)
            if not self._doors.may_knock(address):
                return
            await _Tunnel(self, reader, writer, address).run()
        except Refused as refusal:
            log.info("tunnel refused", code=refusal.code, because=refusal.detail, client=address)
        except (Left, OSError, TimeoutError, ssl.SSLError, asyncio.IncompleteReadError) as problem:
            log.debug("tunnel ended", because=str(problem) or type(problem).__name__, client=address)
        except (tsgu.BadPacket, frames.BadFrame, x224.BadX224) as problem:
            log.info("client broke the protocol", because=str(problem), client=address)
        except Exception:
            log.exception("a tunnel failed", client=address)
        finally:
            writer.close()

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """Answer the upgrade and return what X-Forwarded-For said."""
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        async with asyncio.timeout(HEAD_SECONDS):
            while (event := http.next_event()) is h11.NEED_DATA:
                data = await reader.read(CHUNK)
                if not data:
                    raise Left
                try:
                    http.receive_data(data)
                except h11.RemoteProtocolError as problem:
                    raise Left("not HTTP") from problem
        if not isinstance(event, h11.Request):
            raise Left
        headers = {bytes(name): bytes(value) for name, value in event.headers}
        status, reason = _judge(bytes(event.method), bytes(event.target), headers)
        if status != 101:
            writer.write(b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, reason))
            await writer.drain()
            raise Left(reason.decode())
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + GUID, usedforsecurity=False).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
            % accept
        )
        return headers.get(b"x-forwarded-for", b"").decode("latin-1")

    async def admit(self, ticket: str, address: str) -> Grant:
        """Return what a client's cookie grants. Raises Refused."""
        return await self._doors.admit(ticket, "rdp", address)

    async def connect(
        self, grant: Grant, address: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Task[None]]:
        """Connect to the desktop and return our end of the client's bytes, and the task that leads its first messages. Raises Refused."""
        desktop = await native.open_desktop(grant)
        loop = asyncio.get_running_loop()
        ours, theirs = sockets.socketpair()
        client = native.NativeClient()
        client.address = address
        try:
            await loop.connect_accepted_socket(lambda: client, theirs)
            reader, writer = await asyncio.open_connection(sock=ours, limit=CHUNK)
        except BaseException:
            desktop.hang_up()
            for each in (ours, theirs):
                each.close()
            raise
        serving = native.serve(client, desktop, grant, self._sessions, self._context)
        return reader, writer, asyncio.create_task(serving)


def _judge(method: bytes, target: bytes, headers: dict[bytes, bytes]) -> tuple[int, bytes]:
    if target.partition(b"?")[0].rstrip(b"/") != PATH.rstrip(b"/"):
        return 404, b"Not Found"
    if method not in METHODS:
        return 405, b"Method Not Allowed"
    if headers.get(b"upgrade", b"").lower() != b"websocket" or b"sec-websocket-key" not in headers:
        return 501, b"Only WebSockets"
    return 101, b""


class _Tunnel:
    """One client's tunnel: steps in order, then data."""

    def __init__(
        self, gateway: RdGateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        self._gateway = gateway
        self._reader = reader
        self._writer = writer
        self._address = address
        self._frames = frames.FrameReader()
        self._packets = tsgu.PacketReader()
        self._waiting: list[tsgu.Packet] = []

    async def run(self) -> None:
        """Go through the steps of [MS-TSGU] 3.2.6 and pass the data until either side leaves."""
        await self._send(tsgu.handshake(await self._step(tsgu.HANDSHAKE_REQUEST)))
        try:
            grant = await self._gateway.admit(tsgu.cookie(await self._step(tsgu.TUNNEL_CREATE)), self._address)
        except Refused:
            await self._send(tsgu.tunnel_refused(tsgu.COOKIE_REFUSED))
            raise
        await self._send(tsgu.tunnel_made())
        await self._step(tsgu.TUNNEL_AUTH)
        await self._send(tsgu.tunnel_authorised())
        await self._step(tsgu.CHANNEL_CREATE)
        try:
            reader, writer, serving = await self._gateway.connect(grant, self._address)
        except Refused as refusal:
            await self._send(tsgu.channel_refused(STATUS.get(refusal.code, tsgu.UNREACHABLE)))
            raise
        try:
            await self._send(tsgu.channel_made())
            await self._pass(reader, writer)
            await serving
        finally:
            serving.cancel()
            writer.close()
            await asyncio.gather(serving, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks = [asyncio.create_task(self._up(writer)), asyncio.create_task(self._down(reader))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _up(self, writer: asyncio.StreamWriter) -> None:
        while True:
            packet = await self._next(QUIET_SECONDS)
            if packet.kind == tsgu.DATA:
                writer.write(tsgu.content(packet.body))
                await writer.drain()
            elif packet.kind == tsgu.CLOSE_CHANNEL:
                await self._send(tsgu.close_answer())
                return
            elif packet.kind != tsgu.KEEPALIVE:
                raise tsgu.BadPacket(f"packet {packet.kind:#x} within a channel")

    async def _down(self, reader: asyncio.StreamReader) -> None:
        while content := await reader.read(CHUNK):
            await self._send(tsgu.data(content))
        await self._send(tsgu.closed())

    async def _step(self, kind: int) -> bytes:
        packet = await self._next(STEP_SECONDS)
        if packet.kind != kind:
            raise tsgu.BadPacket(f"packet {packet.kind:#x} where {kind:#x} is due")
        return packet.body

    async def _next(self, seconds: float) -> tsgu.Packet:
        while not self._waiting:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(CHUNK)
            if not data:
                raise Left
            for frame in self._frames.feed(data):
                if frame.kind == frames.CLOSE:
                    raise Left
                if frame.kind == frames.PING:
                    self._writer.write(frames.frame(frame.data, frames.PONG))
                elif frame.kind in (frames.BINARY, frames.CONTINUATION):
                    self._waiting += self._packets.feed(frame.data)
        return self._waiting.pop(0)

    async def _send(self, packets: bytes) -> None:
        self._writer.write(frames.frame(packets))
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(WRITE_SECONDS):
                await self._writer.drain()
