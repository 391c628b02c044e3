import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.seats import seats_to_change

pytestmark = pytest.mark.capability("S056")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50))
def test_seats_follow_the_limit_as_far_as_users_allow(free: int, used: int, limit: int) -> None:
    add, retire = seats_to_change(free, used, limit)
    assert 0 <= retire <= free
    assert add == 0 or retire == 0
    assert free + used + add - retire == max(limit, used)


def test_a_lower_limit_retires_free_seats_first() -> None:
    assert seats_to_change(2, 3, 4) == (0, 1)
