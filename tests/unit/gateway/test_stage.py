"""What a helper sees and may do: bytes in, bytes out, cut wherever the network cuts them."""

import contextlib
import itertools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.rdp_messages import CLIENT_INFO, CONNECT_INITIAL, CONNECT_RESPONSE, KEY_DOWN, MOUSE_MOVE
from tests.unit.gateway.test_entry import json_values

from portico.gateway.grant import BadGrant, parse_grant, parse_visit
from portico.gateway.rdp_filter import Inputs, Pictures
from portico.gateway.rdp_settings import BadRdp
from portico.gateway.rfb import RfbError
from portico.gateway.rfb_filter import ClientFilter
from portico.gateway.sessions import Session
from portico.gateway.stage import MAX_BEHIND, MAX_KEPT, Helper, Stage, VncCensor, VncHands

pytestmark = pytest.mark.capability("S057")

VISIT = {
    "connection": "c1", "protocol": "vnc", "realm": "default",
    "shadow": {"id": "s1", "mode": "control", "who": "grace", "expires_at": "2026-01-01T00:00:00+00:00"},
}  # fmt: skip
GRANT: dict[str, Any] = {
    "connection": "c1", "user": "ada", "protocol": "vnc", "target": {"host": "h", "port": 5900, "realm": "default"}, "credentials": {},
    "policy": {},
}  # fmt: skip
KEY = struct.pack(">BBxxI", 4, 1, 97)
POINTER = struct.pack(">BBHH", 5, 0, 10, 10)
CUT_TEXT = struct.pack(">BxxxI", 6, 5) + b"hello"
SET_ENCODINGS = struct.pack(">BxHi", 2, 1, 0)
HANDSHAKE = b"RFB 003.008\n\x01\x01"


class Socket:
    """A browser that remembers what it was sent."""

    def __init__(self) -> None:
        self.bytes, self.objects, self.code, self.closed = b"", [], "", False

    def send_bytes(self, data: bytes) -> None:
        self.bytes += data

    def send_object(self, fields: Any) -> None:
        self.objects.append(fields)

    def close_for(self, code: str) -> None:
        self.code, self.closed = code, True

    def close(self, code: int, reason: str) -> None:
        self.code, self.closed = reason, True


def helper_of(
    protocol: str = "vnc", mode: str = "control", **policy: Any
) -> tuple[Helper, Socket, list[bytes], list[str]]:
    visit = parse_visit({**VISIT, "protocol": protocol, "shadow": {**VISIT["shadow"], "mode": mode}})  # type: ignore[dict-item]
    grant = parse_grant({**GRANT, "protocol": protocol, "policy": policy})
    given_, ends = list[bytes](), list[str]()
    session = Session(grant, Socket(), "192.0.2.1", lambda: None, lambda *_: None)  # type: ignore[arg-type]
    session.help = given_.append
    socket = Socket()
    return Helper(visit, socket, session, lambda _, code: ends.append(code)), socket, given_, ends  # type: ignore[arg-type]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(borders)]


def indication(channel: int, data: bytes) -> bytes:
    mcs = b"\x68" + struct.pack(">HHB", 1, channel, 0x70) + struct.pack(">H", 0x8000 | len(data)) + data
    return struct.pack(">BBH", 3, 0, 7 + len(mcs)) + b"\x02\xf0\x80" + mcs


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_of_rdp_a_helper_is_shown_pictures_and_no_channel(places: list[int]) -> None:
    """Clipboard and files go by channels of their own; the pictures' channel and the fast path are all that passes."""
    picture, clipboard, fast = indication(1003, b"picture"), indication(1005, b"secret"), b"\x00\x05abc"
    pictures = Pictures()
    shown = [pictures.feed(b"0\x82whatever the clean path says")[0]]
    for piece in cut(CONNECT_RESPONSE + picture + clipboard + fast + clipboard, places):
        shown += pictures.feed(piece)
    assert shown[1:] == [CONNECT_RESPONSE, picture, fast]


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_of_an_rdp_helper_only_keys_and_pointer_reach_the_desktop(places: list[int]) -> None:
    """His own connection sequence and whatever he says on channels stays in the gateway."""
    said = CONNECT_INITIAL + CLIENT_INFO + KEY_DOWN + indication(1005, b"x") + MOUSE_MOVE
    inputs = Inputs()
    assert b"".join(inputs.feed(piece) for piece in cut(said, places)) == KEY_DOWN + MOUSE_MOVE


@given(st.lists(st.integers(0, 10_000), max_size=8))
def test_of_a_vnc_helper_only_keys_and_pointer_reach_the_desktop(places: list[int]) -> None:
    """No handshake, no encodings, no clipboard."""
    hands = VncHands()
    said = b"RFB 003.008\n\x01\x01" + SET_ENCODINGS + KEY + CUT_TEXT + POINTER
    assert b"".join(hands.feed(piece) for piece in cut(said, places)) == KEY + POINTER


