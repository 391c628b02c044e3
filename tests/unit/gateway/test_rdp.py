"""RDCleanPath, X.224, CredSSP's messages and what the gateway writes into an RDP client's messages, without a socket."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.rdp_messages import (
    ATTACH_USER,
    CLIENT_INFO,
    CONNECT_INITIAL,
    CONNECT_RESPONSE,
    ERECT_DOMAIN,
    JOIN,
    KEY_DOWN,
    MOUSE_MOVE,
)

from portico.gateway import cleanpath, credssp, der, x224
from portico.gateway.entry import LogIn, keyboard_layout
from portico.gateway.rdp_channels import BadChannel, Switches, channel_for
from portico.gateway.rdp_filter import NOT_FOR_ONLOOKERS, Filter
from portico.gateway.rdp_settings import BadRdp, Settings, channel_names, write_info, write_settings

pytestmark = pytest.mark.capability("S015", "S052", "S057")

ALL = Switches(True, True, True, True, True, True)
NONE = Switches(False, False, False, False, False, False)
HANDSHAKE = (CONNECT_INITIAL, ERECT_DOMAIN, ATTACH_USER, JOIN, CLIENT_INFO)
LOG_IN = LogIn("ada", "CORP", "pässword")


def field(message: bytes, offset: int, code: str) -> int:
    """Return a field of CS_CORE."""
    return int(struct.unpack_from(code, message, message.index(b"\x01\xc0", message.index(b"Duca")) + offset)[0])


def make(switches: Switches = ALL, log_in: LogIn | None = LOG_IN, **how: bool) -> Filter:
    closed = switches.closed | (NOT_FOR_ONLOOKERS if how.get("view_only") else frozenset())
    options = {"view_only": False, "count": False, **how}
    return Filter(Settings(x224.HYBRID, 0x407, True, closed), log_in, switches, **options)


def begun(switches: Switches = ALL, **how: bool) -> Filter:
    """Return a filter whose handshake is over and which knows the channels."""
    judge = make(switches, **how)
    for message in HANDSHAKE:
        judge.feed(message)
        if message is CONNECT_INITIAL and judge.curious:
            judge.learn(CONNECT_RESPONSE)
    return judge


def on_channel(number: int, data: bytes) -> bytes:
    """Return an MCS SendDataRequest."""
    mcs = struct.pack(">BHHB", 0x64, 4, number, 0x70) + struct.pack(">H", 0x8000 | len(data)) + data
    return struct.pack(">BBH", 3, 0, 7 + len(mcs)) + b"\x02\xf0\x80" + mcs


def chunk(message: bytes, flags: int = 3, length: int | None = None) -> bytes:
    return struct.pack("<II", len(message) if length is None else length, flags) + message


def test_settings_are_written_in_place() -> None:
    """Keyboard, colours and the security protocol are ours; the length and everything else stays."""
    written = write_settings(CONNECT_INITIAL, Settings(x224.HYBRID, 0x40C, True, frozenset({"cliprdr"})))
    assert len(written) == len(CONNECT_INITIAL)
    assert field(written, 16, "<I") == 0x40C
    assert field(written, 140, "<H") == 24 and field(written, 144, "<H") & 2
    assert field(written, 212, "<I") == x224.HYBRID
    assert "cliprdr" in channel_names(CONNECT_INITIAL) and "cliprdr" not in channel_names(written)
    assert len(channel_names(written)) == len(channel_names(CONNECT_INITIAL))


def test_a_layout_and_a_depth_that_nobody_wants_changed_stay() -> None:
    """Without a layout and with shallow colours the client's own stand."""
    written = write_settings(CONNECT_INITIAL, Settings(x224.TLS, 0, False, frozenset()))
    assert field(written, 16, "<I") == field(CONNECT_INITIAL, 16, "<I")
    assert field(written, 140, "<H") == field(CONNECT_INITIAL, 140, "<H")


