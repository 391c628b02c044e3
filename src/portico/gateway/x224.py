"""The first two messages of RDP: X.224 connection request and confirm in TPKT ([MS-RDPBCGR] 2.2.1.1 and 2.2.1.2, RFC 1006). Pure."""

import struct
from dataclasses import dataclass

TLS, HYBRID, HYBRID_EX = 1, 2, 8  # RDP_NEG_REQ: requestedProtocols
REQUEST, RESPONSE, FAILURE = 1, 2, 3  # types of a negotiation structure
MAX_REQUEST = 1024
HEAD = 11  # TPKT (4 bytes) and the fixed part of X.224 (7 bytes)
CONNECTION_REQUEST, CONNECTION_CONFIRM = 0xE0, 0xD0

TLS_REQUIRED = 1  # RDP_NEG_FAILURE, 2.2.1.2.2
FAILURES = {
    1: "it takes TLS only",
    2: "it does not take TLS",
    3: "it has no certificate",
    4: "the flags are inconsistent",
    5: "it takes Network Level Authentication only",
    6: "it wants a client certificate",
}


class BadX224(Exception):
    """Not a message of this kind; says why, for the log."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """What the server chose: a security protocol, or a failure code (0 for none). `flags` are for the next messages."""

    selected: int
    failure: int
    flags: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's connection request: `token` is the text before the first line end (a cookie or routing token)."""

    token: bytes
    protocols: int


def tpkt_size(head: bytes) -> int | None:
    """Return how long the TPKT is that begins here; None while that is not known. Raises BadX224."""
    if head and head[0] != 3:
        raise BadX224("not TPKT")
    if len(head) < 4:
        return None
    size = int(struct.unpack_from(">H", head, 2)[0])
    if size < 7:
        raise BadX224("length")
    return size


def request(protocols: int, user: str = "") -> bytes:
    """Return a connection request. `user` is a hint for load balancers, at most nine characters of it are sent."""
    hint = "".join(one for one in user if one.isascii() and one.isalnum())[:9].encode()
    cookie = b"Cookie: mstshash=" + hint + b"\r\n" if hint else b""
    return _message(CONNECTION_REQUEST, cookie + struct.pack("<BBHI", REQUEST, 0, 8, protocols))


def confirm(selected: int, flags: int = 0) -> bytes:
    """Return a connection confirm that names the chosen security protocol."""
    return _message(CONNECTION_CONFIRM, struct.pack("<BBHI", RESPONSE, flags, 8, selected))


def failure(code: int) -> bytes:
    """Return a connection confirm that refuses."""
    return _message(CONNECTION_CONFIRM, struct.pack("<BBHI", FAILURE, 0, 8, code))


def parse_confirm(message: bytes) -> Confirm:
    """Read a server's answer; one without a negotiation structure chose the old RDP security (0). Raises BadX224."""
    rest = _content(message, CONNECTION_CONFIRM)
    if not rest:
        return Confirm(0, 0, 0)
    if len(rest) < 8:
        raise BadX224("negotiation")
    kind, flags, _, value = struct.unpack_from("<BBHI", rest)
    if kind == FAILURE:
        return Confirm(0, value or 1, flags)
    if kind != RESPONSE:
        raise BadX224("negotiation")
    return Confirm(value, 0, flags)


def parse_request(message: bytes) -> Asked:
    """Read a client's request. Raises BadX224."""
    if len(message) > MAX_REQUEST:
        raise BadX224("too long")
    rest = _content(message, CONNECTION_REQUEST)
    token, line_end, behind = rest.partition(b"\r\n")
    if not line_end:
        token, behind = b"", rest
    if len(behind) < 8:
        return Asked(token, 0)
    kind, _, _, protocols = struct.unpack_from("<BBHI", behind)
    return Asked(token, protocols if kind == REQUEST else 0)


def without_token(message: bytes) -> bytes:
    """Return a client's request without the cookie or routing token, which was for us. Raises BadX224."""
    rest = _content(message, CONNECTION_REQUEST)
    _, line_end, behind = rest.partition(b"\r\n")
    return _message(CONNECTION_REQUEST, behind if line_end else rest)


def _message(kind: int, rest: bytes) -> bytes:
    return struct.pack(">BBHBBHHB", 3, 0, HEAD + len(rest), 6 + len(rest), kind, 0, 0, 0) + rest


def _content(message: bytes, kind: int) -> bytes:
    if tpkt_size(message) != len(message) or len(message) < HEAD:
        raise BadX224("length")
    if message[5] & 0xF0 != kind or message[4] + 5 != len(message):
        raise BadX224("not the message that is due")
    return message[HEAD:]
