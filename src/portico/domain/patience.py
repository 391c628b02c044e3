"""How long a build may take: the cloud's part has a fixed time, the machine's own depends on how its image has booted so far."""

from datetime import timedelta

BUILD = timedelta(minutes=30)  # from asking the cloud until it calls the machine finished
UNKNOWN_BOOT = timedelta(hours=1)  # an image that never answered yet may be a slow one
MARGIN = 3  # a boot may take so many times as long as it usually does
LONGEST = timedelta(hours=6)
_FORGETS = 0.2  # of a slow boot, with each quicker one after it


def boot(learned_seconds: float | None) -> timedelta:
    """Return how long a finished machine may take to answer; `learned_seconds` is how long its image usually takes, if known."""
    if learned_seconds is None:
        return UNKNOWN_BOOT
    return min(LONGEST, max(BUILD, timedelta(seconds=MARGIN * learned_seconds)))


def learn(learned_seconds: float | None, seconds: float) -> float:
    """Return what is known of an image after a boot of `seconds`: slow ones count at once and are forgotten slowly."""
    seconds = max(0.0, seconds)
    if learned_seconds is None or seconds >= learned_seconds:
        return seconds
    return learned_seconds + _FORGETS * (seconds - learned_seconds)
