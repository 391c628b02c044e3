"""The client's end of a tunnel: each TCP connection to a port of this device goes through a WebSocket of its own to the gateway.

Only the ticket says who comes; it goes in the first message, never in an address (wire.gateway, /gw/tunnel).
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, cast

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from portico.wire.gateway import CLOSE

PING_SECONDS = 20.0
ANSWER_SECONDS = 20.0
MAX_FRAME = 1 << 20
SAID = {code: name for name, code in CLOSE.items()}


class Refused(Exception):
    """The gateway lets nobody in. `code` is a name of wire.gateway.CLOSE."""

    def __init__(self, code: str, sentence: str = "") -> None:
        super().__init__(sentence or code)
        self.code = code


class Tunnel:
    """A port of this device that leads to the desktop. `trust` is None for the system's authorities; `on_refused` hears why nobody got in."""

    def __init__(
        self, url: str, origin: str, ticket: str, trust: ssl.SSLContext | None, on_refused: Callable[[Refused], None]
    ) -> None:
        self._url, self._origin, self._ticket, self._trust = url, origin, ticket, trust
        self._on_refused = on_refused
        self._server: asyncio.Server | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Take connections. Raises OSError when the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Local(self._accept), host, port)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()

    def _accept(self, local: "_Local") -> None:
        task = asyncio.create_task(self._open(local))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, local: "_Local") -> None:
        remote = _Remote(local)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await ws_connect(
                    lambda: remote, self._url, ssl_context=self._trust, extra_headers={"Origin": self._origin},
                    enable_auto_ping=True, auto_ping_idle_timeout=PING_SECONDS, auto_ping_reply_timeout=PING_SECONDS,
                    max_frame_size=MAX_FRAME,
                )  # fmt: skip
                remote.send_text({"ticket": self._ticket})
                await remote.answer
        except Refused as refusal:
            local.close()
            self._on_refused(refusal)
        except (OSError, TimeoutError, ssl.SSLError) as problem:
            local.close()
            self._on_refused(
                Refused("gateway.unreachable", f"The gateway does not answer: {problem or 'it took too long'}")
            )
        else:
            local.attach(remote)


class _Local(asyncio.Protocol):
    """A program of this device. It waits to be read until the tunnel stands."""

    def __init__(self, on_connected: Callable[["_Local"], None]) -> None:
        self._on_connected = on_connected
        self._transport: asyncio.Transport | None = None
        self._remote: _Remote | None = None
        self._early = bytearray()
        self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a tunnel."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()
        self._on_connected(self)

    def attach(self, remote: "_Remote") -> None:
        """Begin to read."""
        self._remote = remote
        if self._early:
            remote.send(bytes(self._early))
            self._early.clear()
        if self._gone or self._transport is None:
            remote.close()
        else:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the program."""
        if self._remote is not None:
            self._remote.send(data)
        else:  # seen with Python 3.11.2, not with 3.11.7: it reads although connection_made has paused it
            self._early += data
            self.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The program is gone."""
        self._gone = True
        if self._remote is not None:
            self._remote.close()

    def pause_writing(self) -> None:
        """Make the desktop wait for the program."""
        if self._remote is not None:
            self._remote.pause_reading()

    def resume_writing(self) -> None:
        """Let the desktop go on."""
        if self._remote is not None:
            self._remote.resume_reading()

    def write(self, data: bytes) -> None:
        """Give bytes to the program."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Make the program wait."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the program go on."""
        if self._remote is not None and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class _Remote(WSListener):
    """The WebSocket to the gateway. `answer` is done when it lets us in, and raises Refused when it does not."""

    def __init__(self, local: _Local) -> None:
        super().__init__()
        self._local = local
        self._transport: WSTransport | None = None
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Remember the transport."""
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take the answer, or bytes of the desktop."""
        if frame.msg_type is WSMsgType.TEXT:
            self._hear(frame.get_payload_as_utf8_text())
        elif frame.msg_type in (WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._local.write(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            self._refuse(SAID.get(int.from_bytes(frame.get_payload_as_bytes()[:2], "big"), "session.ended"))
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The gateway is gone."""
        self._refuse("gateway.unreachable")
        self._local.close()

    def pause_writing(self) -> None:
        """Make the program wait for the gateway."""
        self._local.pause_reading()

    def resume_writing(self) -> None:
        """Let the program go on."""
        self._local.resume_reading()

    def send_text(self, fields: dict[str, Any]) -> None:
        """Say something."""
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, json.dumps(fields).encode())

    def send(self, data: bytes) -> None:
        """Send bytes of the program."""
        if self._transport is not None:
            self._transport.send(WSMsgType.BINARY, data)

    def pause_reading(self) -> None:
        """Read no more of the desktop."""
        if self._transport is not None:
            self._transport.underlying_transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None:
            self._transport.underlying_transport.resume_reading()

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.disconnect()

    def _hear(self, text: str) -> None:
        try:
            fields = json.loads(text)
        except ValueError:
            return
        if not isinstance(fields, dict) or self.answer.done():
            return
        if fields.get("ok") is True:
            self.answer.set_result(None)
        elif "error" in fields:
            self.answer.set_exception(Refused(str(fields["error"]), str(fields.get("message", ""))))

    def _refuse(self, code: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(Refused(code))
