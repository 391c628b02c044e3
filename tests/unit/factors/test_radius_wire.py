"""RADIUS packets: what is believed and what is not. Answers are made here by hand, from RFC 2865 and 3579 alone."""

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import Invalid
from portico.factors.radius_wire import MAX_PACKET, access_request, read_reply, shown, status_request
from portico.ports.second_factor import Answer

pytestmark = pytest.mark.capability("S045", "S046")
SECRET = b"a-shared-secret-of-tests"
ACCEPT, REJECT, CHALLENGE = 2, 3, 11


def attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, len(value) + 2)) + value


def reply_to(
    request: bytes, code: int, attributes: bytes = b"", *, signed: bool = True, secret: bytes = SECRET
) -> bytes:
    """Build an answer: its authenticator is MD5 over all of it with the request's and the secret."""
    if signed:
        attributes = attribute(80, bytes(16)) + attributes
    head = struct.pack("!BBH", code, request[1], 20 + len(attributes))
    if signed:
        mark = hmac.new(secret, head + request[4:20] + attributes, "md5").digest()
        attributes = attributes[:2] + mark + attributes[18:]
    return head + hashlib.md5(head + request[4:20] + attributes + secret).digest() + attributes


def attributes_of(raw: bytes) -> dict[int, bytes]:
    found, place = {}, 20
    while place < len(raw):
        found[raw[place]] = raw[place + 2 : place + raw[place + 1]]
        place += raw[place + 1]
    return found


@pytest.mark.parametrize("code", ["", "1", "314159", "pin 314159 ünï", "x" * 16, "x" * 128])
def test_a_request_hides_the_code_and_is_signed(code: str) -> None:
    """RFC 2865, section 5.2, undone; RFC 3579, section 3.2, done again. Two requests have nothing in common."""
    request = access_request(SECRET, "portico", "ada", code, b"state")
    raw, held = request.raw, attributes_of(request.raw)
    assert raw[0] == 1 and raw[20] == 80 and struct.unpack("!H", raw[2:4])[0] == len(raw)
    assert (held[1], held[24], held[32]) == (b"ada", b"state", b"portico")
    plain, last = b"", raw[4:20]
    for start in range(0, len(held[2]), 16):
        block = held[2][start : start + 16]
        plain += bytes(a ^ b for a, b in zip(block, hashlib.md5(SECRET + last).digest(), strict=True))
        last = block
    assert plain.rstrip(b"\0").decode() == code and len(held[2]) >= 16
    unsigned = raw[:22] + bytes(16) + raw[38:]
    assert hmac.new(SECRET, unsigned, "md5").digest() == held[80]
    other = access_request(SECRET, "portico", "ada", code, b"state").raw
    assert other[4:20] != raw[4:20]


def test_what_does_not_fit_is_not_sent() -> None:
    for name, code in (("ada", "x" * 129), ("", "1"), ("x" * 254, "1")):
        with pytest.raises(Invalid):
            access_request(SECRET, "portico", name, code)


def test_a_sign_of_life_is_asked_for() -> None:
    request = status_request(SECRET, "portico")
    assert request.raw[0] == 12 and 80 in attributes_of(request.raw)
    found = read_reply(request, reply_to(request.raw, ACCEPT))
    assert found is not None and found.answer is Answer.ACCEPT


def test_answers_are_read() -> None:
    request = access_request(SECRET, "portico", "ada", "1")
    said = attribute(18, b"Next\x00\r\n<code>") + attribute(18, "für ada".encode()) + attribute(24, b"\x00\xff state")
    for code, answer in ((ACCEPT, Answer.ACCEPT), (REJECT, Answer.REJECT), (CHALLENGE, Answer.CHALLENGE)):
        found = read_reply(request, reply_to(request.raw, code, said) + b"padding")
        assert found is not None
        assert (found.answer, found.message, found.state) == (answer, "Next <code> für ada", b"\x00\xff state")


def test_what_could_be_forged_is_not_believed() -> None:
    """A wrong secret, another request's answer, none but the authenticator (CVE-2024-3596), a byte changed anywhere."""
    request, other = (access_request(SECRET, "portico", "ada", "1") for _ in range(2))
    good = reply_to(request.raw, ACCEPT, attribute(18, b"Hello"))
    assert read_reply(request, good) is not None
    bad = [reply_to(request.raw, ACCEPT, secret=b"another"), request.raw, good[:-1], good[:19], b""]
    bad += [reply_to(request.raw, code) for code in (1, 4, 5, 12, 255)]
    bad += [good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :] for place in range(len(good))]
    bad.append(reply_to(request.raw[:4] + other.raw[4:], ACCEPT))
    bad.append(reply_to(request.raw, ACCEPT, attribute(33, b"proxied")))
    for raw in bad:
        assert read_reply(request, raw) is None
        assert read_reply(request, raw, strict=False) is None
    unsigned = reply_to(request.raw, ACCEPT, signed=False)
    assert read_reply(request, unsigned) is None
    assert read_reply(request, unsigned, strict=False) is not None


@pytest.mark.parametrize("rest", [b"\x12", b"\x12\x00", b"\x12\x01", b"\x12\x05ab", b"\x1a\x03x", b"\x50\x03x"])
def test_attributes_that_do_not_fill_the_packet_are_refused(rest: bytes) -> None:
    request = access_request(SECRET, "portico", "ada", "1")
    whole = bytearray(reply_to(request.raw, ACCEPT, signed=False) + rest)
    whole[2:4] = struct.pack("!H", len(whole))
    mark = hashlib.md5(bytes(whole[:4]) + request.raw[4:20] + bytes(whole[20:]) + SECRET).digest()
    whole[4:20] = mark
    assert read_reply(request, bytes(whole)) is None


def test_packets_that_are_too_large_are_refused() -> None:
    request = access_request(SECRET, "portico", "ada", "1")
    many = attribute(18, b"x" * 253) * 17
    assert len(many) > MAX_PACKET
    assert read_reply(request, reply_to(request.raw, ACCEPT, many)) is None
    found = read_reply(request, reply_to(request.raw, REJECT, attribute(18, b"x" * 253) * 15))
    assert found is not None and len(found.message) == 200


@given(st.binary(max_size=5000))
def test_anything_may_come(raw: bytes) -> None:
    request = access_request(SECRET, "portico", "ada", "1")
    assert read_reply(request, raw) is None
    assert read_reply(request, bytes((2, request.raw[1])) + raw, strict=False) is None


@given(
    st.sampled_from([ACCEPT, REJECT, CHALLENGE]),
    st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=60)), max_size=40),
)
def test_whoever_knows_the_secret_may_say_anything(code: int, attributes: list[tuple[int, bytes]]) -> None:
    """Nothing raises, and what is shown of it is one short line."""
    request = access_request(SECRET, "portico", "ada", "1")
    raw = reply_to(request.raw, code, b"".join(attribute(kind, value) for kind, value in attributes))
    found = read_reply(request, raw)
    if found is not None:
        assert len(found.message) <= 200 and (found.message.isprintable() or not found.message)


@given(st.text())
def test_what_is_shown_is_one_line(text: str) -> None:
    assert shown(text).isprintable() and len(shown(text)) <= 200
