"""What a browser may say to a VNC server under a policy (RFC 6143, section 7.5, and the extensions that noVNC speaks). Pure.

A session without restrictions is a dumb pipe. With one, messages are cut at their borders and those that the policy forbids are left out;
an unknown message ends the session, for after it no border would be certain.
"""

import struct
from collections.abc import Callable

from portico.gateway.rfb import RfbError
from portico.gateway.rfb_server import carries_text, is_framed

MAX_MESSAGE = 1 << 20
EXTENDED_MOUSE_BUTTONS = (
    -316 & 0xFFFFFFFF
)  # makes pointer messages one byte longer for some buttons: borders would blur
GII = -305 & 0xFFFFFFFF  # other input devices, which would pass by a view-only policy
REFUSED = (EXTENDED_MOUSE_BUTTONS, GII)

SET_PIXEL_FORMAT, SET_ENCODINGS, UPDATE_REQUEST, KEY, POINTER, CUT_TEXT, QEMU = 0, 2, 3, 4, 5, 6, 255
INPUT = (KEY, POINTER, QEMU)


def _fixed(size: int) -> Callable[[bytearray], int]:
    return lambda _: size


def _count(unpack: str, at: int, fixed: int, each: int) -> Callable[[bytearray], int]:
    """Return the measure of a message with `fixed` bytes and `each` for every one of the number found `at` an offset."""
    size = struct.calcsize(unpack)

    def measure(head: bytearray) -> int:
        if len(head) < at + size:
            return 0
        return fixed + each * abs(int(struct.unpack_from(unpack, head, at)[0]))

    return measure


def _qemu(head: bytearray) -> int:
    if len(head) < 2:
        return 0
    if head[1] != 0:
        raise RfbError("QEMU message that is no key")
    return 12


MEASURES: dict[int, Callable[[bytearray], int]] = {
    SET_PIXEL_FORMAT: _fixed(20),
    SET_ENCODINGS: _count(">H", 2, 4, 4),
    UPDATE_REQUEST: _fixed(10),
    KEY: _fixed(8),
    POINTER: _fixed(6),
    CUT_TEXT: _count(">i", 4, 8, 1),  # a negative length marks the extended clipboard
    150: _fixed(10),  # EnableContinuousUpdates
    248: _count(">B", 8, 9, 1),  # ClientFence
    250: _fixed(4),  # xvp: shut down, reboot, reset
    251: _count(">B", 6, 8, 16),  # SetDesktopSize
    QEMU: _qemu,
}


class ClientFilter:
    """Browser to desktop, from ClientInit on. `inputs` counts keys and pointer moves, so that idleness can be told."""

    def __init__(
        self, *, view_only: bool = False, clipboard_in: bool = True, clipboard_out: bool = True, helps: bool = False
    ) -> None:
        """Take the policy. `helps`: the browser joins a session, so that only its keys and pointer moves pass."""
        self._helps = helps
        self._drop = (*INPUT, 250, 251) if view_only else ()
        self._clipboard_in = clipboard_in and not view_only
        self._clipboard_out = clipboard_out
        self._buffer = bytearray()
        self._started = False
        self._asked = False
        self.inputs = 0
        self.bits_per_pixel = 0  # 0: the browser did not choose, so the desktop's own format is used

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the browser and return those that may pass. Raises RfbError."""
        self._buffer += data
        out = bytearray()
        if not self._started and self._buffer:
            out += (
                b"" if self._helps else b"\x01"
            )  # ClientInit, always shared: one more viewer must not throw out the others
            del self._buffer[:1]
            self._started = True
        while self._buffer:
            size = self._measure()
            if size == 0 or len(self._buffer) < size:
                break
            out += self._judge(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return bytes(out)

    def _measure(self) -> int:
        measure = MEASURES.get(self._buffer[0])
        if measure is None:
            raise RfbError(f"unknown client message {self._buffer[0]}")
        size = measure(self._buffer)
        if size > MAX_MESSAGE:
            raise RfbError("client message too long")
        return size

    def _judge(self, message: bytes) -> bytes:
        kind = message[0]
        self.inputs += kind in INPUT
        if self._helps:
            return message if kind in INPUT else b""
        if kind in self._drop or (kind == CUT_TEXT and not self._clipboard_in and carries_text(message)):
            return b""
        if kind == SET_ENCODINGS:
            return self._encodings(message)
        if kind == SET_PIXEL_FORMAT:
            # The other direction's borders depend on the format, so it must not change while updates are under way.
            if self._asked and not self._clipboard_out:
                raise RfbError("pixel format changed under way")
            self.bits_per_pixel = message[4]
        self._asked = self._asked or kind == UPDATE_REQUEST
        return message

    def _encodings(self, message: bytes) -> bytes:
        asked = struct.unpack(f">{(len(message) - 4) // 4}I", message[4:])
        kept = [code for code in asked if code not in REFUSED and (self._clipboard_out or is_framed(code))]
        return struct.pack(f">BxH{len(kept)}I", SET_ENCODINGS, len(kept), *kept)