def test_the_log_in_is_ours_and_needs_no_click() -> None:
    """Domain, name and password are replaced, automatic log-in is asked for, and what stands behind is kept."""
    written = write_info(CLIENT_INFO, LOG_IN)
    assert struct.unpack_from(">H", written, 2)[0] == len(written)
    body = written[19:]
    flags, *sizes = struct.unpack_from("<I5H", body, 4)
    assert flags & 0x08 and flags & 0x10
    texts, at = [], 18
    for size in sizes:
        texts.append(body[at : at + size].decode("utf-16-le"))
        at += size + 2
    assert texts[:3] == ["CORP", "ada", "pässword"]
    assert written.endswith(CLIENT_INFO[-60:])


def test_a_password_that_rdp_cannot_carry_is_refused() -> None:
    """Longer than a Client Info holds: an error rather than a broken message."""
    with pytest.raises(BadRdp, match="too long"):
        write_info(CLIENT_INFO, LogIn("ada", "", "x" * 600))


@given(st.lists(st.integers(0, 300), max_size=20))
def test_the_handshake_passes_however_it_is_cut(cuts: list[int]) -> None:
    """Cut anywhere, the desktop gets the same bytes; behind the log-in a free session is a pipe."""
    whole = b"".join(HANDSHAKE) + b"\x04\x04anything"
    judge, out, rest = make(), b"", whole
    for size in cuts:
        out += judge.feed(rest[:size])
        rest = rest[size:]
    out += judge.feed(rest)
    assert out == make().feed(whole)
    assert out.endswith(b"\x04\x04anything")


def test_the_channels_are_numbered_as_the_server_says() -> None:
    """A clipboard that may go one way only is judged on its own channel and nothing else is."""
    judge, number = begun(Switches(True, False, False, False, True, True)), _number_of("cliprdr")
    request = chunk(struct.pack("<HHII", 4, 0, 4, 13))
    assert judge.feed(on_channel(number, request)) == on_channel(number, chunk(struct.pack("<HHII", 4, 0, 4, 0)))
    assert judge.feed(on_channel(number + 50, request)) == on_channel(number + 50, request)


def _number_of(name: str) -> int:
    at = CONNECT_RESPONSE.index(struct.pack("<H", 0x0C03))
    return int(struct.unpack_from("<H", CONNECT_RESPONSE, at + 8 + 2 * channel_names(CONNECT_INITIAL).index(name))[0])


FORMATS, DATA_REQUEST, DATA_RESPONSE, CONTENTS_REQUEST, CONTENTS_RESPONSE = 2, 4, 5, 8, 9


@pytest.mark.parametrize(
    ("switches", "kind", "passes"),
    [
        (Switches(False, True, False, False, False, False), FORMATS, False),
        (Switches(False, True, False, False, False, False), DATA_RESPONSE, False),
        (Switches(False, True, False, False, False, False), DATA_REQUEST, True),
        (Switches(True, False, False, False, False, False), DATA_REQUEST, False),
        (Switches(True, False, False, False, False, False), FORMATS, True),
        (Switches(True, True, False, True, False, False), CONTENTS_RESPONSE, False),
        (Switches(True, True, False, True, False, False), CONTENTS_REQUEST, True),
        (Switches(True, True, True, False, False, False), CONTENTS_REQUEST, False),
        (Switches(True, True, True, False, False, False), CONTENTS_RESPONSE, True),
    ],
)
def test_each_direction_of_the_clipboard_has_its_switch(switches: Switches, kind: int, passes: bool) -> None:
    """What is forbidden never reaches the desktop, in one piece or in many."""
    number, judge = _number_of("cliprdr"), begun(switches)
    secret = struct.pack("<HHI", kind, 1, 40) + b"secret" * 6
    whole = on_channel(number, chunk(secret))
    assert (judge.feed(whole) == whole) is passes
    pieces = [
        on_channel(number, chunk(secret[:20], 1, 44)),
        on_channel(number, chunk(secret[20:30], 0, 44)),
        on_channel(number, chunk(secret[30:], 2, 44)),
    ]
    out = b"".join(judge.feed(piece) for piece in pieces)
    assert (out == b"".join(pieces)) is passes
    assert (b"secret" in out) is passes


