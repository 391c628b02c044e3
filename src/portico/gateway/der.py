"""The few pieces of DER (X.690) that RDCleanPath and CredSSP are made of: definite lengths, small tags, at most 64 KiB. Pure."""

from collections.abc import Iterator

INTEGER, OCTETS, UTF8, SEQUENCE = 0x02, 0x04, 0x0C, 0x30
CONTEXT = 0xA0  # constructed, context-specific: an EXPLICIT tag
MAX_BYTES = 64 * 1024


class BadDer(Exception):
    """The bytes are not what we take; the message says why, for the log."""


def tlv(tag: int, body: bytes) -> bytes:
    """Return one element."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def integer(number: int) -> bytes:
    """Return an INTEGER that is not negative."""
    return tlv(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(OCTETS, content)


def utf8(text: str) -> bytes:
    """Return a UTF8String."""
    return tlv(UTF8, text.encode())


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of encoded elements."""
    return tlv(SEQUENCE, b"".join(parts))


def explicit(number: int, inner: bytes) -> bytes:
    """Return an element under the EXPLICIT tag [number]."""
    return tlv(CONTEXT | number, inner)


def size_of(head: bytes) -> int | None:
    """Return how long the element is that begins here, in bytes with its head; None while that is not known. Raises BadDer."""
    if len(head) < 2:
        return None
    first = head[1]
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    if not 1 <= count <= 4:
        raise BadDer("length")
    if len(head) < 2 + count:
        return None
    size = 2 + count + int.from_bytes(head[2 : 2 + count], "big")
    if size > MAX_BYTES:
        raise BadDer("too long")
    return size


def read(data: bytes, at: int = 0) -> tuple[int, bytes, int]:
    """Return tag, body and the offset behind the element at an offset. Raises BadDer."""
    size = size_of(data[at : at + 6])
    if size is None or at + size > len(data):
        raise BadDer("cut short")
    if data[at] & 0x1F == 0x1F:
        raise BadDer("tag")
    head = 2 if data[at + 1] < 0x80 else 2 + (data[at + 1] & 0x7F)
    return data[at], data[at + head : at + size], at + size


def whole(data: bytes, tag: int) -> bytes:
    """Return the body of the one element that the bytes are. Raises BadDer for another tag, or for more behind it."""
    found, body, end = read(data)
    if found != tag or end != len(data):
        raise BadDer(f"tag {found:#x} where {tag:#x} is due" if found != tag else "more than one element")
    return body


def children(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and body of each element. Raises BadDer."""
    at = 0
    while at < len(body):
        tag, inner, at = read(body, at)
        yield tag, inner


def fields(body: bytes) -> dict[int, bytes]:
    """Return what stands under each EXPLICIT tag of a SEQUENCE's body: number → the encoded element. Raises BadDer."""
    found: dict[int, bytes] = {}
    for tag, inner in children(body):
        if tag & 0xE0 != CONTEXT or tag & 0x1F in found:
            raise BadDer("field")
        found[tag & 0x1F] = inner
    return found


def number(data: bytes) -> int:
    """Return the value of an INTEGER that fits eight bytes. Raises BadDer."""
    body = whole(data, INTEGER)
    if not 1 <= len(body) <= 9:
        raise BadDer("integer")
    return int.from_bytes(body, "big")


def text(data: bytes) -> str:
    """Return the value of a UTF8String. Raises BadDer."""
    try:
        return whole(data, UTF8).decode()
    except UnicodeDecodeError as problem:
        raise BadDer("not UTF-8") from problem
