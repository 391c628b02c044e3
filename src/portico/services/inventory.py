"""Inventory: the only poller of a cloud. One pass moves every desktop's state; only a complete one takes absence for an end."""

from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain import patience, retry, sync
from portico.domain.jobs import OfDesktop
from portico.domain.model import Reason, Stage, Status
from portico.domain.states import IN_FLIGHT
from portico.errors import CloudNotFound, PorticoError
from portico.ports.cloud import Scan
from portico.services import endings, instances, leaks, membership, outside, provision, twins
from portico.services.broker import Broker
from portico.services.clouds import open_cloud
from portico.services.queueing import When, enqueue
from portico.store import centers, desktops, events
from portico.store.centers import Center
from portico.store.records import desktop as record
from portico.store.scope import System

_SCOPE = System("inventory")


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass found, and when the next one is due, in seconds."""

    machines: int
    changed: int
    next_seconds: int


def scan(broker: Broker, center_id: str, *, full: bool = False) -> Passed | None:
    """Take a center's inventory; returns None when there is no such center any more. Raises CloudError when it is away."""
    begun = broker.now()
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, center_id)
        if center is None or not center.active:
            return None
        rows = desktops.list_of_center(conn, center_id)
    try:
        cloud = open_cloud(broker, center)
        found = cloud.scan(_since(center, rows, begun, full))
    except PorticoError as problem:
        _note_status(broker, center, "offline", problem.sentence)
        raise
    with broker.db.read() as conn:
        # A machine may be made during the pass, outlive its row for a moment, or come back: then it is no stranger.
        rows += desktops.list_of_machines(conn, center_id, *_names(rows, found))
    machines, elsewhere = twins.without_tags(broker, center, found.machines, {row.external_id for row in rows})
    known = [record(row) for row in rows]
    missing = {row.id: _missing(row, found, begun) for row in rows}
    actions = sync.compare(known, machines, found.complete, broker.deployment_id, begun, missing)
    _keep_missing(broker, rows, missing)
    _insert(broker, center, [action for action in actions if isinstance(action, sync.Insert)], elsewhere)
    for action in actions:
        _act(broker, center, action)
    without_agent = not cloud.capabilities().user_data
    _admit(broker, center, without_agent)
    twins.settle(broker, center)
    _finish(broker, center, found, begun)
    return Passed(len(found.machines), len(actions), _next(broker, center))


def next_try(broker: Broker, center_id: str) -> float:
    """Return the seconds to leave a center alone that did not answer."""
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, center_id)
    last = center.scanned_at if center else None
    return float(retry.silence_seconds((broker.now() - last).total_seconds() if last else 0.0))


def _since(center: Center, rows: list[Any], now: Any, full: bool) -> Any:
    """Return from when on changes are asked for; None for a full pass, which alone tells what was never made."""
    overdue = any(row.stage == Stage.CREATING and row.deadline_at is not None and row.deadline_at < now for row in rows)
    if full or overdue or center.full_pass_at is None:
        return None
    return center.scanned_at if now - center.full_pass_at < timedelta(seconds=center.full_pass_seconds) else None


def _names(rows: list[Any], found: Scan) -> tuple[list[str], list[str]]:
    """Return the machines' ids in the cloud, and the desktops' ids that they carry, of which no living row is known."""
    known = {row.external_id for row in rows}, {row.id for row in rows}
    machines = [machine.external_id for machine in found.machines if machine.external_id not in known[0]]
    tagged = [machine.desktop_id for machine in found.machines if machine.desktop_id]
    return machines, [desktop_id for desktop_id in tagged if desktop_id not in known[1]]


def _missing(row: Any, found: Scan, begun: Any) -> int:
    """Return how many complete passes, begun after its deadline, did not see a desktop that is being created."""
    overdue = row.stage == Stage.CREATING and row.deadline_at is not None and row.deadline_at < begun
    if not overdue or any(machine.desktop_id == row.id for machine in found.machines):
        return 0
    return int(row.missing_passes) + (1 if found.complete else 0)