def test_only_allowed_devices_are_announced() -> None:
    """A drive is taken out of the list where only printers may come; the list may come in pieces."""

    def device(kind: int, name: bytes, data: bytes = b"") -> bytes:
        return struct.pack("<II8sI", kind, 7, name, len(data)) + data

    judge = channel_for("rdpdr", Switches(True, True, True, True, False, True))
    message = (
        struct.pack("<HHI", 0x4472, 0x4441, 3)
        + device(8, b"C", b"c:\0\0")
        + device(4, b"PRN1", b"ink")
        + device(0x20, b"SCARD")
    )
    assert judge.judge(chunk(message[:30], 1, len(message))) == b""
    out = judge.judge(chunk(message[30:], 2, len(message)))
    assert b"PRN1" in out and b"SCARD" not in out and b"c:\0\0" not in out
    assert struct.unpack_from("<I", out, 8 + 4)[0] == 1
    other = chunk(struct.pack("<HH", 0x4472, 0x4943) + bytes(20))
    assert judge.judge(other) == other
    with pytest.raises(BadChannel):
        judge.judge(chunk(message[:8] + bytes((8, 0, 0, 0)) + bytes(12) + b"\xff\xff\xff\x7f"))


def test_closed_channels_are_not_asked_for() -> None:
    """Where nothing may pass, the desktop never hears of the channel."""
    written = make(NONE).feed(CONNECT_INITIAL)
    assert not {"cliprdr", "rdpdr"} & set(channel_names(written))


def test_an_onlooker_sends_no_input() -> None:
    """Fast-path and slow-path input is dropped and counted, the rest passes."""
    judge = begun(view_only=True)
    slow = on_channel(1003, struct.pack("<HHH", 40, 0x17, 1) + struct.pack("<IBBHB", 1, 0, 1, 20, 0x1C) + bytes(20))
    update = on_channel(1003, struct.pack("<HHH", 40, 0x17, 1) + struct.pack("<IBBHB", 1, 0, 1, 20, 0x21) + bytes(20))
    assert judge.feed(KEY_DOWN + MOUSE_MOVE + slow) == b"" and judge.inputs == 3
    assert judge.feed(update) == update and judge.inputs == 3


def test_input_is_counted_where_idleness_matters() -> None:
    """It passes, and is seen."""
    judge = begun(count=True)
    assert judge.feed(KEY_DOWN) == KEY_DOWN and judge.inputs == 1


@pytest.mark.parametrize(
    "message", [b"\x02\x05abc", b"\x03\x00\x00\x03", on_channel(1, b"")[:4] + bytes(8), b"GET / HTTP/1.1\r\n"]
)
def test_nonsense_ends_the_session(message: bytes) -> None:
    """Nothing passes behind a message that is none."""
    with pytest.raises(BadRdp):
        make().feed(message + bytes(2000))


@given(st.binary(max_size=600), st.booleans(), st.booleans())
def test_whatever_a_client_says_the_filter_stands(data: bytes, view_only: bool, text: bool) -> None:
    """It takes it or raises BadRdp, and keeps no more than one message."""
    judge = begun(Switches(text, not text, False, False, True, False), view_only=view_only, count=True)
    try:
        judge.feed(data)
    except BadRdp:
        return
    assert len(judge._buffer) <= 65535


def mutated(message: bytes) -> st.SearchStrategy[bytes]:
    """Return a message with some bytes changed, or cut."""
    changes = st.lists(st.tuples(st.integers(0, len(message) - 1), st.integers(0, 255)), max_size=6)

    def apply(drawn: tuple[list[tuple[int, int]], int]) -> bytes:
        new = bytearray(message)
        for at, value in drawn[0]:
            new[at] = value
        return bytes(new[: drawn[1]])

    return st.tuples(changes, st.integers(0, len(message))).map(apply)


