"""Dynamic channels of RDP: a forbidden one is never heard of by the client, and the desktop gets its no."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.rdp_messages import CLIENT_INFO, CONNECT_INITIAL, CONNECT_RESPONSE
from tests.unit.gateway.test_rdp import HANDSHAKE, begun, make

from portico.gateway.rdp_channels import Switches
from portico.gateway.rdp_dynamic import USB, DynamicChannels
from portico.gateway.rdp_settings import BadRdp, channel_names

pytestmark = pytest.mark.capability("S052", "S057")

WITHOUT_USB = Switches(True, True, True, True, True, True, usb=False)
CHANNEL = 1007
PICTURE = b"\x00\x80\x0a1234567"  # fast-path output, of ten bytes


def said(data: bytes, flags: int = 3, channel: int = CHANNEL) -> bytes:
    """Return what a server says on a channel."""
    chunk = struct.pack("<II", len(data), flags) + data
    mcs = struct.pack(">BHHBH", 0x68, 3, channel, 0x70, 0x8000 | len(chunk)) + chunk
    return struct.pack(">BBH", 3, 0, 7 + len(mcs)) + b"\x02\xf0\x80" + mcs


def create(name: bytes, number: bytes = b"\x09", kind: int = 0) -> bytes:
    return bytes([0x10 | kind]) + number + name + b"\0"


def heard(data: bytes, cuts: list[int] | None = None) -> tuple[bytes, list[bytes]]:
    """Feed bytes in pieces and return what passes and what is answered."""
    judge, out, answers = DynamicChannels(CHANNEL, frozenset({USB})), b"", []
    for size in [*(cuts or []), len(data)]:
        passed, more = judge.feed(data[:size])
        data = data[size:]
        out += passed
        answers += more
    return out, answers


@given(st.lists(st.integers(0, 60), max_size=8))
def test_the_desktops_wish_is_turned_down_and_all_else_passes(cuts: list[int]) -> None:
    """However the bytes are cut; with numbers of each size, and whatever the case of the name."""
    other = said(create(b"Microsoft::Windows::RDS::DisplayControl"))
    data, elsewhere = said(b"\x30\x09payload"), said(create(b"URBDRC"), channel=1004)
    wishes = (
        said(create(b"URBDRC"))
        + said(create(b"urbdrc", b"\x01\x02", 1))
        + said(create(b"URBDRC", b"\x01\x02\x03\x04", 2))
    )
    out, answers = heard(other + PICTURE + wishes + data + elsewhere + PICTURE, cuts)
    assert out == other + PICTURE + data + elsewhere + PICTURE
    refused = struct.pack("<I", 0xC0000001)
    bodies = (b"\x10\x09", b"\x11\x01\x02", b"\x12\x01\x02\x03\x04")
    assert answers == [struct.pack("<II", len(body) + 4, 3) + body + refused for body in bodies]


@pytest.mark.parametrize(
    "wrong",
    [
        said(create(b"URBDRC"), 0x00200003),
        said(create(b"URBDRC"), 1),
        said(create(b"URBDRC", kind=3)),
        said(b""),
        b"\x03\x00\x00\x02",
    ],
)
def test_what_cannot_be_read_ends_the_session(wrong: bytes) -> None:
    """Compressed, in pieces, of an unknown form, empty, or no message at all: nothing forbidden can hide in it."""
    with pytest.raises(BadRdp):
        heard(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_pass_or_end_the_session(noise: bytes) -> None:
    """There is no third way out."""
    with suppress(BadRdp):
        heard(noise)
    with suppress(BadRdp):
        heard(said(noise))


def test_the_answer_is_the_clients_own_message() -> None:
    """On the channel's number that the desktop gave, from the number that it gave the client; and nothing is to be compressed."""
    judge = begun(WITHOUT_USB)
    at = CONNECT_RESPONSE.index(struct.pack("<H", 0x0C03))
    place = channel_names(CONNECT_INITIAL).index("drdynvc")
    assert judge.dynamic == struct.unpack_from("<H", CONNECT_RESPONSE, at + 8 + 2 * place)[0]
    answer = judge.answer(b"chunk")
    assert answer[:4] == struct.pack(">BBH", 3, 0, len(answer)) and answer.endswith(b"\x80\x05chunk")
    assert struct.unpack_from(">HH", answer, 8) == (struct.unpack_from(">H", CLIENT_INFO, 8)[0], judge.dynamic)
    plain, compressing = make(WITHOUT_USB, None), bytearray(CLIENT_INFO)
    place = 7 + 8 + 4 + 4
    compressing[place] |= 0x80
    for message in HANDSHAKE[:-1]:
        plain.feed(message)
    written = plain.feed(bytes(compressing))
    assert written[place] == compressing[place] & ~0x80 and len(written) == len(compressing)
    assert begun().dynamic == 0