def _keep_missing(broker: Broker, rows: list[Any], missing: dict[str, int]) -> None:
    changed = [row for row in rows if missing[row.id] != row.missing_passes]
    if changed:
        with broker.db.write() as conn:
            for row in changed:
                desktops.change(conn, row.id, broker.now(), missing_passes=missing[row.id])


def _act(broker: Broker, center: Center, action: sync.Action) -> None:
    match action:
        case sync.Update():
            _update(broker, center, action)
        case sync.Rebuilt():
            outside.rebuilt(broker, action.desktop_id)
        case sync.Adopt():
            _adopt(broker, center, action)
        case sync.MarkGone():
            endings.gone(broker, action.desktop_id, action.reason, sweep=True)
        case sync.Retry():
            _retry(broker, center, action.desktop_id)
        case sync.Fail():
            provision.fail(broker, action.desktop_id, action.reason)
        case sync.Quarantine():
            leaks.note_machine(broker, center, action.seen, action.reason)
        case sync.Remove():
            _remove(broker, center, action)


def _insert(broker: Broker, center: Center, actions: list[sync.Insert], elsewhere: set[str]) -> None:
    """Record machines that nobody knew, all in one transaction; those that live in another center as duplicates."""
    if not actions:
        return
    rows = [_found(broker, center, action.seen) for action in actions]
    for row in rows:
        if row["external_id"] in elsewhere:
            row |= {"status": str(Status.DUPLICATE), "start_unavailable": row["status"] != Status.AVAILABLE}
    now = broker.now()
    with broker.db.write() as conn:
        for action in actions:
            if action.replaces:
                desktops.change(conn, action.replaces, now, external_id=None)
        desktops.add(conn, rows)
        membership.place(broker, conn, [row["id"] for row in rows])
        entries = [
            events.Entry(
                now, "desktop.found", center.tenant_id, params={"desktop": row["name"], "center": center.name},
                desktop_id=row["id"], center_id=center.id,
            )
            for row in rows
        ]  # fmt: skip
        events.add(conn, *entries)


def _found(broker: Broker, center: Center, seen: sync.Seen) -> dict[str, Any]:
    now = broker.now()
    return {
        "id": broker.new_id(), "tenant_id": center.tenant_id, "center_id": center.id, "external_id": seen.external_id,
        "name": seen.name, "power": str(seen.power), "address": seen.address, "public_address": seen.public_address,
        "image_id": seen.image_id, "os_family": seen.os_family, "protocols": dict(seen.protocols), "tags": dict(seen.tags),
        "ssh_host_keys": list(seen.ssh_host_keys), "deletable": center.new_as_deletable, "realm": center.realm,
        "status": str(Status.UNAVAILABLE if center.start_unavailable or not center.offer_desktops else Status.AVAILABLE),
        "stage": str(Stage.READY), "stage_at": now, "created_at": now, "updated_at": now,
    }  # fmt: skip


def _update(broker: Broker, center: Center, action: sync.Update) -> None:
    changes = {key: _plain(value) for key, value in action.changes.items()}
    with broker.db.write() as conn:
        stage = changes.pop("stage", None)
        if stage is not None:
            _finished(broker, conn, center, action.desktop_id, Stage(str(stage)))
        if changes:
            desktops.change(conn, action.desktop_id, broker.now(), **changes)
        membership.place(broker, conn, [action.desktop_id])


def _finished(broker: Broker, conn: Connection, center: Center, desktop_id: str, stage: Stage) -> None:
    """The cloud has done its part: from now on the machine has the time that its image usually needs, and more."""
    row, now = desktops.get_row(conn, _SCOPE, desktop_id), broker.now()
    learned = centers.boot_seconds(conn, center.id, row.image_id) if row and row.image_id else None
    desktops.move_stage(conn, desktop_id, [Stage.BUILDING], stage, now, deadline_at=now + patience.boot(learned))


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value


