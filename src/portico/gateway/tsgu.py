"""The packets of an RD Gateway ([MS-TSGU] 2.2.10, HTTP transport): what we read of a client and what we answer. Pure.

The client proves itself by a cookie (PAA, "pluggable authentication") that is our ticket; names and ports of desktops that it asks for
are read and not believed.
"""

import struct
from dataclasses import dataclass, field

HANDSHAKE_REQUEST, HANDSHAKE_RESPONSE = 0x1, 0x2
TUNNEL_CREATE, TUNNEL_RESPONSE = 0x4, 0x5
TUNNEL_AUTH, TUNNEL_AUTH_RESPONSE = 0x6, 0x7
CHANNEL_CREATE, CHANNEL_RESPONSE = 0x8, 0x9
DATA, KEEPALIVE, CLOSE_CHANNEL, CLOSE_CHANNEL_RESPONSE = 0xA, 0xD, 0x10, 0x11
HEAD = 8
MAX_PACKET = 64 * 1024 + 64
MAX_DATA = 16 * 1024  # bytes in a data packet of ours: more does not fit a TLS record
EXTENDED_AUTH_PAA = 0x2
FIELD_PAA_COOKIE = 0x1
COOKIE_REFUSED = 0x800759F7  # E_PROXY_COOKIE_AUTHENTICATION_ACCESS_DENIED
UNREACHABLE = 0x800759DD  # E_PROXY_TS_CONNECTFAILED
ACCESS_DENIED = 0x800759DB  # E_PROXY_RAP_ACCESSDENIED
# What the tunnel offers to redirect is no barrier, as clients may ignore it; the channels are closed within RDP.
ALL_REDIRECTIONS = 0x80000000


class BadPacket(Exception):
    """The client's bytes are not what MS-TSGU has here; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet of a client without its head."""

    kind: int
    body: bytes = field(repr=False)


class PacketReader:
    """Cuts the binary stream of the WebSocket into packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Packet]:
        """Return the packets that are whole. Raises BadPacket."""
        self._buffer += data
        packets = []
        while len(self._buffer) >= HEAD:
            kind, _, size = struct.unpack_from("<HHI", self._buffer)
            if not HEAD <= size <= MAX_PACKET:
                raise BadPacket("length")
            if len(self._buffer) < size:
                break
            packets.append(Packet(kind, bytes(self._buffer[HEAD:size])))
            del self._buffer[:size]
        return packets


def packet(kind: int, body: bytes = b"") -> bytes:
    """Return a packet with its head (2.2.10.9 HTTP_PACKET_HEADER)."""
    return struct.pack("<HHI", kind, 0, HEAD + len(body)) + body


def handshake(body: bytes) -> bytes:
    """Answer a handshake (2.2.10.10, 2.2.10.11): the same version, and cookies as the one way to log in. Raises BadPacket."""
    if len(body) < 6:
        raise BadPacket("handshake")
    return packet(HANDSHAKE_RESPONSE, struct.pack("<IBBHH", 0, body[0], body[1], 0, EXTENDED_AUTH_PAA))


def cookie(body: bytes) -> str:
    """Return the cookie of a tunnel request (2.2.10.18, 2.2.10.19). Raises BadPacket."""
    if len(body) < 8:
        raise BadPacket("tunnel request")
    _, fields, _ = struct.unpack_from("<IHH", body)
    if not fields & FIELD_PAA_COOKIE or len(body) < 10:
        raise BadPacket("no cookie")
    (size,) = struct.unpack_from("<H", body, 8)
    if len(body) < 10 + size:
        raise BadPacket("cookie cut short")
    try:
        return body[10 : 10 + size].decode("utf-16-le").rstrip("\0")
    except UnicodeDecodeError as problem:
        raise BadPacket("cookie") from problem


def tunnel_made() -> bytes:
    """Return the answer to a tunnel request whose cookie is good (2.2.10.20): tunnel 1, all capabilities."""
    return packet(TUNNEL_RESPONSE, struct.pack("<HIHHII", 0, 0, 0x3, 0, 1, 0x3F))


def tunnel_refused(status: int) -> bytes:
    """Return the answer to a tunnel request that we do not take."""
    return packet(TUNNEL_RESPONSE, struct.pack("<HIHH", 0, status, 0, 0))


def tunnel_authorised() -> bytes:
    """Return the answer to a tunnel authorisation (2.2.10.16): redirection flags, and no idle time-out of the tunnel's own."""
    return packet(TUNNEL_AUTH_RESPONSE, struct.pack("<IHHII", 0, 0x3, 0, ALL_REDIRECTIONS, 0))


def channel_made() -> bytes:
    """Return the answer to a channel request (2.2.10.4): channel 1."""
    return packet(CHANNEL_RESPONSE, struct.pack("<IHHI", 0, 1, 0, 1))


def channel_refused(status: int) -> bytes:
    """Return the answer to a channel that cannot be made."""
    return packet(CHANNEL_RESPONSE, struct.pack("<IHH", status, 0, 0))


def data(content: bytes) -> bytes:
    """Return bytes of the desktop as data packets (2.2.10.6)."""
    pieces = (content[at : at + MAX_DATA] for at in range(0, len(content), MAX_DATA))
    return b"".join(packet(DATA, struct.pack("<H", len(piece)) + piece) for piece in pieces)


def content(body: bytes) -> bytes:
    """Return the bytes of a data packet. Raises BadPacket."""
    if len(body) < 2:
        raise BadPacket("data")
    (size,) = struct.unpack_from("<H", body)
    if len(body) < 2 + size:
        raise BadPacket("data cut short")
    return body[2 : 2 + size]


def closed(status: int = 0) -> bytes:
    """Return the end of a channel, asked for or not (2.2.10.5)."""
    return packet(CLOSE_CHANNEL, struct.pack("<IHH", status, 0, 0))


def close_answer() -> bytes:
    """Return the answer to the client's end of a channel."""
    return packet(CLOSE_CHANNEL_RESPONSE, struct.pack("<IHH", 0, 0, 0))
