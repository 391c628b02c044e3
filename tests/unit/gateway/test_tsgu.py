"""RD Gateway packets and WebSocket frames, without a socket."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.gateway import frames, tsgu

pytestmark = pytest.mark.capability("S014", "S052")
MASK = b"\x01\x02\x03\x04"


def masked(data: bytes, kind: int = frames.BINARY) -> bytes:
    """Return a frame as a client sends it."""
    size = len(data)
    head = bytes((0x80 | kind, 0x80 | size)) if size < 126 else struct.pack(">BBH", 0x80 | kind, 0xFE, size)
    return head + MASK + frames.unmask(data, MASK)


@given(st.lists(st.binary(max_size=400), max_size=6), st.lists(st.integers(0, 200), max_size=12))
def test_frames_are_found_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    """What a client sent comes out whole and unmasked."""
    rest, reader, found = b"".join(masked(message) for message in messages), frames.FrameReader(), []
    for size in [*cuts, 10_000]:
        found += reader.feed(rest[:size])
        rest = rest[size:]
    assert [frame.data for frame in found] == messages


@pytest.mark.parametrize(
    "data",
    [b"\x82\x05hello", b"\xc2\x80" + MASK, b"\x81\x80" + MASK, b"\x89\xfe\x01\x00" + MASK, b"\x82\xff" + b"\x7f" * 8 + MASK],
)  # fmt: skip
def test_frames_that_no_client_may_send_are_refused(data: bytes) -> None:
    """Without a mask, with reserved bits, text, a long ping, one beyond all bounds."""
    with pytest.raises(frames.BadFrame):
        frames.FrameReader().feed(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_refused(data: bytes) -> None:
    """Nothing else happens, whatever comes."""
    with suppress(frames.BadFrame):
        frames.FrameReader().feed(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_packets_or_refused(data: bytes) -> None:
    """The same for what stands in the frames, and for the bodies."""
    for parse in (tsgu.PacketReader().feed, tsgu.handshake, tsgu.cookie, tsgu.content):
        with suppress(tsgu.BadPacket):
            parse(data)


@given(st.binary(max_size=60_000), st.lists(st.integers(1, 5000), max_size=8))
def test_data_comes_out_as_it_went_in(content: bytes, cuts: list[int]) -> None:
    """In pieces that a record of TLS holds, and cut as a network would."""
    rest, reader, out = tsgu.data(content), tsgu.PacketReader(), b""
    for size in [*cuts, len(rest)]:
        out += b"".join(tsgu.content(packet.body) for packet in reader.feed(rest[:size]))
        rest = rest[size:]
    assert out == content


def test_the_cookie_is_the_ticket() -> None:
    """As xfreerdp sends it: UTF-16 with an end; without the field there is none."""
    text = "ticket\0".encode("utf-16-le")
    assert tsgu.cookie(struct.pack("<IHHH", 0x3F, 1, 0, len(text)) + text) == "ticket"
    with pytest.raises(tsgu.BadPacket):
        tsgu.cookie(struct.pack("<IHH", 0x3F, 0, 0))


def test_a_packet_longer_than_all_is_refused_before_it_is_here() -> None:
    """Nobody makes us keep 4 GiB."""
    with pytest.raises(tsgu.BadPacket):
        tsgu.PacketReader().feed(struct.pack("<HHI", tsgu.DATA, 0, 0xFFFFFFFF))
