"""The day's numbers: pools summed up over time, and percentiles."""

from datetime import UTC, datetime, timedelta

import pytest

from portico.domain.model import PoolCounts
from portico.services.trends import STEP, spread, summed
from portico.web.admin.charts import demand

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.capability("S122")
def test_pools_are_summed_though_they_are_counted_at_different_times() -> None:
    """A pool keeps its last count until the next one, also through steps in which nobody counted."""
    rows = [
        ("a", START, PoolCounts(total=2, assigned=1)),
        ("b", START + timedelta(seconds=20), PoolCounts(total=3)),
        ("a", START + 3 * STEP, PoolCounts(total=4, assigned=4)),
    ]
    found = summed(rows)
    assert [counts.total for _, counts in found] == [5, 5, 5, 7]
    assert [at for at, _ in found] == sorted(at for at, _ in found)
    assert found[-1][1].assigned == 4
    assert summed([]) == []


@pytest.mark.capability("S122")
def test_a_spread_tells_half_and_nine_of_ten() -> None:
    """Of one to eleven seconds, half took at most six and nine of ten at most ten."""
    found = spread([float(number) for number in range(11, 0, -1)])
    assert found is not None
    assert (found.half, found.most, found.number) == (6.0, 10.0, 11)
    assert spread([]) is None


@pytest.mark.capability("S122")
def test_a_chart_holds_each_count_until_the_next_and_ends_now() -> None:
    """Steps rather than slopes: a desktop more is there at once."""
    chart = demand([(START, PoolCounts(total=2)), (START + STEP, PoolCounts(total=4, assigned=1))], START + 2 * STEP)
    assert chart is not None
    assert "L" not in chart.total
    assert (chart.highest, chart.most_used, chart.last) == (4, 1, START + 2 * STEP)
    assert demand([(START, PoolCounts())], START) is None
