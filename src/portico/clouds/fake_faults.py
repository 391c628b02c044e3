"""Faults to order of the fake cloud: which call fails, and how."""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Self

from portico.errors import Invalid

OPERATIONS = ("check", "scan", "look", "choices", "create", "delete", "power", "belongings")
FAULTS = ("error", "quota", "refused", "partial", "crash_after_accept", "build_error", "login")


@dataclass(frozen=True, slots=True)
class Fault:
    """One order: calls of `operation` whose number is `at`, or a multiple of `every`, meet `name`."""

    operation: str
    name: str
    at: int = 0
    every: int = 1

    def meets(self, number: int) -> bool:
        """Tell whether the call of this number (from 1) is to fail."""
        return number == self.at if self.at else number % self.every == 0


class Faults:
    """The orders of one driver and its count of calls."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = faults
        self._calls: Counter[str] = Counter()
        self._lock = threading.Lock()

    @classmethod
    def read(cls, text: str) -> Self:
        """Read comma-separated orders, OPERATION[:WHEN]:FAULT. Raises Invalid."""
        return cls(tuple(_read(order.strip()) for order in text.split(",") if order.strip()))

    def next(self, operation: str) -> str:
        """Count a call and return the fault that it meets, or an empty text."""
        with self._lock:
            self._calls[operation] += 1
            number = self._calls[operation]
        met = (fault.name for fault in self._faults if fault.operation == operation and fault.meets(number))
        return next(met, "")


def _read(order: str) -> Fault:
    operation, _, rest = order.partition(":")
    when, _, name = rest.rpartition(":")
    every = when.removeprefix("every") if when.startswith("every") else ""
    number = every or when
    if operation not in OPERATIONS or name not in FAULTS or (number and not (number.isdigit() and int(number) > 0)):
        known = f"operations are {', '.join(OPERATIONS)}; faults are {', '.join(FAULTS)}"
        raise Invalid("A fault cannot be read.", {"errors": f"{order} is not OPERATION[:N|:everyN]:FAULT; {known}"})
    if every:
        return Fault(operation, name, every=int(every))
    return Fault(operation, name, at=int(number or 0))