def test_a_vnc_helper_does_not_get_what_the_person_copies() -> None:
    """The person's page does."""
    client = ClientFilter(clipboard_out=False)
    client.feed(b"\x01" + SET_ENCODINGS)
    censor = VncCensor(client)
    opening = b"RFB 003.008\n\x01\x01\0\0\0\0"
    init = struct.pack(">HH16sI", 8, 8, bytes([32]) + bytes(15), 1) + b"d"
    text = struct.pack(">BxxxI", 3, 6) + b"secret"
    shown = b"".join(
        b"".join(censor.feed(piece)) for piece in cut(opening + init + text + b"\x02", [3, 17, 20, 50, 60])
    )
    assert shown == opening + init + b"\x02"


@given(st.binary(max_size=400), st.sampled_from(["pictures", "inputs", "hands", "censor"]))
def test_nonsense_is_refused_and_does_not_pile_up(data: bytes, what: str) -> None:
    """Whatever comes is passed, dropped or refused; nothing else is raised."""
    feed: Any = {
        "pictures": Pictures().feed, "inputs": Inputs().feed, "hands": VncHands().feed, "censor": VncCensor(ClientFilter()).feed,
    }[what]  # fmt: skip
    try:
        for piece in cut(data, [5, 50, 200]):
            feed(piece)
    except (RfbError, BadRdp):
        pass


def test_what_is_kept_of_a_beginning_is_bounded_and_given_once() -> None:
    """A helper gets all from the first byte, the next one must have the session opened anew."""
    person, stage = Socket(), None
    stage = Stage(person, "vnc")  # type: ignore[arg-type]
    stage.send_bytes(b"one")
    helper, socket, _, ends = helper_of()
    stage.admit(helper)
    stage.send_bytes(b"two")
    assert socket.bytes == person.bytes == b"onetwo" and not stage.is_set
    stage.close_for("closed.elsewhere")
    assert socket.code == "shadow.waiting" and ends == ["shadow.waiting"]
    full = Stage(Socket(), "vnc")  # type: ignore[arg-type]
    full.send_bytes(bytes(MAX_KEPT + 1))
    assert not full.is_set
    late = Stage(Socket(), "vnc")  # type: ignore[arg-type]
    late.sweep(0, 1e12)
    assert not late.is_set


def test_who_is_too_slow_comes_again_and_does_not_hold_up_the_person() -> None:
    """Only what he was sent while he did not read counts."""
    helper, socket, _, ends = helper_of()
    for _ in range(3):
        helper.send(bytes(MAX_BEHIND // 2))
    assert not socket.closed
    helper.pause_reading()
    helper.send(bytes(MAX_BEHIND // 2))
    helper.resume_reading()
    helper.pause_reading()
    helper.send(b"x")
    assert not socket.closed
    helper.send(bytes(MAX_BEHIND + 1))
    assert socket.code == "shadow.waiting" and ends == ["shadow.waiting"]


def test_a_terminal_is_shown_from_where_its_page_told_it() -> None:
    """What the page had been sent is on the screen that it tells; what it had not comes behind, once."""
    helper, socket, _, _ = helper_of("ssh")
    helper.session.bytes_out = 100
    helper.hold()
    helper.send(b"on the screen already")
    helper.send(b" and not yet")
    helper.screen("SCREEN", [80, 24], 100 + len(b"on the screen already"))
    assert socket.bytes == b"SCREEN and not yet" and socket.objects == [{"size": [80, 24]}]
    helper.screen("again", [80, 24], 0)
    assert b"again" not in socket.bytes


@pytest.mark.parametrize(("mode", "policy"), [("view", {}), ("control", {"view_only": True})])
def test_who_may_only_watch_gives_nothing_to_the_desktop(mode: str, policy: dict[str, bool]) -> None:
    """Neither by his own right nor beyond that of the person."""
    helper, _, given_, _ = helper_of("ssh", mode, **policy)
    helper.from_browser(b"rm -rf /\n")
    assert given_ == []


def test_a_helper_who_breaks_the_protocol_is_out() -> None:
    helper, socket, given_, ends = helper_of()
    helper.from_browser(b"GET / HTTP/1.1\r\n\r\n")
    assert socket.code == "shadow.ended" and ends == ["shadow.ended"]
    helper.from_browser(HANDSHAKE + KEY)
    assert given_ == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("shadow", None), ("shadow", {}), ("connection", 1), ("protocol", None), ("realm", 4),
     ("shadow", {**VISIT["shadow"], "expires_at": None}), ("shadow", {**VISIT["shadow"], "expires_at": "soon"})],  # type: ignore[dict-item]
)  # fmt: skip
def test_a_visit_that_cannot_be_read_opens_nothing(name: str, value: object) -> None:
    with pytest.raises(BadGrant):
        parse_visit({**VISIT, name: value})


@given(st.dictionaries(st.sampled_from(["connection", "protocol", "realm", "shadow"]), json_values))
def test_any_json_is_a_visit_or_refused(fields: dict[str, Any]) -> None:
    with contextlib.suppress(BadGrant):
        parse_visit(fields)
