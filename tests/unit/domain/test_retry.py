import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.retry import RetryDecision, backoff_seconds, decide, silence_seconds

pytestmark = pytest.mark.capability("S116")


@pytest.mark.parametrize(
    ("attempt", "seconds"), [(0, 30), (1, 30), (2, 60), (3, 120), (7, 1920), (8, 3600), (10_000, 3600)]
)
def test_waits_double_from_half_a_minute_to_an_hour(attempt: int, seconds: int) -> None:
    assert backoff_seconds(attempt) == seconds


@given(st.integers(0, 100), st.floats(0, 1))
def test_spread_moves_a_wait_within_bounds(attempt: int, spread: float) -> None:
    assert 15 <= backoff_seconds(attempt, spread=spread) <= 3600


@pytest.mark.parametrize(
    ("attempt", "most", "after", "found"),
    [
        (1, 3, None, RetryDecision(30)),
        (2, 3, 5.0, RetryDecision(60)),
        (1, 3, 90.4, RetryDecision(90)),
        (3, 3, None, None),
        (1, 0, 5.0, None),
    ],
)
def test_a_job_is_tried_again_until_its_last_attempt(
    attempt: int, most: int, after: float | None, found: RetryDecision | None
) -> None:
    assert decide(attempt, most, after) == found


def test_a_silence_is_waited_out_in_growing_steps() -> None:
    """At first every half minute, after an hour every ten: a center that is back is found soon, one that is away costs little."""
    waits = [silence_seconds(minutes * 60) for minutes in range(120)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (30, 600)
    assert all(wait <= max(30, minutes * 60 / 4) for minutes, wait in enumerate(waits))
