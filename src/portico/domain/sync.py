"""Inventory: what a pass over a cloud says about the desktops that are known, as actions to be carried out.

The caller reads `known` BEFORE the pass begins, so that whatever came into being during the pass is not missed by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from portico.domain.model import Desktop, Power, Reason, Stage, Status
from portico.domain.states import IN_FLIGHT

PASSES_BEFORE_RETRY = (
    2  # complete passes, begun after the deadline, that must not see a machine before it is made again
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine as the cloud sees it now. `desktop_id` is our tag on it, None when somebody else made it."""

    external_id: str
    name: str
    power: Power
    ready: bool  # the cloud has finished building it (a login may still be far away)
    error: str = ""  # the cloud's own words when it failed
    desktop_id: str | None = None
    deployment_id: str | None = None
    address: str | None = None
    public_address: str | None = None
    image_id: str | None = None
    flavor: str | None = None
    created_at: datetime | None = None
    os_family: str = ""  # "windows" | "linux" | ""
    protocols: Mapping[str, int] = field(default_factory=dict)  # protocol name → port, where the cloud knows it
    ssh_host_keys: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    gone: bool = False  # an explicit DELETED


@dataclass(frozen=True, slots=True)
class Insert:
    """A machine that nobody knew. `replaces` is the row of a gone desktop that still holds its external id."""

    seen: Seen
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Fields of a desktop that the cloud now says differently; `stage` may be among them."""

    desktop_id: str
    changes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A desktop whose machine was made anew, outside of Portico, under the same id: who was on it is not any more."""

    desktop_id: str


@dataclass(frozen=True, slots=True)
class Adopt:
    """The machine of a desktop whose create call was never answered, or not yet."""

    desktop_id: str
    seen: Seen


@dataclass(frozen=True, slots=True)
class MarkGone:
    """A desktop whose machine is no more."""

    desktop_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Retry:
    """A desktop whose machine was surely never made: ask for it again."""

    desktop_id: str