PARSERS: list[tuple[Callable[[bytes], Any], bytes, type[Exception]]] = [
    (lambda data: write_settings(data, Settings(2, 0x407, True, frozenset({"cliprdr"}))), CONNECT_INITIAL, BadRdp),
    (lambda data: make(Switches(True, False, False, False, False, False)).learn(data), CONNECT_RESPONSE, BadRdp),
    (lambda data: write_info(data, LOG_IN), CLIENT_INFO, BadRdp),
    (x224.parse_confirm, x224.confirm(8), x224.BadX224),
    (x224.parse_request, x224.request(11, "ada"), x224.BadX224),
    (cleanpath.parse_request, der.sequence(der.explicit(0, der.integer(3390)), der.explicit(3, der.utf8("t")), der.explicit(6, der.octets(b"x"))), cleanpath.BadRequest),
    (credssp.parse, credssp.request(token=b"NTLMSSP\0", key=bytes(40)), credssp.CredsspError),
    (credssp.public_key, bytes(60), credssp.CredsspError),
]  # fmt: skip


@given(st.data())
@pytest.mark.parametrize(("parse", "sample", "trouble"), PARSERS)
def test_no_parser_breaks_on_what_a_stranger_sends(
    parse: Callable[[bytes], Any], sample: bytes, trouble: type[Exception], data: st.DataObject
) -> None:
    """Mutated and random bytes are read or refused, nothing else."""
    message = data.draw(st.one_of(mutated(sample), st.binary(max_size=200)))
    with suppress(trouble):
        parse(message)


def test_x224_says_what_was_chosen_and_why_not() -> None:
    """Request and confirm both ways; a failure carries its code."""
    assert x224.parse_request(x224.request(11, "ada@corp.example")) == x224.Asked(b"Cookie: mstshash=adacorpex", 11)
    assert x224.parse_confirm(x224.confirm(8)) == x224.Confirm(8, 0, 0)
    assert x224.parse_confirm(x224.failure(5)).failure == 5


def test_cleanpath_speaks_as_its_clients_do() -> None:
    """A request as IronRDP sends it (destination there and not believed), an answer, a refusal."""
    request = der.sequence(
        der.explicit(0, der.integer(3390)), der.explicit(2, der.utf8("evil:3389")), der.explicit(3, der.utf8("ticket-1")),
        der.explicit(6, der.octets(x224.request(11))),
    )  # fmt: skip
    assert cleanpath.size_of(request[:3]) == len(request)
    assert cleanpath.parse_request(request).ticket == "ticket-1"
    assert "ticket-1" not in repr(cleanpath.parse_request(request))
    fields = der.fields(der.whole(cleanpath.response(b"cc", [b"certificate"]), der.SEQUENCE))
    assert der.whole(fields[6], der.OCTETS) == b"cc" and b"certificate" in fields[7]
    error = der.fields(der.whole(der.fields(der.whole(cleanpath.refusal(401), der.SEQUENCE))[1], der.SEQUENCE))
    assert der.number(error[1]) == 401


@given(st.integers(0, 2**63 - 1), st.text(max_size=50), st.binary(max_size=300))
def test_der_reads_what_it_writes(number: int, text: str, data: bytes) -> None:
    """Numbers, texts and bytes of any length come back."""
    assert der.number(der.integer(number)) == number
    assert der.text(der.utf8(text)) == text
    assert der.whole(der.octets(data), der.OCTETS) == data
    assert der.size_of(der.octets(data)[:6]) == len(der.octets(data))


@pytest.mark.parametrize(
    ("query", "layout"),
    [
        ("layout=0x407", 0x407),
        ("layout=407", 0x407),
        ("", 0),
        ("layout=", 0),
        ("layout=zz", 0),
        ("layout=0xfffffffff", 0),
        ("a=b&layout=0x40c", 0x40C),
    ],
)
def test_the_keyboard_stands_in_the_address(query: str, layout: int) -> None:
    """Nonsense is no layout."""
    assert keyboard_layout(query) == layout
