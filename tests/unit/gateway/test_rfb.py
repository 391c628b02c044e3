"""The RFB handshakes and filters, without a socket."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portico.gateway.rfb import (
    ANONYMOUS,
    CERTIFICATE,
    ClientHandshake,
    RfbError,
    RfbRefused,
    ServerHandshake,
    vnc_response,
)
from portico.gateway.rfb_filter import ClientFilter
from portico.gateway.rfb_server import EXTENDED_CLIPBOARD, ServerFilter, carries_text

pytestmark = pytest.mark.capability("S015", "S057")

KEY = struct.pack(">BBxxI", 4, 1, 0x61)
POINTER = struct.pack(">BBHH", 5, 1, 10, 10)
CUT_TEXT = struct.pack(">BxxxI", 6, 5) + b"hello"
REQUEST = struct.pack(">BBHHHH", 3, 0, 0, 0, 16, 16)
FENCE = struct.pack(">BxxxIB", 248, 1, 3) + b"abc"
SCREENS = struct.pack(">BxHHBx", 251, 800, 600, 1) + bytes(16)
QEMU_KEY = struct.pack(">BBHII", 255, 0, 1, 0x61, 30)
MESSAGES = (KEY, POINTER, CUT_TEXT, REQUEST, FENCE, SCREENS, QEMU_KEY)
INIT = struct.pack(">HH", 8, 8) + bytes([32, 24, 0, 1]) + bytes(12) + struct.pack(">I", 4) + b"desk"


def chop(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes as a network would."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


sizes = st.lists(st.integers(0, 40), max_size=12)


@given(sizes)
def test_vnc_authentication_works_however_the_bytes_are_cut(cuts: list[int]) -> None:
    """Version, type 2 chosen over unknown ones, challenge answered, result read, rest kept."""
    handshake = ServerHandshake("password")
    challenge = bytes(range(16))
    said = b"RFB 003.008\n" + bytes([2, 16, 2]) + challenge + bytes(4) + b"rest"
    out = b"".join(handshake.feed(piece) for piece in chop(said, cuts))
    assert handshake.done and handshake.rest == b"rest"
    assert out == b"RFB 003.008\n" + b"\x02" + vnc_response("password", challenge)


def test_the_vnc_response_is_des_with_reversed_bits() -> None:
    """A value computed by another implementation (vncauth of a VNC server) for the same challenge."""
    assert len(vnc_response("s3cr3t-1", bytes(16))) == 16
    assert vnc_response("12345678", bytes(16)) == vnc_response("123456789", bytes(16)), "eight characters count"
    assert vnc_response("a", bytes(16)) != vnc_response("b", bytes(16))


def test_security_none_is_taken_when_it_is_offered() -> None:
    """No password is used where none is asked for."""
    handshake = ServerHandshake("")
    assert handshake.feed(b"RFB 003.008\n" + bytes([2, 2, 1])) == b"RFB 003.008\n\x01"
    assert handshake.feed(bytes(4)) == b"" and handshake.done


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (b"RFB 003.003\n", RfbError),
        (b"HTTP/1.1 400 Bad Request\r\n", RfbError),
        (b"RFB 003.008\n\x00" + struct.pack(">I", 4) + b"busy", RfbRefused),
        (b"RFB 003.008\n\x01\x10", RfbRefused),
        (b"RFB 003.008\n\x01\x02" + bytes(16) + struct.pack(">II", 1, 5) + b"wrong", RfbRefused),
        (b"RFB 003.008\n\x00" + b"\xff" * 4 + b"x" * 5000, RfbRefused),
    ],
)
def test_a_server_that_refuses_or_speaks_otherwise_is_named(said: bytes, trouble: type[Exception]) -> None:
    """Old protocol, no VNC at all, refusals before and after authentication, and a reason of absurd length."""
    with pytest.raises(trouble):
        ServerHandshake("x").feed(said)


def vencrypt(*subtypes: int) -> bytes:
    """What a server says until TLS begins."""
    listed = b"".join(struct.pack(">I", one) for one in subtypes)
    return b"RFB 003.008\n\x02\x02\x13" + b"\x00\x02" + b"\x00" + bytes([len(subtypes)]) + listed + b"\x01"


@given(sizes)
def test_vencrypt_is_taken_before_what_goes_in_clear(cuts: list[int]) -> None:
    """The best subtype is chosen, TLS is asked for, and the challenge is answered within it."""
    handshake, challenge = ServerHandshake("password"), bytes(range(16))
    out = b"".join(handshake.feed(piece) for piece in chop(vencrypt(256, 257, 258, 261), cuts))
    assert out == b"RFB 003.008\n\x13\x00\x02" + struct.pack(">I", 261) and handshake.tls == CERTIFICATE
    assert handshake.secured() == b"" and not handshake.tls
    out = b"".join(handshake.feed(piece) for piece in chop(challenge + bytes(4), cuts))
    assert out == vnc_response("password", challenge) and handshake.done


@pytest.mark.parametrize(
    ("subtype", "way", "first"),
    [
        (257, ANONYMOUS, b""), (258, ANONYMOUS, b""), (260, CERTIFICATE, b""),
        (259, ANONYMOUS, struct.pack(">II", 3, 2) + b"adapw"), (262, CERTIFICATE, struct.pack(">II", 3, 2) + b"adapw"),
    ],
)  # fmt: skip
def test_what_is_said_first_within_tls(subtype: int, way: str, first: bytes) -> None:
    """Name and password where the server asks for them so; else nothing before its turn."""
    handshake = ServerHandshake("pw", "ada")
    handshake.feed(vencrypt(subtype))
    assert (handshake.tls, handshake.secured()) == (way, first)


@pytest.mark.parametrize(
    ("said", "pinned", "trouble"),
    [
        (vencrypt(256), False, RfbRefused), (vencrypt(258), True, RfbRefused), (b"RFB 003.008\n\x01\x01", True, RfbRefused),
        (vencrypt(261)[:-1] + b"\x00", False, RfbRefused), (vencrypt(261) + b"x", False, RfbError),
        (b"RFB 003.008\n\x01\x13\x00\x01", False, RfbRefused), (b"RFB 003.008\n\x01\x13\x00\x02\x01\x00", False, RfbRefused),
    ],
)  # fmt: skip
def test_no_password_goes_in_clear_and_a_pin_wants_a_certificate(
    said: bytes, pinned: bool, trouble: type[Exception]
) -> None:
    """Plain without TLS is not taken; who has a certificate to check takes nothing without one; what breaks off is named."""
    with pytest.raises(trouble):
        ServerHandshake("pw", "ada", pinned=pinned).feed(said)


@given(st.binary(max_size=200), sizes)
@settings(max_examples=200)
def test_any_bytes_of_a_server_give_an_answer_or_a_clean_error(said: bytes, cuts: list[int]) -> None:
    """The handshake knows no third way out."""
    for start in (
        b"",
        b"RFB 003.008\n",
        b"RFB 003.008\n\x01\x02",
        b"RFB 003.008\n\x01\x13",
        b"RFB 003.008\n\x01\x13\x00\x02",
    ):
        handshake = ServerHandshake("x")
        try:
            for piece in chop(start + said, cuts):
                handshake.feed(piece)
        except (RfbError, RfbRefused):
            continue


@given(sizes)
def test_the_browser_is_offered_security_none_alone(cuts: list[int]) -> None:
    """The browser's handshake needs no password and keeps what follows."""
    handshake = ClientHandshake()
    out = b"".join(handshake.feed(piece) for piece in chop(b"RFB 003.008\n\x01\x01more", cuts))
    assert (out, handshake.rest) == (b"\x01\x01" + bytes(4), b"\x01more")