@dataclass(frozen=True, slots=True)
class Fail:
    """A desktop that will not become usable."""

    desktop_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A machine that carries our tag without a living row: listed for an administrator, never deleted by itself."""

    seen: Seen
    reason: Reason


@dataclass(frozen=True, slots=True)
class Remove:
    """A machine that outlives its desktop, or whatever was made for one that is being deleted."""

    desktop_id: str
    external_id: str


Action = Insert | Update | Rebuilt | Adopt | MarkGone | Retry | Fail | Quarantine | Remove


def compare(
    known: Sequence[Desktop],
    machines: Sequence[Seen],
    complete: bool,
    deployment_id: str,
    now: datetime,
    missing_passes: Mapping[str, int] | None = None,
) -> tuple[Action, ...]:
    """Return what the pass changes. Only a complete one takes absence for an end; an explicit `gone` counts at once.

    `missing_passes` says, by desktop id, how many complete passes begun after its deadline (this one included) did not
    see a desktop that is being created. A machine of another deployment is an ordinary one.
    """
    by_id = {desktop.id: desktop for desktop in known}
    by_machine = {desktop.external_id: desktop for desktop in sorted(known, key=_lives) if desktop.external_id}
    actions: list[Action] = []
    met: set[str] = set()
    for seen in {seen.external_id: seen for seen in machines}.values():
        ours = seen.deployment_id == deployment_id and seen.desktop_id is not None
        tagged = by_id.get(seen.desktop_id or "") if ours else None
        row = by_machine.get(seen.external_id, tagged)
        if row is not None and row.id not in met and row.external_id in (None, seen.external_id):
            met.add(row.id)
            actions += _meet(row, seen, ours, now)
        elif not seen.gone:
            actions.append(_stranger(seen, row, ours))
    for desktop in known:
        if desktop.id not in met and _lives(desktop):
            actions += _miss(desktop, complete, now, (missing_passes or {}).get(desktop.id, 0))
    return tuple(actions)


def _meet(desktop: Desktop, seen: Seen, ours: bool, now: datetime) -> list[Action]:
    """Return what follows from seeing the machine of a desktop."""
    if desktop.stage is Stage.DELETING and _lives(desktop):
        return [Remove(desktop.id, seen.external_id)]
    if seen.gone:
        return [MarkGone(desktop.id, _end(desktop))] if _lives(desktop) else []
    if not _lives(desktop):
        return [_returned(desktop, seen, ours)]
    actions: list[Action] = []
    if desktop.stage in (Stage.INTENT, Stage.CREATING):
        actions.append(Adopt(desktop.id, seen))
    elif changed := changes(desktop, seen):
        actions.append(Update(desktop.id, changed))
        if desktop.image_id and "image_id" in changed and desktop.stage not in IN_FLIGHT:
            actions.append(Rebuilt(desktop.id))
    failure = _failure(desktop, seen, now)
    return [*actions, Fail(desktop.id, failure)] if failure else actions


def _miss(desktop: Desktop, complete: bool, now: datetime, passes: int) -> list[Action]:
    """Return what follows from not seeing the machine of a desktop that is alive."""
    overdue = desktop.deadline_at is not None and desktop.deadline_at < now
    if desktop.stage is Stage.INTENT:
        return [Retry(desktop.id)] if overdue else []  # Nothing was asked of the cloud yet, so nothing can be doubled.
    if desktop.stage is Stage.CREATING:
        return [Retry(desktop.id)] if complete and overdue and passes >= PASSES_BEFORE_RETRY else []
    if desktop.stage is Stage.DELETING and desktop.external_id is None and desktop.deadline_at and not overdue:
        return []  # Its create was asked for and not answered: it may still come true.
    if complete and desktop.stage is Stage.DELETING:  # The machine is gone, and what was made for it is perhaps not.
        return [Remove(desktop.id, desktop.external_id or "")]
    if complete:
        return [MarkGone(desktop.id, _end(desktop))]
    failure = _failure(desktop, None, now)
    return [Fail(desktop.id, failure)] if failure else []


def _stranger(seen: Seen, twin: Desktop | None, ours: bool) -> Action:
    """Return what to do with a machine that belongs to no row, or to one that already has another machine."""
    if not ours:
        return Insert(seen)
    return Quarantine(seen, Reason("machine.duplicate" if twin else "machine.no_row", {"machine": seen.name}))


def _returned(desktop: Desktop, seen: Seen, ours: bool) -> Action:
    """Return what to do with a machine whose desktop counts as gone: remove it only if it is ours to delete."""
    if not ours:
        return Insert(seen, replaces=desktop.id if desktop.external_id else None)
    if desktop.deletable and seen.desktop_id == desktop.id:
        return Remove(desktop.id, seen.external_id)
    return Quarantine(seen, Reason("machine.returned", {"machine": seen.name}))


def _failure(desktop: Desktop, seen: Seen | None, now: datetime) -> Reason | None:
    """Return why a desktop in the making has failed, or None while there is hope."""
    if desktop.stage in IN_FLIGHT and seen is not None and seen.error:
        return Reason("build.error", {"detail": seen.error})
    if desktop.deadline_at is None or desktop.deadline_at >= now:
        return None
    if desktop.stage is Stage.PREPARING:
        return Reason("build.never_answered")
    # A machine that was finished late, perhaps while no broker looked, still gets its chance to answer.
    unfinished = desktop.stage is Stage.BUILDING and not (seen is not None and seen.ready)
    return Reason("build.deadline") if unfinished else None


def changes(desktop: Desktop, seen: Seen) -> dict[str, object]:
    """Return the fields that differ. What only the agent knows (system, protocols) is not wiped by a cloud that does not."""
    now_is: dict[str, object] = {
        "name": seen.name or desktop.name,
        "power": seen.power,
        "address": seen.address,
        "public_address": seen.public_address,
        "external_id": seen.external_id,
        "image_id": seen.image_id or desktop.image_id,
        "os_family": seen.os_family or desktop.os_family,
        "protocols": dict(seen.protocols or desktop.protocols),
        "tags": {**desktop.tags, **seen.tags},  # beside them stand those that administrators set by hand
        "stage": Stage.PREPARING if _is_finished(desktop, seen) else desktop.stage,
    }
    return {name: value for name, value in now_is.items() if value != getattr(desktop, name)}


def _is_finished(desktop: Desktop, seen: Seen) -> bool:
    return desktop.stage is Stage.BUILDING and seen.ready and not seen.error


def _end(desktop: Desktop) -> Reason:
    expected = desktop.stage in (Stage.DELETING, Stage.FAILED) or desktop.status is Status.DUPLICATE
    return Reason("desktop.deleted" if expected else "desktop.deleted_outside")


def _lives(desktop: Desktop) -> bool:
    return desktop.stage is not Stage.GONE and desktop.status is not Status.DELETED
