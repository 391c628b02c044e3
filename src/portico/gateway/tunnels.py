"""Tunnels for clients of a device: each WebSocket is one TCP connection to the desktop's port, all of a connection are one session.

They are bound to a person by their ticket, where a forward knows no more than an address. What crosses is not looked at, so a grant
whose policy forbids something gets none.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from portico.gateway.conversation import Conversation
from portico.gateway.grant import Grant
from portico.gateway.refusals import Refused
from portico.gateway.sessions import LEFT, Session, Sessions
from portico.gateway.websocket import NORMAL, Sink, Socket, SocketClosed

CONNECT_SECONDS = 10.0
MAX_STREAMS = 64  # of one connection at a time


class Tunnels:
    """The tunnels of this gateway, by their connections."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def enter(self, grant: Grant, socket: Socket, address: str) -> None:
        """Connect to the desktop and begin to pass bytes. Raises Refused, SocketClosed."""
        if not grant.policy.is_free:
            raise Refused("desktop.refused", "the policy forbids what nobody could hold to in a tunnel")
        stream = Stream(socket)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: stream, grant.host, grant.port)
        except (OSError, TimeoutError) as problem:
            raise Refused("desktop.unreachable", str(problem) or "timeout") from problem
        if socket.closed:
            stream.hang_up()
            raise SocketClosed
        try:
            self._tunnel(grant, address).take(stream, grant)
        except Refused:
            stream.hang_up()
            raise

    def _tunnel(self, grant: Grant, address: str) -> "Tunnel":
        session = self._sessions.get(grant.connection)
        if session is not None and isinstance(session.socket, Tunnel):
            return session.socket
        tunnel = Tunnel()
        tunnel.session = self._sessions.open(grant, tunnel, address, tunnel.hang_up)
        return tunnel


class Tunnel:
    """What a session takes for its person: all streams of a connection."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self._streams: set[Stream] = set()

    @property
    def closed(self) -> bool:
        """Whether no stream is left."""
        return not self._streams

    def take(self, stream: "Stream", grant: Grant) -> None:
        """Pass the bytes of another stream. Raises Refused when there are too many."""
        assert self.session is not None
        if len(self._streams) >= MAX_STREAMS:
            raise Refused("desktop.refused", "too many streams in this tunnel")
        self.session.grant = grant  # by its latest coming in the broker knows a session
        self._streams.add(stream)
        stream.begin(self.session, self.parted)

    def parted(self, stream: "Stream") -> None:
        """Forget a stream; with the last one the session is over."""
        self._streams.discard(stream)
        if not self._streams and self.session is not None:
            self.session.end(LEFT)

    def hang_up(self) -> None:
        """Leave the desktop."""
        for stream in list(self._streams):
            stream.hang_up()

    def attach(self, sink: Sink) -> None:
        """Each stream has its own."""

    def send_bytes(self, data: bytes) -> None:
        """Each stream sends its own."""

    def send_object(self, fields: Mapping[str, object]) -> None:
        """Tell the client; any of the streams will do."""
        for stream in list(self._streams)[:1]:
            stream.socket.send_object(fields)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye to all."""
        for stream in list(self._streams):
            stream.socket.close(code, reason)

    def close_for(self, code: str) -> None:
        """Say goodbye to all for a reason of wire.gateway.CLOSE."""
        for stream in list(self._streams):
            stream.socket.close_for(code)

    def pause_reading(self) -> None:
        """Each stream waits for itself."""

    def resume_reading(self) -> None:
        """Each stream waits for itself."""


class Stream(Conversation):
    """One TCP connection to the desktop, and the WebSocket that it goes on in."""

    def __init__(self, socket: Socket) -> None:
        super().__init__()
        self.socket = socket
        self._session: Session | None = None
        self._on_parted: Callable[[Stream], None] = lambda stream: None
        self._over = False

    def begin(self, session: Session, on_parted: Callable[["Stream"], None]) -> None:
        """Pass what is there already, and everything from now on."""
        self._session, self._on_parted = session, on_parted
        self.socket.send_object({"ok": True})
        self.socket.attach(self)
        if early := self.early():
            self.data_received(early)
        if self.gone:
            self._part()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the desktop."""
        if self._session is None:
            super().data_received(data)
            return
        self._session.bytes_out += len(data)
        self.socket.send_bytes(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The desktop has closed it."""
        super().connection_lost(exc)
        if self._session is not None:
            self._part()

    def pause_writing(self) -> None:
        """Make the client wait for the desktop."""
        self.socket.pause_reading()

    def resume_writing(self) -> None:
        """Let the client go on."""
        self.socket.resume_reading()

    def from_browser(self, data: bytes) -> None:
        """Take bytes of the client."""
        session = self._session
        if session is not None and not session.ended:
            session.bytes_in += len(data)
            session.last_input = time.monotonic()
            self.write(data)

    def command(self, fields: Mapping[str, object]) -> None:
        """A tunnel knows no messages of the client."""

    def browser_closed(self) -> None:
        """The client has closed it."""
        self.hang_up()
        self._part()

    def _part(self) -> None:
        if not self._over:
            self._over = True
            self.socket.close(NORMAL, "")
            self._on_parted(self)
