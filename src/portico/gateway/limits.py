"""How many may knock at once, and how often: a bound on half-open sessions and a token bucket for each address. Pure but for the clock."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv6Address, ip_address

MAX_ADDRESSES = 50_000


class Bucket:
    """At most `burst` knocks at once and `per_second` in the long run, for each address."""

    def __init__(self, per_second: float, burst: int, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._now = now
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address → (tokens, at), oldest first

    def allows(self, address: str) -> bool:
        """Whether this address may knock now; counts the knock if so."""
        now = self._now()
        key = _network(address)
        tokens, at = self._levels.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        allowed = tokens >= 1
        self._levels[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)
        return allowed


def client_address(peer: str, forwarded_for: str, trusted: Collection[str]) -> str:
    """Return who is really there: the last address of X-Forwarded-For that is not a proxy we trust; the peer if it is not one itself."""
    if peer not in trusted:
        return peer
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        parsed = _parse(hop.strip())
        if parsed is None:
            break
        address = str(parsed)
        if address not in trusted:
            break
    return address


def _network(address: str) -> str:
    """A person has a whole /64 of IPv6 to knock from, so that counts as one."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return address


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None
