"""How many desktops a pool builds, why not more, what they are called, and when failing builds stop it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from portico.domain.model import Pool, PoolCounts, ProvisionLimits, Reason
from portico.domain.retry import backoff_seconds
from portico.domain.tags import NAME_LENGTH, Value, padded, render

FAILURES_STOP = 3  # so many failed builds in a row stop a pool until an administrator has looked
FALLBACK_NAME = "desktop"


@dataclass(frozen=True, slots=True)
class Decision:
    """How many desktops to start building now, and why so many (or none)."""

    build: int
    reason: Reason


def desktops_to_build(limits: ProvisionLimits, counts: PoolCounts) -> int:
    """Return how many desktops to start building so that the pool meets its limits; builds in flight are counted already."""
    if not limits.enabled or limits.start_below <= 0 or limits.stop_at <= 0:
        return 0
    return max(0, min(limits.start_below - counts.unassigned, limits.stop_at - counts.total))


def plan(pool: Pool, counts: PoolCounts, now: datetime, paused_reason: Reason | None) -> Decision:
    """Return what a pool does about its size `now`; `paused_reason` is what stops it from outside: errors, quota, network."""
    limits = pool.provisioning.limits
    if not limits.enabled or limits.start_below <= 0 or limits.stop_at <= 0:
        return Decision(0, Reason("pool.off", {"pool": pool.name}))
    if pool.provisioning.center_id is None:
        return Decision(0, Reason("pool.no_center", {"pool": pool.name}))
    if not pool.provisioning.image:
        return Decision(0, Reason("pool.no_image", {"pool": pool.name}))
    if paused_reason is not None:
        return Decision(0, paused_reason)
    build = desktops_to_build(limits, counts)
    return Decision(build, _why(pool.name, limits, counts, build))


def after_build_failure(pool_failures: int, now: datetime) -> tuple[bool, int]:
    """Return (whether the pool stops, how many seconds it waits from `now`) after so many failed builds in a row."""
    return pool_failures >= FAILURES_STOP, backoff_seconds(pool_failures)


def names(
    template: str, next_sequence: int, n: int, taken: Collection[str], context: Mapping[str, Value]
) -> tuple[list[str], int]:
    """Return `n` names that nobody has, and the next sequence number.

    A name is never the same as a `taken` one, whatever its case. Numbers of taken names are passed over, not used twice.
    """
    used = {name.casefold() for name in taken}
    found: list[str] = []
    while len(found) < n:
        name = _name(template, next_sequence, context)
        next_sequence += 1
        if name.casefold() not in used:
            used.add(name.casefold())
            found.append(name)
    return found, next_sequence


def _name(template: str, sequence: int, context: Mapping[str, Value]) -> str:
    """Return the name with this number. Where the template lacks the number, or its place was cut off, it is put last."""
    name, following = (
        render(template, {**context, "SEQUENCE": padded(number)}, "name") for number in (sequence, sequence + 1)
    )
    if name != following and name:
        return name
    tail = f"-{sequence}"
    return (name or FALLBACK_NAME)[: NAME_LENGTH - len(tail)].rstrip("-") + tail


def _why(pool: str, limits: ProvisionLimits, counts: PoolCounts, build: int) -> Reason:
    if counts.unassigned >= limits.start_below:
        return Reason("pool.enough", {"pool": pool, "unassigned": counts.unassigned, "start_below": limits.start_below})
    if build == 0:
        return Reason("pool.at_maximum", {"pool": pool, "total": counts.total, "stop_at": limits.stop_at})
    return Reason(
        "pool.below_threshold",
        {"pool": pool, "unassigned": counts.unassigned, "start_below": limits.start_below, "build": build},
    )
