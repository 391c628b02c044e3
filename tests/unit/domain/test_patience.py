"""How long a build may take."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain import patience

pytestmark = pytest.mark.capability("S009", "S093")
seconds = st.floats(0, 7 * 24 * 3600)


def test_an_image_that_never_answered_is_given_more_time_than_a_quick_one() -> None:
    assert patience.boot(None) == timedelta(hours=1)
    assert patience.boot(40) == timedelta(minutes=30)


def test_a_slow_image_is_given_three_times_what_it_needs_within_reason() -> None:
    assert patience.boot(20 * 60) == timedelta(hours=1)
    assert patience.boot(24 * 3600) == timedelta(hours=6)


def test_a_slow_boot_counts_at_once_and_is_forgotten_slowly() -> None:
    assert patience.learn(60, 600) == 600
    assert patience.learn(600, 100) == 500
    assert patience.learn(None, 42) == 42


@given(st.lists(seconds, min_size=1, max_size=20))
def test_what_was_learnt_lies_between_the_quickest_and_the_slowest_boot(boots: list[float]) -> None:
    learned: float | None = None
    for boot in boots:
        learned = patience.learn(learned, boot)
        assert learned >= boot - 1e-6
    assert learned is not None
    assert min(boots) - 1e-6 <= learned <= max(boots) + 1e-6
