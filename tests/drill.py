"""Killing a broker at a numbered step, by order and not by luck: see portico.faults."""

import os
import sys
from collections.abc import Callable

from tests.fleet import Fleet, second

from portico import faults


def killed(fleet: Fleet, point: str, act: Callable[[Fleet], object]) -> None:
    """Let another process do something on the same database until it dies at a point."""
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