def _adopt(broker: Broker, center: Center, action: sync.Adopt) -> None:
    seen, now = action.seen, broker.now()
    with broker.db.write() as conn:
        adopted = desktops.move_stage(
            conn, action.desktop_id, (Stage.INTENT, Stage.CREATING), Stage.BUILDING, now,
            external_id=seen.external_id, power=str(seen.power), address=seen.address, public_address=seen.public_address,
            os_family=seen.os_family, protocols=dict(seen.protocols), tags=dict(seen.tags),
            deadline_at=now + patience.BUILD,
        )  # fmt: skip
        if adopted:
            instances.confirm(broker, conn, desktops.get_row(conn, _SCOPE, action.desktop_id), seen.external_id)
            membership.place(broker, conn, [action.desktop_id])
            entry = events.Entry(now, "desktop.adopted", center.tenant_id, params={"desktop": seen.name},
                                 desktop_id=action.desktop_id, center_id=center.id)  # fmt: skip
            events.add(conn, entry)


def _retry(broker: Broker, center: Center, desktop_id: str) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        deadline = now + patience.BUILD
        desktops.move_stage(
            conn, desktop_id, [Stage.CREATING], Stage.INTENT, now, deadline_at=deadline, missing_passes=0
        )
        job, reason = OfDesktop(desktop_id), Reason("build.again")
        enqueue(broker, conn, "desktop_build", job, tenant_id=center.tenant_id, when=When(why=reason))


def _admit(broker: Broker, center: Center, without_agent: bool) -> None:
    """Move built desktops on: ready when their agent reports, or at once where the cloud cannot hand over its token."""
    with broker.db.read() as conn:
        waiting = desktops.list_preparing(conn, center.id)
    usable = [row for row in waiting if without_agent or (row.enrolled_at is not None and row.protocols)]
    if usable:
        with broker.db.write() as conn:
            for row in usable:
                provision.note_ready(broker, conn, record(row))


def _remove(broker: Broker, center: Center, action: sync.Remove) -> None:
    """Have a machine removed that outlives its desktop: by the desktop's own job, or, where its row has ended, at once."""
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, action.desktop_id)
        if row is not None and row.stage != Stage.GONE:
            enqueue(broker, conn, "desktop_delete", OfDesktop(action.desktop_id), tenant_id=center.tenant_id)
            return
    with suppress(CloudNotFound):
        open_cloud(broker, center).delete(action.external_id)


def _finish(broker: Broker, center: Center, found: Scan, begun: Any) -> None:
    with broker.db.write() as conn:
        images = [asdict(image) for image in found.images]
        if found.images or found.complete:
            vanished = centers.write_images(conn, center, images, begun, broker.new_id, complete=found.complete)
            outside.images_deleted(broker, conn, center, vanished)
        values: dict[str, Any] = {"scanned_at": begun}
        if found.complete:
            values |= {"full_pass_at": begun, "pass_number": center.pass_number + 1}
        centers.change(conn, center.id, **values)
    _note_status(broker, center, "online", "" if found.complete else "The last inventory was not complete.")


def _note_status(broker: Broker, center: Center, status: str, reason: str) -> None:
    if center.status == status and center.status_reason == reason:
        return
    with broker.db.write() as conn:
        centers.change(conn, center.id, status=status, status_reason=reason)
        if center.status != status:
            level = "info" if status == "online" else "error"
            params = {"center": center.name, "detail": reason}
            entry = events.Entry(
                broker.now(), f"center.{status}", center.tenant_id, level=level, params=params, center_id=center.id
            )
            events.add(conn, entry)


def _next(broker: Broker, center: Center) -> int:
    with broker.db.read() as conn:
        rows = desktops.list_of_center(conn, center.id)
    moving = {"starting", "stopping"}
    busy = any(row.stage in IN_FLIGHT or row.power in moving for row in rows)
    return center.fast_scan_seconds if busy else center.scan_seconds
