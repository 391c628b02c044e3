"""Gives back to the system what crowds leave: cycles that Python would let lie, and the gaps between what lives in the C library's heap."""

import asyncio
import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

GROWN = 8 << 20  # bytes of growth that are worth a look through the heap
SECONDS = 15.0  # how long what a crowd left may lie
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Housekeeper:
    """Call `tidy` now and then. Failed TLS handshakes leave some 50 KiB each behind, which the C library keeps for itself otherwise."""

    def __init__(self, trim: Callable[[int], int] | None, resident: Callable[[], int]) -> None:
        self._trim, self._resident = trim, resident
        self._least = resident()

    def tidy(self) -> None:
        """Collect cycles; trim the heap if the process has grown since that was done last."""
        gc.collect()
        if self._trim is not None and self._resident() > self._least + GROWN:
            self._trim(0)
            self._least = self._resident()
        self._least = min(self._least, self._resident())  # else kept: slow growth adds up until it is worth a look


async def keep_tidy() -> None:
    """Tidy for as long as the process runs."""
    gc.freeze()  # what is there from the start is no garbage, and need not be looked through again
    housekeeper = Housekeeper(_malloc_trim(), resident)
    while True:
        await asyncio.sleep(SECONDS)
        housekeeper.tidy()


def resident() -> int:
    """Return the bytes of memory that the process holds (proc(5), statm); 0 where nothing tells."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library than GNU's has no such thing, and mostly no need of it
        return None
