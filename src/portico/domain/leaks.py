"""What a cloud holds for us that no desktop needs: found by comparing our tags with the desktops that live.

The caller lists the belongings first and reads the desktops afterwards, those that have ended included: whatever came into being
in between has its row by then, and whatever ended in between has its end.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portico.domain.model import Desktop, Reason, Stage, Status
from portico.domain.states import IN_FLIGHT

GRACE_SECONDS = 600  # how long a thing may be on its way to its desktop, or out of the cloud behind it


@dataclass(frozen=True, slots=True)
class Belonging:
    """A thing in the cloud that carries our deployment's tag: a machine, or what was made along with one."""

    kind: str  # "machine" | "volume" | "port" | "floating ip"
    external_id: str
    name: str
    desktop_id: str | None
    created_at: datetime | None = None
    machine_id: str | None = None  # the external id of the machine that it hangs on now


@dataclass(frozen=True, slots=True)
class Leak:
    """A belonging that no desktop needs, and why we think so."""

    belonging: Belonging
    reason: Reason


@dataclass(frozen=True, slots=True)
class Known:
    """A desktop, and when it ended (None while it lives)."""

    desktop: Desktop
    ended_at: datetime | None = None


def find(
    belongings: Sequence[Belonging],
    desktops: Mapping[str, Known],
    living: Collection[str],
    now: datetime,
    grace_seconds: int | None = GRACE_SECONDS,
) -> tuple[Leak, ...]:
    """Return what is left over. What is young, or whose desktop is being made, deleted or ended lately, is not yet.

    Without a grace (None) ages do not matter: what was listed once is no leak any more only when it is gone or needed.
    `desktops` are those that the belongings name, by id; `living` the machines of all living desktops of the center.
    """
    machines = {one.external_id for one in belongings if one.kind == "machine"}
    young = None if grace_seconds is None else now - timedelta(seconds=grace_seconds)
    found: list[Leak] = []
    for one in belongings:
        needed = (one.external_id if one.kind == "machine" else one.machine_id) in living
        known = desktops.get(one.desktop_id or "")
        times = (one.created_at, known.ended_at if known else None)
        if needed or (young is not None and any(time is not None and time > young for time in times)):
            continue
        reason = _machine(one, known) if one.kind == "machine" else _part(one, known, machines)
        if reason is not None:
            found.append(Leak(one, reason))
    return tuple(found)


def loose_parts(held: Sequence[Belonging], ended: Collection[str]) -> tuple[Belonging, ...]:
    """Return what hangs on no machine and was made for desktops that have ended, addresses before the ports that they stand on.

    Where a machine of the same desktop is still listed, nothing is loose: it may be on its way out, or be a second one.
    """
    living = {one.desktop_id for one in held if one.kind == "machine"}
    found = [
        one
        for one in held
        if one.kind != "machine" and one.machine_id is None and one.desktop_id in ended and one.desktop_id not in living
    ]
    return tuple(sorted(found, key=lambda one: one.kind))


def _machine(one: Belonging, known: Known | None) -> Reason | None:
    """Return why nobody needs a machine, or None."""
    params = {"machine": one.name or one.external_id}
    if known is None:
        return Reason("machine.no_row", params)
    if _has_ended(known):
        return Reason("machine.returned", params)
    # A desktop in the making takes up whichever machine inventory meets; only then another one is a second one.
    theirs = known.desktop.external_id
    if theirs is None or theirs == one.external_id or known.desktop.stage is Stage.DELETING:
        return None
    return Reason("machine.duplicate", params)


def _part(one: Belonging, known: Known | None, machines: set[str]) -> Reason | None:
    """Return why nobody needs a volume, a port or a floating IP, or None."""
    params = {"kind": one.kind, "name": one.name or one.external_id}
    if known is not None and not _has_ended(known):
        desktop = known.desktop
        busy = desktop.stage in IN_FLIGHT or desktop.stage in (Stage.DELETING, Stage.FAILED)
        if busy or one.machine_id == desktop.external_id:
            return None
    if one.machine_id is None:
        return Reason("leak.loose", params)
    # What hangs on a machine of ours is that machine's: it is judged, and goes, with it.
    return None if one.machine_id in machines else Reason("leak.elsewhere", params | {"machine": one.machine_id})


def _has_ended(known: Known) -> bool:
    return known.ended_at is not None or known.desktop.stage is Stage.GONE or known.desktop.status is Status.DELETED


def may_adopt(kind: str, reason_code: str) -> bool:
    """Tell whether a leak can become a desktop (again): a machine that is nobody's."""
    return kind == "machine" and reason_code in ("machine.no_row", "machine.returned")
