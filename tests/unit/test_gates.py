"""The gate before a directory: its own line and threads, a breaker, and nobody who waits for ever."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from portico.errors import DirectoryError, DirectoryRefused, RateLimited
from portico.services import gates
from portico.services.directories import answer_of
from portico.services.gates import Down, Gate, Gates, TooLong

pytestmark = pytest.mark.capability("S119", "S046")
SECONDS = 30.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def fail(error: type[Exception]) -> Callable[[], None]:
    def work() -> None:
        raise error("it failed")

    return work


def ended(future: "Future[None]") -> BaseException | None:
    return future.exception(SECONDS)


def test_at_most_its_width_works_and_the_rest_come_in_order() -> None:
    gate, release = Gate(None, 3, "d"), threading.Event()
    lock, at_work, most, order = threading.Lock(), 0, 0, []

    def work(number: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work, order[len(order) :] = at_work + 1, [number]
            most = max(most, at_work)
        release.wait(SECONDS)
        with lock:
            at_work -= 1

    waiting = [gate.submit(lambda number=number: work(number)) for number in range(20)]
    while len(order) < 3:
        pass
    assert gate.waiting() == 17
    release.set()
    for one in waiting:
        one.result(SECONDS)
    assert most == 3
    assert sorted(order) == list(range(20))
    assert order[:3] == sorted(order[:3])


def test_two_hundred_at_once_all_end() -> None:
    """A directory that serves 20 at a time, and 200 who come at once."""
    gate = Gate(None, 20, "d")
    done = [gate.submit(lambda number=number: number) for number in range(200)]
    assert [one.result(SECONDS) for one in done] == list(range(200))


def test_a_line_has_an_end() -> None:
    gate, release = Gate(None, 1, "d"), threading.Event()
    waiting = [gate.submit(lambda: release.wait(SECONDS))]
    while gate.waiting():
        pass
    waiting += [gate.submit(lambda: True) for _ in range(gates.LINE)]
    with pytest.raises(RateLimited):
        gate.submit(lambda: True)
    release.set()
    assert all(one.result(SECONDS) for one in waiting)


def test_who_has_waited_for_two_minutes_is_told_so() -> None:
    clock, release = Clock(), threading.Event()
    gate = Gate(None, 1, "d", clock)
    first = gate.submit(lambda: release.wait(SECONDS))
    second = gate.submit(lambda: True)
    clock.now = gates.WAIT_SECONDS + 1
    release.set()
    assert first.result(SECONDS)
    assert isinstance(second.exception(SECONDS), TooLong)


def test_after_some_failures_it_is_left_alone_and_one_tries_again() -> None:
    clock = Clock()
    gate = Gate(None, 1, "d", clock)
    for _ in range(gates.FAILURES):
        assert isinstance(ended(gate.submit(fail(DirectoryError))), DirectoryError)
    with pytest.raises(Down):
        gate.submit(lambda: None)
    clock.now += gates.PAUSE_SECONDS[0] + 1
    assert isinstance(ended(gate.submit(fail(DirectoryError))), DirectoryError)
    clock.now += gates.PAUSE_SECONDS[0] + 1
    with pytest.raises(Down):  # the second pause is longer
        gate.submit(lambda: None)
    clock.now += gates.PAUSE_SECONDS[1]
    assert gate.submit(lambda: 7).result(SECONDS) == 7
    assert gate.submit(lambda: 7).result(SECONDS) == 7


def test_only_one_finds_out_whether_it_is_back() -> None:
    clock, release = Clock(), threading.Event()
    gate = Gate(None, 4, "d", clock)
    for _ in range(gates.FAILURES):
        ended(gate.submit(fail(DirectoryError)))
    clock.now += gates.PAUSE_SECONDS[0] + 1
    trying = gate.submit(lambda: release.wait(SECONDS))
    with pytest.raises(Down):
        gate.submit(lambda: True)
    release.set()
    assert trying.result(SECONDS)
    assert gate.submit(lambda: True).result(SECONDS)


def test_who_was_to_find_out_and_did_not_get_to_it_leaves_it_to_the_next() -> None:
    clock = Clock()
    gate = Gate(None, 1, "d", clock)
    for _ in range(gates.FAILURES):
        ended(gate.submit(fail(DirectoryError)))
    clock.now += gates.PAUSE_SECONDS[0] + 1
    clock.step = gates.WAIT_SECONDS + 1  # its time is over before a thread looks at it
    assert isinstance(gate.submit(lambda: True).exception(SECONDS), TooLong)
    clock.step = 0.0
    assert gate.submit(lambda: True).result(SECONDS)


def test_what_a_directory_refuses_and_what_is_our_fault_do_not_count() -> None:
    gate = Gate(None, 1, "d")
    for _ in range(gates.FAILURES + 2):
        assert isinstance(ended(gate.submit(fail(DirectoryRefused))), DirectoryRefused)
        assert isinstance(ended(gate.submit(fail(ZeroDivisionError))), ZeroDivisionError)
    assert gate.submit(lambda: True).result(SECONDS)


def test_who_stands_in_line_when_it_goes_down_is_told_at_once() -> None:
    gate, begin = Gate(None, 1, "d"), threading.Event()

    def work() -> None:
        begin.wait(SECONDS)
        raise DirectoryError("it failed")

    waiting = [gate.submit(work) for _ in range(10)]
    begin.set()
    errors = [ended(one) for one in waiting]
    assert [type(one) for one in errors] == [DirectoryError] * gates.FAILURES + [Down] * (10 - gates.FAILURES)


class Driver:
    """A driver that only knows whether it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_a_driver_that_another_thread_was_faster_to_make_is_closed() -> None:
    known, drivers = Gates(), [Driver(), Driver()]

    def slow() -> Gate:
        known.find("d", 1, lambda: Gate(drivers[0], 1, "d"))
        return Gate(drivers[1], 1, "d")

    assert known.find("d", 1, slow).driver is drivers[0]
    assert (drivers[0].closed, drivers[1].closed) == (False, True)


def test_a_directory_with_new_settings_gets_a_new_gate_and_the_old_driver_is_closed() -> None:
    drivers = [Driver(), Driver()]
    known = Gates()
    one = known.find("d", 1, lambda: Gate(drivers[0], 1, "d"))
    assert known.find("d", 1, lambda: Gate(drivers[1], 1, "d")) is one
    other = known.find("d", 2, lambda: Gate(drivers[1], 1, "d"))
    assert other is not one
    assert (drivers[0].closed, drivers[1].closed) == (True, False)


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    """A change of a password, say, that its user was told has failed."""
    gate, go_on, done = Gate(None, 1, "d"), threading.Event(), []
    first = gate.submit(lambda: go_on.wait(60))
    with pytest.raises(DirectoryError, match="in time"):
        answer_of(gate.submit(lambda: done.append("late")), 0.05)
    with pytest.raises(DirectoryError, match="in time"):
        answer_of(first, 0.05)
    go_on.set()
    assert first.result(60)  # what has begun goes on
    assert answer_of(gate.submit(lambda: "next"), 60) == "next"
    assert done == []
