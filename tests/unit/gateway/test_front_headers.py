"""What the front passes on, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.gateway import front_headers, front_pages
from portico.gateway.front_headers import BadRequest, Client

pytestmark = pytest.mark.capability("S031")

CLIENT = Client("192.0.2.1", b"portal.example")
UPGRADE = [(b"host", b"portal.example"), (b"connection", b"keep-alive, Upgrade"), (b"upgrade", b"websocket")]
SECRET = [
    (b"cookie", b"session=top"),
    (b"authorization", b"Bearer x"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"forwarded", b"for=1"),
]
names = st.sampled_from(
    [
        b"cookie",
        b"connection",
        b"x-forwarded-for",
        b"x-forwarded-anything",
        b"forwarded",
        b"te",
        b"upgrade",
        b"host",
        b"accept",
    ]
)
headers = st.lists(st.tuples(names, st.sampled_from([b"a", b"cookie, accept", b"close", b"host"])), max_size=8)


def test_the_gateway_gets_no_cookie_and_no_credential() -> None:
    """Only what a WebSocket needs, and who asks."""
    passed = front_headers.to_gateway([*UPGRADE, *SECRET, (b"sec-websocket-key", b"k"), (b"origin", b"o")], CLIENT)
    assert dict(passed) == {
        b"host": b"portal.example", b"sec-websocket-key": b"k", b"origin": b"o", b"connection": b"Upgrade",
        b"upgrade": b"websocket", b"x-forwarded-for": b"192.0.2.1", b"x-forwarded-proto": b"https",
        b"x-forwarded-host": b"portal.example",
    }  # fmt: skip


@given(headers)
def test_no_header_of_a_request_can_smuggle_a_cookie_or_a_claim(given_: list[tuple[bytes, bytes]]) -> None:
    """Whatever `Connection` names and however often headers stand there."""
    for pass_on in (front_headers.to_gateway, front_headers.to_broker):
        passed = pass_on(given_, CLIENT)
        assert [value for name, value in passed if name.startswith(b"x-forwarded-f")] == [b"192.0.2.1"]
        assert not [name for name, _ in passed if name in (b"te", b"forwarded", b"x-forwarded-anything")]
    assert b"cookie" not in dict(front_headers.to_gateway(given_, CLIENT))
    cookies = [value for name, value in given_ if name == b"cookie"]
    assert [value for name, value in front_headers.to_broker(given_, CLIENT) if name == b"cookie"] == cookies


def test_hop_by_hop_headers_stay_behind_and_cookies_reach_the_broker() -> None:
    """Also those that `Connection` names; never the length or the host."""
    asked = [
        (b"host", b"h"),
        (b"connection", b"close, X-Once, Content-Length"),
        (b"x-once", b"1"),
        (b"content-length", b"3"),
    ]
    passed = dict(front_headers.to_broker([*asked, (b"cookie", b"session=top"), (b"keep-alive", b"1")], CLIENT))
    assert passed[b"content-length"] == b"3" and passed[b"cookie"] == b"session=top"
    assert b"x-once" not in passed and b"keep-alive" not in passed and b"connection" not in passed


@pytest.mark.parametrize(
    ("method", "target", "given_"),
    [
        (b"POST", b"/", [(b"content-length", b"3"), (b"transfer-encoding", b"chunked")]),
        (b"POST", b"/", [(b"content-length", b"3"), (b"content-length", b"3")]),
        (b"GET", b"/", [(b"host", b"a"), (b"host", b"b")]),
        (b"GET", b"http://elsewhere/", []),
        (b"GET", b"//elsewhere", []),
        (b"CONNECT", b"elsewhere:443", []),
        (b"GET", b"/a b", []),
    ],
)
def test_what_two_servers_could_read_in_two_ways_is_refused(
    method: bytes, target: bytes, given_: list[tuple[bytes, bytes]]
) -> None:
    """Smuggling needs two readings; the front allows one."""
    with pytest.raises(BadRequest) as refusal:
        front_headers.check(method, target, given_)
    assert refusal.value.status == 400


def test_only_websocket_upgrades_reach_the_gateway() -> None:
    """A GET with `Upgrade: websocket` and no body."""
    assert front_headers.is_upgrade(b"GET", UPGRADE)
    assert not front_headers.is_upgrade(b"POST", UPGRADE)
    assert not front_headers.is_upgrade(b"GET", [(b"connection", b"upgrade"), (b"upgrade", b"h2c")])
    assert not front_headers.is_upgrade(b"GET", [*UPGRADE, (b"content-length", b"5")])
    assert front_headers.is_gateway(b"/gw/vnc?x=1") and not front_headers.is_gateway(b"/x?/gw/")


def test_hsts_is_for_real_names_only() -> None:
    """localhost is shared with other programs of the machine."""
    assert front_headers.wants_hsts("https://portal.example")
    for local in ("https://localhost:8443", "https://127.0.0.1", "https://demo.localhost", "https://[::1]:1"):
        assert not front_headers.wants_hsts(local)
    assert (b"strict-transport-security", b"max-age=31536000") in front_headers.to_client([(b"server", b"x")], True)
    assert front_headers.to_client([(b"server", b"x"), (b"transfer-encoding", b"chunked")], False) == []


def test_people_get_a_page_and_programs_get_json() -> None:
    """By path and by what they accept; both say when to come back."""
    html = [(b"accept", b"text/html,*/*")]
    assert front_headers.wants_page(b"/", html)
    assert not front_headers.wants_page(b"/api/v1/offers", html) and not front_headers.wants_page(b"/", [])
    for as_page, kind in ((True, b"text/html; charset=utf-8"), (False, b"application/problem+json")):
        status, given_, body = front_pages.unavailable(as_page)
        assert status == 503 and dict(given_)[b"content-type"] == kind and dict(given_)[b"retry-after"] == b"5" and body


@given(st.binary(max_size=200))
def test_any_bytes_on_the_plain_port_get_a_redirect_or_400(head: bytes) -> None:
    """And the redirect leads nowhere but to us, with no line break in it."""
    for said in (head, b"GET /" + head + b" HTTP/1.1\r\n\r\n"):
        answer = front_pages.to_https(said, "https://portal.example")
        assert answer.startswith((b"HTTP/1.1 308 ", b"HTTP/1.1 400 ")) and answer.count(b"\r\n\r\n") == 1
        if answer.startswith(b"HTTP/1.1 308 "):
            assert answer.split(b"\r\n")[1].startswith(b"Location: https://portal.example/")
