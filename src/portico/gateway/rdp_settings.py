"""The two messages of an RDP client that the gateway writes anew: its settings and the person's log-in. Pure.

[MS-RDPBCGR] 2.2.1.3 Client MCS Connect Initial with the GCC blocks CS_CORE and CS_NET, and 2.2.1.11 Client Info. All changes of the
settings keep their length, so that the encodings around them stand.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from portico.gateway.entry import LogIn

CS_CORE, CS_NET = 0xC001, 0xC003
SC_CORE = 0x0C01
CORE_LENGTH = 216  # up to and with serverSelectedProtocol
SEND_DATA = 0x64  # MCS SendDataRequest, T.125
SEC_INFO = 0x0040
AUTOLOGON, UNICODE = 0x08, 0x10
COMPRESSION = 0x80
WANT_32_BITS = 0x0002
ALL_DEPTHS = 0x000F
MAX_CHANNELS = 31
MAX_TEXT = 512  # bytes of a name or password, 2.2.1.11.1.1
HEADERS = 7  # TPKT and X.224 data


class BadRdp(Exception):
    """The client's message is not what RDP has here; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the gateway decides of a client's settings.

    `layout` is a Windows keyboard layout (0 leaves the client's), `selected` the security protocol that the desktop chose, `deep` asks
    for 32 bits a pixel whatever the client asks, `closed` names the virtual channels that the desktop shall never open.
    """

    selected: int
    layout: int = 0
    deep: bool = True
    closed: frozenset[str] = frozenset()


def write_settings(message: bytes, settings: Settings) -> bytes:
    """Return a Client MCS Connect Initial with our settings in it. Raises BadRdp."""
    new = bytearray(message)
    blocks = dict(_blocks(message))
    if CS_CORE not in blocks:
        raise BadRdp("no core data")
    _core(new, blocks[CS_CORE], settings)
    if CS_NET in blocks:
        for place, name in _channels(message, blocks[CS_NET]):
            if name in settings.closed:
                # Renamed, so that the numbers of the others stay and the desktop knows no channel of this name.
                new[place : place + 8] = f"off{place}".encode()[:7].ljust(8, b"\0")
    return bytes(new)


def channel_names(message: bytes) -> list[str]:
    """Return the virtual channels that a Client MCS Connect Initial asks for, in order. Raises BadRdp."""
    places = dict(_blocks(message)).get(CS_NET)
    return [name for _, name in _channels(message, places)] if places else []


def server_blocks(message: bytes) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield kind, place and size of each GCC block of an MCS Connect Response (2.2.1.4). Raises BadRdp."""
    return _blocks(message, b"McDn")


def write_asked(message: bytes, protocols: int) -> bytes:
    """Return an MCS Connect Response that repeats other requested protocols (2.2.1.4.2): clients compare them with their own."""
    new = bytearray(message)
    for kind, (at, size) in server_blocks(message):
        if kind == SC_CORE and size >= 12:
            struct.pack_into("<I", new, at + 8, protocols)
    return bytes(new)


def _blocks(message: bytes, key: bytes = b"Duca") -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield kind, place and size of each GCC block of the client, or of the server with its key."""
    at = message.find(key)  # the GCC user data, T.124: what stands before has no fixed length
    if at < 0 or at + 6 > len(message):
        raise BadRdp("no GCC user data")
    at += 6 if message[at + 4] & 0x80 else 5
    while at + 4 <= len(message):
        kind, size = struct.unpack_from("<HH", message, at)
        if size < 4 or at + size > len(message):
            raise BadRdp("GCC block")
        yield kind, (at, size)
        at += size


def _core(new: bytearray, block: tuple[int, int], settings: Settings) -> None:
    at, size = block
    if size < CORE_LENGTH:
        raise BadRdp("core data of an old client")
    if settings.layout:
        struct.pack_into("<I", new, at + 16, settings.layout)
    if settings.deep:
        struct.pack_into("<HH", new, at + 140, 24, ALL_DEPTHS)
        (early,) = struct.unpack_from("<H", new, at + 144)
        struct.pack_into("<H", new, at + 144, early | WANT_32_BITS)
    struct.pack_into("<I", new, at + 212, settings.selected)


def _channels(message: bytes, block: tuple[int, int]) -> list[tuple[int, str]]:
    """Return place and name of each virtual channel of a CS_NET block."""
    at, size = block
    (count,) = struct.unpack_from("<I", message, at + 4) if size >= 8 else (0,)
    if count > MAX_CHANNELS or 8 + 12 * count > size:
        raise BadRdp("channels")
    places = [at + 8 + 12 * number for number in range(count)]
    return [(place, message[place : place + 8].split(b"\0")[0].decode("latin-1").lower()) for place in places]


def is_info(message: bytes) -> bool:
    """Tell whether a message of the client is its Client Info."""
    at = _payload(message)
    if at is None or at + 4 > len(message):
        return False
    return bool(struct.unpack_from("<H", message, at)[0] & SEC_INFO)


def write_info(message: bytes, log_in: LogIn) -> bytes:
    """Return a Client Info that logs in as somebody else than the client says. Raises BadRdp."""
    at = _payload(message)
    if at is None or at + 22 > len(message):
        raise BadRdp("client info")
    security, body = message[at : at + 4], message[at + 4 :]
    page, flags, *sizes = struct.unpack_from("<II5H", body)
    place, parts = 18, []
    for size in sizes:  # domain, user name, password, alternate shell, working directory; each with an end of two zeros
        if place + size + 2 > len(body):
            raise BadRdp("client info")
        parts.append(body[place : place + size])
        place += size + 2
    if not flags & UNICODE:
        raise BadRdp("client info without Unicode")
    parts[:3] = (_text(value) for value in (log_in.domain, log_in.username, log_in.password))
    fields = struct.pack("<II5H", page, flags | AUTOLOGON | UNICODE, *map(len, parts))
    data = security + fields + b"".join(part + b"\0\0" for part in parts) + body[place:]
    mcs = message[HEADERS : HEADERS + 6] + struct.pack(">H", 0x8000 | len(data)) + data
    return struct.pack(">BBH", 3, 0, HEADERS + len(mcs)) + message[4:HEADERS] + mcs


def without_compression(message: bytes) -> bytes:
    """Return a Client Info that asks the desktop to compress nothing, so that its messages can be read. Raises BadRdp."""
    at = _payload(message)
    if at is None or at + 12 > len(message):
        raise BadRdp("client info")
    new = bytearray(message)
    (flags,) = struct.unpack_from("<I", new, at + 8)
    struct.pack_into("<I", new, at + 8, flags & ~COMPRESSION)
    return bytes(new)


def _text(value: str) -> bytes:
    data = value.encode("utf-16-le")
    if len(data) > MAX_TEXT:
        raise BadRdp("the desktop's user name or password is too long for RDP")
    return data


def _payload(message: bytes) -> int | None:
    """Return where the data of an MCS SendDataRequest begins (behind its PER length), None for another message."""
    if len(message) < HEADERS + 8 or message[0] != 3 or message[HEADERS] != SEND_DATA:
        return None
    return HEADERS + 8 if message[HEADERS + 6] & 0x80 else HEADERS + 7
