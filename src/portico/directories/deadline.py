"""The end of all waiting for one log-in."""

import time


class Deadline:
    """The end of all waiting for one log-in."""

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the directory took too long")
        return left