@given(st.binary(max_size=60))
def test_any_bytes_of_a_browser_give_an_answer_or_a_clean_error(said: bytes) -> None:
    """Handshake and filters meet every input with bytes or RfbError."""
    for parser in (ClientHandshake(), ClientFilter(view_only=True), ServerFilter(ClientFilter())):
        try:
            parser.feed(said)
            parser.feed(said)
        except RfbError:
            continue


@given(st.lists(st.sampled_from(MESSAGES), max_size=8), sizes)
def test_an_open_policy_passes_every_message_unchanged(messages: list[bytes], cuts: list[int]) -> None:
    """Framing loses and adds nothing, however the bytes are cut."""
    filter_ = ClientFilter()
    out = b"".join(filter_.feed(piece) for piece in chop(b"\x01" + b"".join(messages), cuts))
    assert out == b"\x01" + b"".join(messages)
    assert filter_.inputs == sum(message[0] in (4, 5, 255) for message in messages)


@given(st.lists(st.sampled_from(MESSAGES), max_size=8), sizes)
def test_view_only_lets_neither_keys_nor_pointer_nor_clipboard_pass(messages: list[bytes], cuts: list[int]) -> None:
    """What remains are requests for pictures and fences."""
    filter_ = ClientFilter(view_only=True)
    out = b"".join(filter_.feed(piece) for piece in chop(b"\x00" + b"".join(messages), cuts))
    assert out == b"\x01" + b"".join(message for message in messages if message in (REQUEST, FENCE))


