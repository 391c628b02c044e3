"""Calendar months, by which usage is reported."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain import months

pytestmark = pytest.mark.capability("S004")


def test_the_current_month_ends_now_and_the_others_are_whole() -> None:
    now = datetime(2026, 1, 15, 12, tzinfo=UTC)
    begins = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 1, tzinfo=UTC), datetime(2025, 11, 1, tzinfo=UTC))
    assert months.latest(now, 3) == tuple(zip(begins, (now, *begins), strict=False))


@given(st.integers(600_000_000, 4_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC)), st.integers(1, 24))
def test_months_follow_each_other_without_gap_or_overlap(now: datetime, number: int) -> None:
    found = months.latest(now, number)
    assert len(found) == number
    assert found[0][1] == now
    assert all(begin < end <= begin + timedelta(days=31) and begin.day == 1 for begin, end in found)
    assert all(later[0] == earlier[1] for later, earlier in pairwise(found))
