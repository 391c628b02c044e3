"""When to try again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """Try once more after so many seconds."""

    wait_seconds: int


def backoff_seconds(attempt: int, base: int = 30, cap: int = 3600, spread: float = 0.5) -> int:
    """Return the wait after the failed attempt number `attempt` (from 1): doubling, at most `cap` seconds.

    `spread` is a number from 0 to 1 that the caller drew; it moves the wait between half and one and a half,
    so that what failed together does not come back together. 0.5 leaves it as it is.
    """
    doublings = min(max(0, attempt - 1), 32)
    return int(min(cap, base * 2**doublings * (0.5 + spread)))


def silence_seconds(silent: float, least: int = 30, most: int = 600) -> int:
    """Return how long to leave a cloud alone that has not answered for `silent` seconds: a quarter of that, within bounds.

    So an outage of minutes is noticed as over at once, one of hours costs a call every ten minutes, and nothing need be counted.
    """
    return int(min(most, max(least, silent / 4)))


def decide(attempt: int, max_attempts: int, retry_after: float | None) -> RetryDecision | None:
    """Return when to try again after `attempt` failures, not before `retry_after` seconds; None when that was the last."""
    if attempt >= max_attempts:
        return None
    return RetryDecision(max(backoff_seconds(attempt), round(retry_after or 0)))
