"""Virtual channels under a policy: what a client may say on its clipboard and its device channel. Pure.

[MS-RDPBCGR] 3.1.5.2 (chunks), [MS-RDPECLIP] 2.2, [MS-RDPEFS] 2.2.2.9. Everything is enforced on what the client says: text of the desktop
reaches it only on its request, and what the desktop asks for comes only in its answers.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

FIRST, LAST, COMPRESSED = 0x1, 0x2, 0x00200000
CLIPBOARD, DEVICES = "cliprdr", "rdpdr"
FORMAT_LIST, DATA_REQUEST, DATA_RESPONSE, CONTENTS_REQUEST, CONTENTS_RESPONSE = 2, 4, 5, 8, 9
FAIL = 0x0002
ANNOUNCE = 0x4441  # PAKID_CORE_DEVICELIST_ANNOUNCE, behind RDPDR_CTYP_CORE
CORE = 0x4472
PRINTER, DRIVE = 4, 8
MAX_ANNOUNCE = 1 << 20


class BadChannel(Exception):
    """What the client says on a channel cannot be judged; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Switches:
    """What the policy allows."""

    clipboard_in: bool
    clipboard_out: bool
    files_in: bool
    files_out: bool
    drives: bool
    printers: bool
    usb: bool = True

    @property
    def closed(self) -> frozenset[str]:
        """The channels that need not exist at all."""
        return self._where(lambda allowed: not any(allowed))

    @property
    def judged(self) -> frozenset[str]:
        """The channels that exist and whose messages must be looked at."""
        return self._where(lambda allowed: any(allowed) and not all(allowed))

    def _where(self, holds: Callable[[tuple[bool, ...]], bool]) -> frozenset[str]:
        clipboard = (self.clipboard_in, self.clipboard_out, self.files_in, self.files_out)
        allowed = {CLIPBOARD: clipboard, DEVICES: (self.drives, self.printers)}
        return frozenset(name for name, switches in allowed.items() if holds(switches))


class ClipboardChannel:
    """Judges the client's clipboard messages by their first chunk; a forbidden one is replaced by one that says nothing."""

    def __init__(self, switches: Switches) -> None:
        self._allowed = {
            FORMAT_LIST: switches.clipboard_in or switches.files_in,
            DATA_RESPONSE: switches.clipboard_in or switches.files_in,
            DATA_REQUEST: switches.clipboard_out or switches.files_out,
            CONTENTS_REQUEST: switches.files_out,
            CONTENTS_RESPONSE: switches.files_in,
        }
        self._dropping = False

    def judge(self, chunk: bytes) -> bytes:
        """Return what becomes of a chunk (CHANNEL_PDU_HEADER and data): itself, a replacement, or nothing. Raises BadChannel."""
        _, flags = _header(chunk)
        if flags & FIRST:
            self._dropping = False
            if len(chunk) < 16:
                raise BadChannel("clipboard message in crumbs")
            (kind,) = struct.unpack_from("<H", chunk, 8)
            if self._allowed.get(kind, True):
                return chunk
            self._dropping = not flags & LAST
            return self._instead(kind, chunk)
        if not self._dropping:
            return chunk
        self._dropping = not flags & LAST
        return b""

    def _instead(self, kind: int, chunk: bytes) -> bytes:
        """An empty list of formats, a request for a format that does not exist, or a failed answer: so that nobody waits."""
        if kind == FORMAT_LIST:
            return _chunk(struct.pack("<HHI", kind, 0, 0))
        if kind == DATA_REQUEST:
            return _chunk(struct.pack("<HHII", kind, 0, 4, 0))
        if kind == DATA_RESPONSE:
            return _chunk(struct.pack("<HHI", kind, FAIL, 0))
        if kind == CONTENTS_RESPONSE:
            stream = chunk[16:20].ljust(4, b"\0")
            return _chunk(struct.pack("<HHI", kind, FAIL, 4) + stream)
        return b""  # a request for a file's content: whoever sends it was told that it may not


class DeviceChannel:
    """Takes the devices that the policy forbids out of the client's announcements."""

    def __init__(self, switches: Switches) -> None:
        self._kinds = {kind for kind, on in ((PRINTER, switches.printers), (DRIVE, switches.drives)) if on}
        self._message: bytearray | None = None  # an announcement under way

    def judge(self, chunk: bytes) -> bytes:
        """Return what becomes of a chunk: itself, nothing while an announcement gathers, or the announcement. Raises BadChannel."""
        length, flags = _header(chunk)
        if flags & FIRST:
            if len(chunk) < 12:
                raise BadChannel("device message in crumbs")
            is_announcement = struct.unpack_from("<HH", chunk, 8) == (CORE, ANNOUNCE)
            self._message = bytearray() if is_announcement else None
            if is_announcement and length > MAX_ANNOUNCE:
                raise BadChannel("too many devices")
        if self._message is None:
            return chunk
        self._message += chunk[8:]
        if len(self._message) > MAX_ANNOUNCE:
            raise BadChannel("too many devices")
        if not flags & LAST:
            return b""
        message, self._message = bytes(self._message), None
        return _chunk(self._pick(message))

    def _pick(self, message: bytes) -> bytes:
        if len(message) < 8:
            raise BadChannel("device list")
        (count,) = struct.unpack_from("<I", message, 4)
        at, kept = 8, []
        for _ in range(min(count, 256)):
            if at + 20 > len(message):
                raise BadChannel("device list")
            kind, *_, size = struct.unpack_from("<II8sI", message, at)
            end = at + 20 + size
            if end > len(message):
                raise BadChannel("device list")
            if kind in self._kinds:
                kept.append(message[at:end])
            at = end
        return message[:4] + struct.pack("<I", len(kept)) + b"".join(kept)


Channel = ClipboardChannel | DeviceChannel


def channel_for(name: str, switches: Switches) -> Channel:
    """Return the judge of a channel of `Switches.judged`."""
    return ClipboardChannel(switches) if name == CLIPBOARD else DeviceChannel(switches)


def _header(chunk: bytes) -> tuple[int, int]:
    if len(chunk) < 8:
        raise BadChannel("no chunk header")
    length, flags = struct.unpack_from("<II", chunk)
    if flags & COMPRESSED:
        raise BadChannel("compressed")
    return int(length), int(flags)


def _chunk(message: bytes) -> bytes:
    return struct.pack("<II", len(message), FIRST | LAST) + message
