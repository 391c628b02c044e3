"""A browser's WebSocket: messages to a coroutine until the session stands, then bytes straight to the desktop's side."""

import asyncio
import json
import struct
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from portico.gateway.entry import MAX_BYTES, BadEntry, parse_object
from portico.wire.gateway import CLOSE

NORMAL, TOO_BIG, BAD_TEXT = 1000, 1009, 1007
MAX_FRAME = 1 << 20
MAX_WAITING = 64 * 1024  # bytes that a browser may send before it is answered
ABORT_SECONDS = 5.0  # how long a closing browser may take to read what is left


class SocketClosed(Exception):
    """The browser is gone."""


class Sink(Protocol):
    """The desktop's side of a session."""

    def from_browser(self, data: bytes) -> None:
        """Take bytes for the desktop."""

    def command(self, fields: Mapping[str, object]) -> None:
        """Take a text message of the browser."""

    def pause_reading(self) -> None:
        """Read no more of the desktop: the browser cannot take it."""

    def resume_reading(self) -> None:
        """Read on."""

    def browser_closed(self) -> None:
        """The browser is gone."""


class Socket(WSListener):
    """One browser. `serve` is run as a task when the WebSocket stands. `whole`: binary messages are messages, not a stream."""

    def __init__(
        self, serve: Callable[["Socket"], Coroutine[Any, Any, None]], forwarded_for: str, *, whole: bool = False
    ) -> None:
        super().__init__()
        self._pieces: bytearray | None = bytearray() if whole else None
        self._serve = serve
        self._transport: WSTransport | None = None
        self._waiting: deque[str | bytes] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._text: bytearray | None = (
            None  # a text message under way; binary is a stream, whose frames need no joining
        )
        self._sink: Sink | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = True
        self._deadline: asyncio.TimerHandle | None = None
        self.forwarded_for = forwarded_for
        self.on_shadow: Callable[[Mapping[str, object]], None] | None = None  # hears the person's word about helpers
        self.closed: bool = False

    @property
    def peer(self) -> str:
        """The address at the other end of the TCP connection."""
        name = self._transport.underlying_transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if isinstance(name, tuple) else ""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start serving."""
        self._transport = transport
        self._task = asyncio.create_task(self._serve(self))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass a frame on, joining the frames of a text message."""
        kind = frame.msg_type
        if kind is WSMsgType.BINARY or (kind is WSMsgType.CONTINUATION and self._text is None):
            if self._pieces is None:
                self._deliver(frame.get_payload_as_bytes())
            else:
                self._gather(self._pieces, frame.get_payload_as_bytes(), bool(frame.fin))
        elif kind is WSMsgType.TEXT or kind is WSMsgType.CONTINUATION:
            self._join(frame.get_payload_as_bytes(), bool(frame.fin))
        elif kind is WSMsgType.CLOSE:
            self.close(NORMAL, "")

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Tell whoever waits that the browser is gone."""
        self.closed = True
        if self._deadline is not None:
            # The number of a closed socket is soon another's, and to abort the old one then would cut off the new.
            self._deadline.cancel()
        self._arrived.set()
        if self._sink is not None:
            self._sink.browser_closed()

    def pause_writing(self) -> None:
        """Make the desktop wait for the browser."""
        self._writable = False
        if self._sink is not None:
            self._sink.pause_reading()

    def resume_writing(self) -> None:
        """Let the desktop go on."""
        self._writable = True
        if self._sink is not None:
            self._sink.resume_reading()

    def pause_reading(self) -> None:
        """Make the browser wait for the desktop."""
        if self._transport is not None and not self.closed:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the browser go on."""
        if self._transport is not None and not self.closed:
            self._transport.underlying_transport.resume_reading()

    async def receive(self) -> str | bytes:
        """Return the next message. Raises SocketClosed."""
        while not self._waiting:
            if self.closed:
                raise SocketClosed
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        self._waiting_bytes -= len(message)
        return message

    def attach(self, sink: Sink) -> None:
        """Give everything that arrives from now on, and what waits, to the desktop's side. Raises SocketClosed."""
        if self.closed:
            raise SocketClosed
        self._sink = sink
        while self._waiting:
            self._pass(sink, self._waiting.popleft())
        if not self._writable:
            sink.pause_reading()

    def send_bytes(self, data: bytes) -> None:
        """Send binary data."""
        if self._transport is not None and not self.closed:
            self._transport.send(WSMsgType.BINARY, data)

    def send_object(self, fields: Mapping[str, object]) -> None:
        """Send a JSON object as text."""
        if self._transport is not None and not self.closed:
            self._transport.send(WSMsgType.TEXT, json.dumps(fields).encode())

    def close(self, code: int, reason: str) -> None:
        """Say goodbye with a close code and let what was sent before arrive. May be called again."""
        if self._transport is None or self.closed:
            return
        self.closed = True
        self._arrived.set()
        transport = self._transport
        transport.underlying_transport.resume_reading()
        transport.send(WSMsgType.CLOSE, struct.pack(">H", code) + reason.encode()[:120])
        transport.disconnect()
        # A browser that does not read must not hold the socket until TCP gives up.
        self._deadline = asyncio.get_running_loop().call_later(ABORT_SECONDS, transport.underlying_transport.abort)

    def close_for(self, code: str) -> None:
        """Say goodbye with a code of wire.gateway.CLOSE."""
        self.close(CLOSE[code], code)

    def _gather(self, pieces: bytearray, data: bytes, last: bool) -> None:
        """Join the frames of a binary message, which browsers cut as they like."""
        pieces += data
        if len(pieces) > MAX_FRAME:
            self.close(TOO_BIG, "message too long")
        elif last:
            message = bytes(pieces)
            pieces.clear()
            self._deliver(message)

    def _join(self, data: bytes, last: bool) -> None:
        text = self._text = bytearray() if self._text is None else self._text
        text += data
        if len(text) > MAX_BYTES:
            self.close(TOO_BIG, "message too long")
            return
        if not last:
            return
        self._text = None
        try:
            self._deliver(text.decode("utf-8"))
        except UnicodeDecodeError:
            self.close(BAD_TEXT, "not UTF-8")

    def _deliver(self, message: str | bytes) -> None:
        if self.closed:
            return
        if self._sink is not None:
            self._pass(self._sink, message)
            return
        self._waiting_bytes += len(message)
        if self._waiting_bytes > MAX_WAITING:
            self.close(TOO_BIG, "too much before the answer")
            return
        self._waiting.append(message)
        self._arrived.set()

    def _pass(self, sink: Sink, message: str | bytes) -> None:
        if isinstance(message, bytes):
            sink.from_browser(message)
            return
        try:
            fields = parse_object(message)
        except BadEntry:
            return  # A newer page may say what we do not know yet.
        ping = fields.get("ping")
        if isinstance(ping, int):
            if self._writable:  # Who does not read gets no answers, so pings cannot fill our memory.
                self.send_object({"pong": ping})
            return
        shadow = fields.get("shadow")
        if isinstance(shadow, dict) and self.on_shadow is not None:
            self.on_shadow(shadow)
            return
        sink.command(fields)
