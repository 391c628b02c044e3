"""Binds each kind of domain.jobs to its function. A function returns None when done, or seconds after which to run again."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from portico.domain.jobs import KINDS
from portico.errors import CloudError, DirectoryError, PorticoError, RateLimited
from portico.services import (
    afterbuild,
    agents,
    deletion,
    housekeeping,
    inventory,
    leaks,
    membership,
    people,
    power,
    provision,
    release,
    sweep,
)
from portico.services.broker import Broker
from portico.services.claims import Claim

Handler = Callable[[Broker, Any, Claim], float | None]


def _scan(broker: Broker, payload: Any, claim: Claim) -> float | None:
    """Take a center's inventory. A center that is away is a state of the center, not a failed job."""
    try:
        passed = inventory.scan(broker, payload.center_id, full=payload.full)
    except PorticoError as problem:
        return max(getattr(problem, "retry_after", 0.0), inventory.next_try(broker, payload.center_id))
    return float(passed.next_seconds) if passed else None


def _leaks(broker: Broker, payload: Any, claim: Claim) -> float | None:
    """Look for what was left over in a center; one that is away is asked again at the next turn."""
    with suppress(CloudError):
        if leaks.look(broker, payload.center_id) is None:
            return None
    return float(KINDS["center_leaks"].every_seconds or 0)


def _people(broker: Broker, payload: Any, claim: Claim) -> float | None:
    """Ask a directory about its people; one that is away is asked again at the next turn."""
    seconds = float(KINDS["directory_people"].every_seconds or 0)
    with suppress(DirectoryError, RateLimited):
        return people.look_after(broker, payload.directory_id, seconds)
    return seconds


def _nothing_more(function: Callable[..., Any]) -> Handler:
    def run(broker: Broker, payload: Any, claim: Claim) -> None:
        function(broker, *_arguments(payload))

    return run


def _arguments(payload: Any) -> list[Any]:
    return [getattr(payload, name) for name in type(payload).__dataclass_fields__]


def _with_claim(function: Callable[[Broker, str, Claim], float | None]) -> Handler:
    def run(broker: Broker, payload: Any, claim: Claim) -> float | None:
        return function(broker, _arguments(payload)[0], claim)

    return run


HANDLERS: Mapping[str, Handler] = {
    "center_scan": _scan,
    "center_leaks": _leaks,
    "center_sweep": _with_claim(sweep.sweep),
    "leak_remove": _with_claim(leaks.carry_out),
    "pool_stats": _nothing_more(housekeeping.pool_stats),
    "pool_history_stats": _nothing_more(housekeeping.pool_history),
    "pool_refill": _nothing_more(provision.refill),
    "pool_members": _nothing_more(membership.rewrite),
    "desktop_build": _with_claim(provision.build),
    "desktop_delete": _with_claim(deletion.delete),
    "desktop_power": power.carry_out,
    "desktop_step": afterbuild.carry_out,
    "assignment_timer": release.fire,
    "hand_over": _with_claim(release.carry_out),
    "directory_people": _people,
    "agents_lost": _nothing_more(agents.note_lost),
    "purge": _nothing_more(housekeeping.purge),
}

assert set(HANDLERS) == set(KINDS), set(HANDLERS) ^ set(KINDS)
