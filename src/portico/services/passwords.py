"""Hashing of passwords: Argon2id (RFC 9106), at most one a core at a time, so that typing passwords cannot exhaust the broker."""

import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from portico.errors import RateLimited

P = ParamSpec("P")
T = TypeVar("T")

QUEUE_LIMIT = 256  # log-ins that may wait for a core
MAX_LENGTH = 1024


class Hasher:
    """Hashes and verifies passwords in the thread that asks, when it is its turn."""

    def __init__(self, memory_kib: int = 19_456, time_cost: int = 2) -> None:
        """Choose the cost: the default is OWASP's for Argon2id."""
        self._argon = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._cores = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._room = threading.BoundedSemaphore(QUEUE_LIMIT)
        self._nobody = self._argon.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """Return the hash to store."""
        return self._run(self._argon.hash, password)

    def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password fits; for an unknown user (None) it takes just as long and is False."""
        return self._run(self._check, stored, password)

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether the hash was made at another cost."""
        return self._argon.check_needs_rehash(stored)

    def _check(self, stored: str | None, password: str) -> bool:
        try:
            fits = self._argon.verify(stored or self._nobody, password[:MAX_LENGTH])
        except (Argon2Error, InvalidHashError):
            return False
        return fits and stored is not None

    def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if not self._room.acquire(blocking=False):
            raise RateLimited(
                "Too many people are logging in at this moment. Try again in a few seconds.", retry_after=3
            )
        try:
            with self._cores:
                return function(*args, **kwargs)
        finally:
            self._room.release()
