"""Before each directory a gate of its own: its threads, its line, its connections, and a breaker that opens when it is down.

A directory that is slow or dead fills its own line and nothing else. Who waits in a line holds no thread: what is to be done
waits, and a future tells when it was.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from portico.errors import DirectoryError, DirectoryRefused, RateLimited

T = TypeVar("T")

LINE = 1000  # log-ins that may wait for one directory
WAIT_SECONDS = 120.0  # who has waited longer is told to try again (S119)
FAILURES = 3  # in a row, after which a directory counts as down
PAUSE_SECONDS = (5.0, 10.0, 30.0, 60.0)  # how long it is then left alone, longer each time


class Down(DirectoryError):
    """A directory that failed lately is left alone for a while."""

    code = "directory.down"


class TooLong(DirectoryError):
    """A log-in has waited as long as one may."""

    code = "directory.too_long"


class _Task(Generic[T]):
    def __init__(self, work: Callable[[], T], until: float) -> None:
        self.work, self.until = work, until
        self.done: Future[T] = Future()


class Gate:
    """The line before one directory. At most `width` of its threads are at work, and none when there is nothing to do."""

    def __init__(self, driver: Any, width: int, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Stand before a driver."""
        self.driver = driver
        self._width, self._name, self._clock = width, name, clock
        self._lock = threading.Lock()
        self._line: deque[_Task[Any]] = deque()
        self._busy = 0
        self._failures, self._pauses, self._closed_until = 0, 0, 0.0
        self._trying = False

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Let it be done when it is its turn. Raises Down, and RateLimited when the line is full."""
        task = _Task(work, self._clock() + WAIT_SECONDS)
        with self._lock:
            self._refuse_if_down()
            if len(self._line) >= LINE:
                raise RateLimited(
                    "Too many people are logging in at this moment. Try again in a minute.", retry_after=60
                )
            self._line.append(task)
            more = self._busy < self._width
            self._busy += more
        if more:
            threading.Thread(target=self._work, name=f"directory {self._name}", daemon=True).start()
        return task.done

    def is_down(self) -> bool:
        """Tell whether it has failed so often that it is left alone."""
        with self._lock:
            return self._failures >= FAILURES

    def waiting(self) -> int:
        """Return how many stand in the line."""
        with self._lock:
            return len(self._line)

    def _refuse_if_down(self) -> None:
        left = self._closed_until - self._clock()
        if self._failures < FAILURES:
            return
        if left > 0 or self._trying:
            raise Down("This directory does not answer at the moment.", retry_after=max(1.0, left))
        self._trying = True  # one log-in finds out for all of them

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._line:
                    self._busy -= 1
                    return
                task = self._line.popleft()
            if not task.done.set_running_or_notify_cancel():
                self._not_tried()
                continue
            if self._clock() > task.until:
                self._not_tried()
                task.done.set_exception(TooLong("The directory is slow: the log-in waited for two minutes. Try again."))
                continue
            self._run(task)

    def _not_tried(self) -> None:
        with self._lock:
            self._trying = False  # It may have been the one that was to find out: the next does.

    def _run(self, task: _Task[Any]) -> None:
        try:
            found = task.work()
        except DirectoryRefused as problem:
            self._note(failed=False)
            task.done.set_exception(problem)
        except DirectoryError as problem:
            self._note(failed=True)
            task.done.set_exception(problem)
        except BaseException as problem:
            self._note(failed=False)
            task.done.set_exception(problem)
        else:
            self._note(failed=False)
            task.done.set_result(found)

    def _note(self, *, failed: bool) -> None:
        stranded: list[_Task[Any]] = []
        with self._lock:
            self._trying = False
            if not failed:
                self._failures, self._pauses = 0, 0
                return
            self._failures += 1
            if self._failures >= FAILURES:
                pause = PAUSE_SECONDS[min(self._pauses, len(PAUSE_SECONDS) - 1)]
                self._closed_until = self._clock() + pause
                self._pauses += 1
                stranded, self._line = list(self._line), deque()
        for task in stranded:  # Who stands in the line of a directory that is down is told so now.
            if task.done.set_running_or_notify_cancel():
                task.done.set_exception(Down("This directory does not answer at the moment.", retry_after=5))


class Gates:
    """The gates of a broker, made when they are first needed, and anew when their directory's settings change."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._gates: dict[str, tuple[int, Gate]] = {}

    def find(self, directory_id: str, version: int, make: Callable[[], Gate]) -> Gate:
        """Return a directory's gate at a version of its settings. What `make` raises is raised."""
        with self._lock:
            known = self._gates.get(directory_id)
        if known is not None and known[0] == version:
            return known[1]
        made = make()
        with self._lock:
            old = self._gates.get(directory_id)
            faster = old[1] if old is not None and old[0] == version else None  # another thread's
            if faster is None:
                self._gates[directory_id] = (version, made)
        if faster is not None:
            made.driver.close()
            return faster
        if old is not None:
            old[1].driver.close()
        return made

    def down(self) -> list[str]:
        """Return the ids of the directories that do not answer, as this broker has found."""
        with self._lock:
            return [directory_id for directory_id, (_, gate) in self._gates.items() if gate.is_down()]
