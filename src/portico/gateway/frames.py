"""WebSocket frames as a server reads and writes them (RFC 6455, section 5.2), for clients whose upgrade no library takes. Pure."""

import struct
from dataclasses import dataclass

CONTINUATION, BINARY, CLOSE, PING, PONG = 0x0, 0x2, 0x8, 0x9, 0xA
MAX_FRAME = 1 << 20
MAX_CONTROL = 125


class BadFrame(Exception):
    """The bytes are no frame that a client may send; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, unmasked."""

    kind: int
    data: bytes


class FrameReader:
    """Cuts a client's bytes into frames. Binary messages are a stream here: their frames are not joined."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole. Raises BadFrame."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        kind, length, at = buffer[0] & 0xF, buffer[1] & 0x7F, 2
        if buffer[0] & 0x70 or kind not in (CONTINUATION, BINARY, CLOSE, PING, PONG):
            raise BadFrame("kind")
        if not buffer[1] & 0x80:
            raise BadFrame("not masked")
        if length >= 126:
            at = 4 if length == 126 else 10
            if len(buffer) < at:
                return None
            length = int.from_bytes(buffer[2:at], "big")
        if length > (MAX_CONTROL if kind >= CLOSE else MAX_FRAME):
            raise BadFrame("too long")
        if len(buffer) < at + 4 + length:
            return None
        mask, data = bytes(buffer[at : at + 4]), bytes(buffer[at + 4 : at + 4 + length])
        del buffer[: at + 4 + length]
        return Frame(kind, unmask(data, mask))


def unmask(data: bytes, mask: bytes) -> bytes:
    """Return masked data in clear: one long number for the lot, as a loop over bytes would cost a core."""
    if not data or mask == b"\0\0\0\0":
        return data
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def frame(data: bytes, kind: int = BINARY) -> bytes:
    """Return a whole message in one frame, without a mask as servers send it."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | kind, size)) + data
    if size < 1 << 16:
        return struct.pack(">BBH", 0x80 | kind, 126, size) + data
    return struct.pack(">BBQ", 0x80 | kind, 127, size) + data
