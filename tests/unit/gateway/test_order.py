"""What a broker asks to be forwarded, read without a socket."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.gateway.order import BadOrder, parse_order

pytestmark = pytest.mark.capability("S014", "S031")
GOOD: dict[str, Any] = {
    "connection": "c", "client": "192.0.2.7", "host": "10.0.0.4", "realm": "", "mode": "same_port", "fixed": True,
    "targets": [["tcp", 4172], ["udp", 4172], ["tcp", 443]], "ports": [20001, 20002], "idle_seconds": 60,
    "expires_at": "2030-01-01T00:00:00+00:00",
}  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_an_order_says_for_whom_whereto_and_until_when() -> None:
    """One of our ports for each number of the desktop's, whatever it is spoken over."""
    order = parse_order(GOOD)
    assert order.numbers == (4172, 443) and order.ports == (20001, 20002) and order.fixed
    assert order.expires_at == 1893456000.0 and order.idle_seconds == 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("connection", ""), ("client", "portal"), ("client", None), ("host", ""), ("realm", 7), ("mode", "any"), ("targets", []),
        ("targets", [["tcp", 0]]), ("targets", [["tcp", True]]), ("targets", [["tcp", 1]] * 9), ("ports", [1]), ("ports", ["1", "2"]),
        ("idle_seconds", 0), ("expires_at", "soon"), ("expires_at", "2030-01-01T00:00:00"),
    ],
)  # fmt: skip
def test_an_order_that_cannot_be_meant_names_the_field(field: str, value: object) -> None:
    """So that the log of a gateway says what a broker of another version sent."""
    with pytest.raises(BadOrder, match=field):
        parse_order({**GOOD, field: value})


@given(st.dictionaries(st.sampled_from([*GOOD, "other"]), ANYTHING), st.sampled_from(sorted(GOOD)))
def test_any_object_is_an_order_or_refused(changes: dict[str, Any], left_out: str) -> None:
    """Nothing else happens, whatever is sent."""
    with suppress(BadOrder):
        parse_order({name: value for name, value in {**GOOD, **changes}.items() if name != left_out})
