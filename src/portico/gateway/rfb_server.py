"""What a VNC server may say to a browser that must not get its clipboard (RFC 6143, sections 7.3.2 and 7.6–7.8). Pure.

Cut text can only be left out by someone who knows where messages end, so the browser may then ask only for encodings whose length is
plain to see: Raw, CopyRect and ZRLE. Nothing is decompressed, and of a picture only the sizes are read.
"""

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from portico.gateway.rfb import RfbError

if TYPE_CHECKING:
    from portico.gateway.rfb_filter import ClientFilter

EXTENDED_CLIPBOARD = 0xC0A1E5CE
LAST_RECTANGLE = -224
MAX_DROPPED = 64 << 20
CUT_TEXT = 3
NEEDS_MORE = -1

Measure = Callable[
    [bytearray, int, int, int], int
]  # (bytes after the rectangle's header, width, height, bytes a pixel)


def _prefixed(head: bytearray, *_: int) -> int:
    return 4 + int.from_bytes(head[:4], "big") if len(head) >= 4 else NEEDS_MORE


def _screens(head: bytearray, *_: int) -> int:
    return 4 + 16 * head[0] if head else NEEDS_MORE


RECTANGLES: dict[int, Measure] = {
    0: lambda _, width, height, pixel: width * height * pixel,  # Raw
    1: lambda *_: 4,  # CopyRect
    16: _prefixed,  # ZRLE
    -223: lambda *_: 0,  # DesktopSize
    LAST_RECTANGLE: lambda *_: 0,
    -239: lambda _, width, height, pixel: width * height * pixel + (width + 7) // 8 * height,  # Cursor
    -258: lambda *_: 0,  # QEMU extended key event
    -261: lambda *_: 1,  # QEMU LED state
    -307: _prefixed,  # DesktopName
    -308: _screens,  # ExtendedDesktopSize
}
# Pseudo-encodings that announce an ability and never come as a rectangle: fence, continuous updates, xvp, quality and compression levels.
ABILITIES = (-312, -313, -309, *range(-32, -22), *range(-256, -246))


def is_framed(code: int) -> bool:
    """Whether we can tell where a rectangle of this encoding (as unsigned 32 bits) ends."""
    signed = code - (1 << 32) if code >> 31 else code
    return signed in RECTANGLES or signed in ABILITIES or code == EXTENDED_CLIPBOARD


def carries_text(message: bytes) -> bool:
    """Whether a cut text, of either side, gives away text or that there is some; the extended kind also talks about abilities."""
    if struct.unpack_from(">i", message, 4)[0] >= 0 or len(message) < 12:
        return True
    flags: int = struct.unpack_from(">I", message, 8)[0]
    return bool(flags & (1 << 27 | 1 << 28))  # notify, provide


class ServerFilter:
    """Desktop to browser, from ServerInit on, without its clipboard."""

    def __init__(self, client: "ClientFilter") -> None:
        self._client = client
        self._native = 32
        self._buffer = bytearray()
        self._passing = 0  # bytes of a rectangle that go by unread
        self._rectangles = 0
        self._step = self._init

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the desktop and return those that may pass. Raises RfbError."""
        self._buffer += data
        out = bytearray()
        while self._buffer:
            if self._passing:
                out += self._take(min(self._passing, len(self._buffer)), passing=True)
                continue
            piece = self._step()
            if piece is None:
                break
            out += piece
        return bytes(out)

    def _take(self, count: int, passing: bool = False) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        if passing:
            self._passing -= count
        return taken

    def _init(self) -> bytes | None:
        if len(self._buffer) < 24:
            return None
        self._native = self._buffer[4]
        self._passing = 24 + int.from_bytes(self._buffer[20:24], "big")
        self._step = self._message
        return b""

    def _message(self) -> bytes | None:
        kind = self._buffer[0]
        if kind == 0:
            if len(self._buffer) < 4:
                return None
            self._rectangles = int.from_bytes(self._buffer[2:4], "big")
            self._step = self._rectangle if self._rectangles else self._message
            return self._take(4)
        size = self._measure(kind)
        if size == NEEDS_MORE or (kind == CUT_TEXT and len(self._buffer) < size):
            return None
        if kind == CUT_TEXT:
            message = self._take(size)
            return b"" if carries_text(message) else message
        self._passing = size
        return b""

    def _measure(self, kind: int) -> int:
        head = self._buffer
        if kind in (2, 150):  # Bell, EndOfContinuousUpdates
            return 1
        if kind == 250:  # xvp
            return 4
        if kind == 1:  # SetColourMapEntries
            return 6 + 6 * int.from_bytes(head[4:6], "big") if len(head) >= 6 else NEEDS_MORE
        if kind == 248:  # ServerFence
            return 9 + head[8] if len(head) >= 9 else NEEDS_MORE
        if kind != CUT_TEXT:
            raise RfbError(f"unknown server message {kind}")
        if len(head) < 8:
            return NEEDS_MORE
        size = 8 + abs(int(struct.unpack_from(">i", head, 4)[0]))
        if size > MAX_DROPPED:
            raise RfbError("server's cut text too long")
        return size

    def _rectangle(self) -> bytes | None:
        if len(self._buffer) < 12:
            return None
        _, _, width, height, encoding = struct.unpack_from(">HHHHi", self._buffer)
        measure = RECTANGLES.get(encoding)
        if measure is None:
            raise RfbError(f"encoding {encoding} was not asked for")
        pixel = (self._client.bits_per_pixel or self._native) // 8
        size = measure(self._buffer[12:28], width, height, pixel)
        if size == NEEDS_MORE:
            return None
        self._rectangles = 0 if encoding == LAST_RECTANGLE else self._rectangles - 1
        if not self._rectangles:
            self._step = self._message
        self._passing = 12 + size
        return b""
