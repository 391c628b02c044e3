"""How many desktops a pool builds, why not more, what they are called, and when failing builds stop it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from portico.domain.model import (
    Desktop,
    Pool,
    PoolCounts,
    Power,
    Provisioning,
    ProvisionLimits,
    Reason,
    SessionState,
    Stage,
    Status,
)
from portico.domain.retry import backoff_seconds
from portico.domain.states import IN_FLIGHT
from portico.domain.tags import NAME_LENGTH, Value, padded, render

FAILURES_STOP = 3  # so many failed builds in a row stop a pool until an administrator has looked
FALLBACK_NAME = "desktop"


@dataclass(frozen=True, slots=True)
class Decision:
    """How many desktops to start building now, and why so many (or none); `retire` names those to delete instead."""

    build: int
    reason: Reason
    retire: tuple[str, ...] = ()


def desktops_to_build(limits: ProvisionLimits, counts: PoolCounts) -> int:
    """Return how many desktops to start building so that the pool meets its limits; builds in flight are counted already."""
    if not limits.enabled or limits.start_below <= 0 or limits.stop_at <= 0:
        return 0
    return max(0, min(limits.start_below - counts.unassigned, limits.stop_at - counts.total))


def counted(provisioning: Provisioning, counts: PoolCounts) -> PoolCounts:
    """Return the counts as the limits read them: with `count_only_available`, unavailable desktops are not unassigned."""
    return (
        replace(counts, unassigned=counts.available + counts.building) if provisioning.count_only_available else counts
    )


def plan(
    pool: Pool, counts: PoolCounts, now: datetime, paused_reason: Reason | None, limits: ProvisionLimits | None = None
) -> Decision:
    """Return what a pool does about its size `now`; `paused_reason` is what stops it from outside: errors, quota, network.

    `limits` are those of the moment, where windows of time set others than the pool's own.
    """
    limits = limits or pool.provisioning.limits
    if not limits.enabled:
        return Decision(0, Reason("pool.off", {"pool": pool.name}))
    if limits.start_below <= 0 or limits.stop_at <= 0:
        timed = limits != pool.provisioning.limits
        return Decision(0, Reason("pool.off_by_time" if timed else "pool.off", {"pool": pool.name}))
    if pool.provisioning.center_id is None:
        return Decision(0, Reason("pool.no_center", {"pool": pool.name}))
    if not pool.provisioning.image:
        return Decision(0, Reason("pool.no_image", {"pool": pool.name}))
    if paused_reason is not None:
        return Decision(0, paused_reason)
    seen = counted(pool.provisioning, counts)
    build = desktops_to_build(limits, seen)
    return Decision(build, _why(pool.name, limits, seen, build))


def desktops_to_retire(pool: Pool, limits: ProvisionLimits, desktops: Iterable[Desktop]) -> tuple[str, ...]:
    """Return the desktops to delete so that a pool that enforces its limits comes down to `stop_at`; what it lacks first.

    Only what the pool itself has built, may delete and nobody has: never an assigned or connected desktop, nor one that is
    held back or in maintenance. What is on its way out already is not counted again. A pool that is switched off deletes
    nothing. Of the rest go first those that nobody could use yet, then unavailable ones, then stopped ones, the oldest first.
    """
    if not (pool.provisioning.enforce and limits.enabled):
        return ()
    there = [one for one in desktops if one.status not in (Status.DELETED, Status.DUPLICATE)]
    staying = [one for one in there if one.stage not in (Stage.DELETING, Stage.FAILED, Stage.GONE)]
    above = len(staying) - max(0, limits.stop_at)
    spare = sorted((one for one in staying if _is_spare(one, pool.id)), key=_first_to_go)
    return tuple(one.id for one in spare[: max(0, above)])


def _is_spare(desktop: Desktop, pool_id: str) -> bool:
    nobodys = desktop.used_seats == 0 and desktop.session is SessionState.NONE and not desktop.maintenance
    usual = desktop.stage is Stage.READY or desktop.stage in IN_FLIGHT
    return nobodys and usual and desktop.deletable and desktop.built_for_pool == pool_id


def _first_to_go(desktop: Desktop) -> tuple[bool, bool, bool, float, str]:
    age = desktop.created_at.timestamp() if desktop.created_at else 0.0
    return (
        desktop.stage is Stage.READY, desktop.status is Status.AVAILABLE, desktop.power is Power.RUNNING, age, desktop.id
    )  # fmt: skip


def after_build_failure(pool_failures: int, now: datetime) -> tuple[bool, int]:
    """Return (whether the pool stops, how many seconds it waits from `now`) after so many failed builds in a row."""
    return pool_failures >= FAILURES_STOP, backoff_seconds(pool_failures)


def names(
    template: str, next_sequence: int, n: int, taken: Collection[str], context: Mapping[str, Value]
) -> tuple[list[str], int]:
    """Return `n` names that nobody has, and the next sequence number; see `numbered_names`."""
    found, following = numbered_names(template, next_sequence, n, taken, context)
    return [name for name, _ in found], following


def numbered_names(
    template: str, next_sequence: int, n: int, taken: Collection[str], context: Mapping[str, Value]
) -> tuple[list[tuple[str, int]], int]:
    """Return `n` names that nobody has, each with its number, and the next sequence number.

    A name is never the same as a `taken` one, whatever its case. Numbers of taken names are passed over, not used twice.
    """
    used = {name.casefold() for name in taken}
    found: list[tuple[str, int]] = []
    while len(found) < n:
        name = _name(template, next_sequence, context)
        if name.casefold() not in used:
            used.add(name.casefold())
            found.append((name, next_sequence))
        next_sequence += 1
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
