"""One end of an RDP connection: messages in turn for the handshake, TLS on the way, then bytes to whoever takes them."""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

TLS_SECONDS = 10.0
MAX_EARLY = 256 * 1024  # bytes that an end may say before somebody takes them


class Conversation(asyncio.Protocol):
    """The end of a TCP connection (or of something like one)."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport, plain first and TLS then."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, though not by descent

    def data_received(self, data: bytes) -> None:
        """Gather for the handshake."""
        self._buffer += data
        self._arrived.set()
        if len(self._buffer) > MAX_EARLY and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self.gone = True
        self._arrived.set()

    async def message(self, measure: Callable[[bytes], int | None]) -> bytes:
        """Return the next message whole; `measure` tells its size by its first bytes. Raises ConnectionError, and what `measure` raises."""
        while True:
            size = measure(bytes(self._buffer[:8]))
            if size is not None and len(self._buffer) >= size:
                message = bytes(self._buffer[:size])
                del self._buffer[:size]
                return message
            if self.gone:
                raise ConnectionError("closed during the handshake")
            self._arrived.clear()
            await self._arrived.wait()

    async def start_tls(self, context: ssl.SSLContext, *, server_side: bool = False) -> bytes:
        """Go on under TLS and return the other side's certificate in DER, if it showed one. Raises OSError, ssl.SSLError."""
        if self._transport is None or self.gone:
            raise ConnectionError("closed before TLS")
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_side=server_side, ssl_handshake_timeout=TLS_SECONDS
        )
        if transport is None:
            raise ConnectionError("closed in the TLS handshake")
        self._transport = transport
        return transport.get_extra_info("ssl_object").getpeercert(True) or b""

    def early(self) -> bytes:
        """Return what arrived behind the last message, once."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        """Read no more."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def hang_up(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._transport.close()
