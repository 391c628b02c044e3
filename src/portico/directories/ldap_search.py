"""Searches and what they answer, in BER: RFC 4511, section 4.5; X.690. Written out, for a log-in is made of them.

Reading is strict: definite lengths that end where they say, and nothing is followed deeper than the form goes. Raises ValueError.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sansldap
from sansldap.asn1 import ASN1Writer

PAGED = "1.2.840.113556.1.4.319"  # RFC 2696
ENTRY, DONE, REFERENCE, INTERMEDIATE = 0x64, 0x65, 0x73, 0x79
_REQUEST, _SEQUENCE, _SET, _OCTETS, _INTEGER, _ENUMERATED, _BOOLEAN, _CONTROLS = (
    0x63,
    0x30,
    0x31,
    0x04,
    0x02,
    0x0A,
    0x01,
    0xA0,
)
_AND, _OR, _EQUALITY, _PRESENT = 0xA0, 0xA1, 0xA3, 0x87
_LENGTH_BYTES = 4
_FALSE, _NEVER_DEREFERENCE = b"\x01\x01\x00", b"\x0a\x01\x00"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is searched for. `scope`: 0 base, 2 subtree. Limits are in entries and seconds; `page` is 0 or the size of one."""

    base: str
    scope: int
    where: sansldap.LDAPFilter
    attributes: Sequence[str]
    most: int
    seconds: int
    page: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One message of an answer: to which request, of which kind (ENTRY, DONE, …), and where its parts lie."""

    number: int
    kind: int
    data: bytes
    start: int
    stop: int


def request(number: int, wanted: Wanted, cookie: bytes = b"") -> bytes:
    """Write a search; with `cookie`, the one for the next page."""
    body = (
        _text(wanted.base) + bytes((_ENUMERATED, 1, wanted.scope)) + _NEVER_DEREFERENCE + _number(wanted.most)
        + _number(wanted.seconds) + _FALSE + _filter(wanted.where) + _tlv(_SEQUENCE, b"".join(map(_text, wanted.attributes)))
    )  # fmt: skip
    controls = b""
    if wanted.page:
        value = _tlv(_SEQUENCE, _number(wanted.page) + _tlv(_OCTETS, cookie))
        controls = _tlv(_CONTROLS, _tlv(_SEQUENCE, _text(PAGED) + _tlv(_OCTETS, value)))
    return _tlv(_SEQUENCE, _number(number) + _tlv(_REQUEST, body) + controls)


def read(data: bytes) -> Message:
    """Read the outside of a message."""
    start, stop = _expect(data, 0, len(data), _SEQUENCE)
    at, end = _expect(data, start, stop, _INTEGER)
    kind, inner, after = _next(data, end, stop)
    return Message(int.from_bytes(data[at:end], "big", signed=True), kind, data, inner, after)


def entry(message: Message) -> tuple[str, dict[str, tuple[bytes, ...]]]:
    """Read an entry: its DN, and its attributes by small letters."""
    data = message.data
    at, end = _expect(data, message.start, message.stop, _OCTETS)
    dn = data[at:end].decode()
    at, stop = _expect(data, end, message.stop, _SEQUENCE)
    found = {}
    while at < stop:
        inner, at = _expect(data, at, stop, _SEQUENCE)
        first, end = _expect(data, inner, at, _OCTETS)
        name = data[first:end].decode().lower()
        place, last = _expect(data, end, at, _SET)
        values = []
        while place < last:
            first, place = _expect(data, place, last, _OCTETS)
            values.append(data[first:place])
        found[name] = tuple(values)
    return dn, found


def done(message: Message) -> tuple[int, str, bytes]:
    """Read how a search ended: the result code, the server's text, and the cookie of the next page."""
    data = message.data
    at, end = _expect(data, message.start, message.stop, _ENUMERATED)
    code = int.from_bytes(data[at:end], "big")
    _, end = _expect(data, end, message.stop, _OCTETS)
    at, end = _expect(data, end, message.stop, _OCTETS)
    cookie = next((value for name, value in _controls(message) if name == PAGED), b"")
    return code, data[at:end].decode("utf-8", "replace"), _cookie(cookie) if cookie else b""


def _controls(message: Message) -> Iterator[tuple[str, bytes]]:
    data, at = message.data, message.stop
    if at == len(data):
        return
    at, stop = _expect(data, at, len(data), _CONTROLS)
    while at < stop:
        inner, at = _expect(data, at, stop, _SEQUENCE)
        first, end = _expect(data, inner, at, _OCTETS)
        name, value = data[first:end].decode(), b""
        while end < at:
            kind, first, end = _next(data, end, at)
            if kind == _OCTETS:
                value = data[first:end]
            elif kind != _BOOLEAN:
                raise ValueError("a control of another form")
        yield name, value


def _cookie(value: bytes) -> bytes:
    at, stop = _expect(value, 0, len(value), _SEQUENCE)
    _, end = _expect(value, at, stop, _INTEGER)
    at, end = _expect(value, end, stop, _OCTETS)
    return value[at:end]


def _expect(data: bytes, at: int, end: int, wanted: int) -> tuple[int, int]:
    kind, start, stop = _next(data, at, end)
    if kind != wanted:
        raise ValueError(f"0x{kind:02x} where 0x{wanted:02x} belongs")
    return start, stop


def _next(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return the tag of what stands at a place, and where its content begins and ends."""
    if at + 2 > end:
        raise ValueError("it ends too early")
    kind, length = data[at], data[at + 1]
    at += 2
    if length & 0x80:
        more = length & 0x7F
        if not 1 <= more <= _LENGTH_BYTES or at + more > end:
            raise ValueError("a length that cannot be read")
        length = int.from_bytes(data[at : at + more], "big")
        at += more
    if at + length > end:
        raise ValueError("it is longer than what it is in")
    return kind, at, at + length


def _filter(where: sansldap.LDAPFilter) -> bytes:
    if isinstance(where, sansldap.FilterEquality):
        return _tlv(_EQUALITY, _text(where.attribute) + _tlv(_OCTETS, where.value))
    if isinstance(where, sansldap.FilterAnd | sansldap.FilterOr):
        kind = _AND if isinstance(where, sansldap.FilterAnd) else _OR
        return _tlv(kind, b"".join(map(_filter, where.filters)))
    if isinstance(where, sansldap.FilterPresent):
        return _tlv(_PRESENT, where.attribute.encode())
    writer = ASN1Writer()
    where.pack(writer, sansldap.FilterOptions())
    return bytes(writer.get_data())


def _text(text: str) -> bytes:
    return _tlv(_OCTETS, text.encode())


def _number(number: int) -> bytes:
    return _tlv(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(kind: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((kind, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((kind, 0x80 | len(length))) + length + content
