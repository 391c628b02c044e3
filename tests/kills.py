"""A broker that dies: another process that does something on a fleet's database until it reaches a numbered point, and its heir."""

import os
import sys
from collections.abc import Callable

from tests.fleet import Fleet, second

from portico import faults
from portico.store import jobs


def killed(fleet: Fleet, point: str, act: Callable[[Fleet], object]) -> None:
    """Let another process do something on the same database until it dies at a point, without a word, as by kill -9."""
    fleet.broker.db.dispose()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.environ[faults.VARIABLE] = point
            act(second(fleet))
            status = 0
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == faults.EXIT_STATUS, f"{point} was not reached"


def take_over(fleet: Fleet) -> None:
    """What the next broker does: it takes what the dead one held when its leases are over, works, and looks."""
    fleet.clock.forward(minutes=3)
    with fleet.broker.db.write() as conn:
        jobs.retake(conn, fleet.clock())
    fleet.work()
    fleet.scan()