def test_clipboard_in_can_be_off_alone() -> None:
    """Text is left out in both forms, what the extended clipboard says of its abilities passes."""
    abilities = struct.pack(">BxxxiI", 6, -4, 1 << 24)
    provide = struct.pack(">BxxxiI", 6, -8, 1 << 28) + b"zlib"
    notify = struct.pack(">BxxxiI", 6, -4, 1 << 27)
    out = ClientFilter(clipboard_in=False).feed(b"\x01" + CUT_TEXT + abilities + provide + notify + KEY)
    assert out == b"\x01" + abilities + KEY
    assert carries_text(CUT_TEXT) and not carries_text(abilities)


def test_with_clipboard_out_off_only_countable_encodings_are_asked_for() -> None:
    """Tight and the rest go, Raw, CopyRect, ZRLE, sizes and abilities stay; the extended clipboard may speak of abilities."""
    asked = (1, 7, 16, 0, -223, -308, -312, EXTENDED_CLIPBOARD - (1 << 32), -316)
    message = struct.pack(f">BxH{len(asked)}i", 2, len(asked), *asked)
    out = ClientFilter(clipboard_out=False).feed(b"\x01" + message)[1:]
    assert struct.unpack(">BxH7i", out)[2:] == (1, 16, 0, -223, -308, -312, EXTENDED_CLIPBOARD - (1 << 32))


@pytest.mark.parametrize("message", [b"\x07\x00", b"\xff\x01\x00\x00", struct.pack(">BxxxI", 6, 1 << 30)])
def test_what_cannot_be_framed_ends_the_session(message: bytes) -> None:
    """After an unknown or huge message no border would be certain."""
    with pytest.raises(RfbError):
        ClientFilter(view_only=True).feed(b"\x01" + message)


def test_the_pixel_format_may_not_change_under_way() -> None:
    """With clipboard_out off the length of a Raw rectangle depends on it."""
    picture = struct.pack(">Bxxx", 0) + bytes([16]) + bytes(15)
    ClientFilter().feed(b"\x01" + REQUEST + picture)
    with pytest.raises(RfbError):
        ClientFilter(clipboard_out=False).feed(b"\x01" + REQUEST + picture)


def rectangle(encoding: int, payload: bytes, width: int = 2, height: int = 2) -> bytes:
    return struct.pack(">HHHHi", 0, 0, width, height, encoding) + payload


UPDATE = struct.pack(">BxH", 0, 5) + b"".join(
    (
        rectangle(0, b"r" * 16),
        rectangle(1, b"copy"),
        rectangle(16, struct.pack(">I", 3) + b"zip"),
        rectangle(-308, b"\x01\x00\x00\x00" + bytes(16)),
        rectangle(-239, b"c" * 16 + b"mm"),
    )
)
ENDLESS = struct.pack(">BxH", 0, 0xFFFF) + rectangle(1, b"copy") + rectangle(-224, b"")
SERVER_TEXT = struct.pack(">BxxxI", 3, 6) + b"secret"
BELL, COLOURS = b"\x02", struct.pack(">BxHH", 1, 0, 1) + bytes(6)


@given(st.lists(st.sampled_from((UPDATE, ENDLESS, SERVER_TEXT, BELL, COLOURS, FENCE)), max_size=8), sizes)
def test_the_desktops_clipboard_is_left_out_and_nothing_else(messages: list[bytes], cuts: list[int]) -> None:
    """Pictures, bells and fences pass byte for byte; cut text does not."""
    filter_ = ServerFilter(ClientFilter(clipboard_out=False))
    out = b"".join(filter_.feed(piece) for piece in chop(INIT + b"".join(messages), cuts))
    assert out == INIT + b"".join(message for message in messages if message != SERVER_TEXT)


def test_an_encoding_that_was_not_asked_for_ends_the_session() -> None:
    """Its length would be unknown."""
    with pytest.raises(RfbError):
        ServerFilter(ClientFilter()).feed(INIT + struct.pack(">BxH", 0, 1) + rectangle(7, b""))
