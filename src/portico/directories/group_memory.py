"""Which groups hold a group, as read a moment ago: a handful of questions serve everybody who logs in meanwhile."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping

MOST = 20_000  # groups that are remembered; those that were read first are forgotten first

Above = Mapping[str, str]  # DN → name of each group that holds one


class GroupMemory:
    """Safe to use from several threads. What is remembered is never older than `seconds`."""

    def __init__(self, seconds: float) -> None:
        """Begin without anything. 0 seconds: remember nothing."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Above]] = OrderedDict()

    def find(self, dns: Iterable[str]) -> tuple[dict[str, str], list[str]]:
        """Return what holds these groups as far as it is known, and the groups of which it is not."""
        now, above, unknown = time.monotonic(), dict[str, str](), list[str]()
        with self._lock:
            for dn in dns:
                until, found = self._known.get(dn, (0.0, {}))
                if until > now:
                    above |= found
                else:
                    unknown.append(dn)
        return above, unknown

    def keep(self, dns: Iterable[str], above: Above, asked: float) -> None:
        """Remember what holds each of these groups, as asked at a moment of time.monotonic()."""
        if not self._seconds:
            return
        with self._lock:
            for dn in dns:
                self._known.pop(dn, None)
                self._known[dn] = (asked + self._seconds, above)
            while len(self._known) > MOST:
                self._known.popitem(last=False)
