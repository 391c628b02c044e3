"""First message, grant, limits and identity: values in, values out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.errors import Invalid
from portico.gateway.entry import BadEntry, Entry, cells, parse_entry
from portico.gateway.grant import BadGrant, parse_grant
from portico.gateway.limits import Bucket, client_address
from portico.gateway.refusals import SENTENCES, Refused
from portico.gateway.trust import fingerprint, normal, split_urls
from portico.wire.gateway import CLOSE

pytestmark = pytest.mark.capability("S015")

GRANT = {
    "connection": "c1",
    "assignment": "a1",
    "epoch": 1,
    "user": "ada",
    "protocol": "vnc",
    "target": {"host": "127.0.0.1", "port": 5901, "realm": "default"},
    "credentials": {"username": "u", "password": "hush"},
    "policy": {
        "clipboard_in": True,
        "clipboard_out": False,
        "view_only": False,
        "expires_at": "2026-01-01T00:00:00+00:00",
    },
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_a_ticket_with_a_terminal_size_is_read() -> None:
    """The size is the browser's, or 80 × 24; the ticket does not show when the entry is printed."""
    entry = parse_entry('{"ticket": "t.o.p", "columns": 120, "rows": 40}')
    assert entry == Entry("t.o.p", 120, 40) and "t.o.p" not in repr(entry)
    assert parse_entry('{"ticket": "x"}') == Entry("x", 80, 24)


WRONG = (
    *(
        b"{}",
        "{}",
        "[]",
        "{",
        "null",
        '{"ticket": ""}',
        '{"ticket": 1}',
        '{"ticket": "é"}',
        '{"ticket": "x", "rows": 0}',
    ),
    *('{"ticket": "x", "columns": 99999}', '{"ticket": "x", "rows": true}', "x" * 9000, "[" * 8000),
)


@pytest.mark.parametrize("message", WRONG)
def test_anything_else_is_refused(message: str | bytes) -> None:
    """Every wrong first message has one exception."""
    with pytest.raises(BadEntry):
        parse_entry(message)


@given(st.text(max_size=100) | st.binary(max_size=100) | json_values.map(lambda value: json.dumps({"ticket": value})))
def test_any_first_message_is_an_entry_or_a_clean_error(message: str | bytes) -> None:
    """There is no third way out."""
    try:
        assert parse_entry(message).ticket
    except BadEntry:
        return


@given(json_values, json_values)
def test_a_terminal_size_is_two_sensible_numbers(columns: object, rows: object) -> None:
    """Whatever a browser calls a size."""
    size = cells(columns, rows)
    assert size is None or all(1 <= cell <= 1000 for cell in size)


def test_a_grant_is_read_and_hides_its_secrets() -> None:
    """Missing switches are off, and no secret shows in a log."""
    grant = parse_grant({**GRANT, "policy": {}})
    assert not grant.policy.clipboard_in and not grant.policy.clipboard_out and grant.policy.expires_at is None
    assert "hush" not in repr(grant)
    assert parse_grant(GRANT).policy.expires_at == 1767225600.0


@given(st.sampled_from(sorted(GRANT)), json_values)
def test_a_grant_with_any_field_wrong_is_read_or_refused(name: str, value: Any) -> None:
    """A broker of another version cannot make the gateway stumble."""
    try:
        parse_grant({**GRANT, name: value})
    except BadGrant:
        return


def test_a_bucket_bounds_one_address_and_fills_again() -> None:
    """A burst, then a rate; another address is not concerned; a /64 of IPv6 counts as one."""
    clock = [0.0]
    bucket = Bucket(1.0, 3, lambda: clock[0])
    assert [bucket.allows("192.0.2.1") for _ in range(4)] == [True, True, True, False]
    assert bucket.allows("192.0.2.2")
    clock[0] = 1.0
    assert bucket.allows("192.0.2.1") and not bucket.allows("192.0.2.1")
    assert [bucket.allows(f"2001:db8::{number}") for number in range(4)] == [True, True, True, False]


@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        ("198.51.100.7", "192.0.2.1", "198.51.100.7"),
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "10.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "192.0.2.1, 127.0.0.1", "192.0.2.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_who_is_there(peer: str, header: str, address: str) -> None:
    """A client cannot choose its address by a header."""
    assert client_address(peer, header, ["127.0.0.1"]) == address


def test_every_close_code_has_its_sentence() -> None:
    """And a code that is none of them is taken for an ended session."""
    assert set(SENTENCES) == set(CLOSE)
    assert Refused("made up").code == "session.ended"


def test_broker_urls_are_read_in_order_and_checked() -> None:
    """Several are separated by commas; plain HTTP is refused."""
    assert split_urls("https://a:1, https://b") == (("a", 1), ("b", 443))
    for wrong in ("", "http://a", "a:1", "https://", "https://a:99999"):
        with pytest.raises(Invalid):
            split_urls(wrong)


def test_fingerprints_compare_as_people_write_them() -> None:
    """Colons and capitals do not matter; what is no certificate has no fingerprint."""
    assert normal("AA:bb cc") == "aabbcc"
    with pytest.raises(ValueError):
        fingerprint("nonsense")
