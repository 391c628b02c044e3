"""Leaks: what a cloud holds for us and no desktop needs. It is found, listed, and touched at an administrator's word alone."""

from typing import Any

from sqlalchemy import Connection

from portico import faults
from portico.domain import leaks as rules
from portico.domain.access import Actor, Level
from portico.domain.explain import as_json
from portico.domain.jobs import OfLeak
from portico.domain.leaks import Belonging, Known, Leak
from portico.domain.model import Desktop, Reason, Stage, Status
from portico.domain.sync import Seen
from portico.errors import CloudRefused, Conflict, NotFound
from portico.services import membership
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.services.guards import require, scope_of
from portico.services.queueing import enqueue
from portico.store import centers, desktops, events
from portico.store import leaks as store
from portico.store.centers import Center
from portico.store.records import desktop as record
from portico.store.scope import System

MACHINE = "machine.unknown"  # what inventory says of a machine at once
PART = "leak.found"
_SCOPE = System("looking for leaks")


def look(broker: Broker, center_id: str) -> int | None:
    """Compare what carries our tag with the desktops that live; returns how many leaks there are, None without a center.

    Raises CloudError when the center cannot tell; nothing is taken for removed then.
    """
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, center_id)
    if center is None or not center.active:
        return None
    found = open_cloud(broker, center).belongings()
    now = broker.now()
    with broker.db.read() as conn:  # after the list, so that whatever came into being meanwhile has its row
        named = sorted({one.desktop_id for one in found if one.desktop_id})
        rows, living = desktops.list_of_tags(conn, center_id, named)
        listed = {(row.kind, row.external_id): row for row in store.list_of_center(conn, center_id)}
    known = {row.id: Known(record(row), row.deleted_at) for row in rows}
    new = [leak for leak in rules.find(found, known, living, now) if _key(leak.belonging) not in listed]
    still = {_key(leak.belonging) for leak in rules.find(found, known, living, now, grace_seconds=None)}
    with broker.db.write() as conn:
        store.seen(conn, [row.id for key, row in listed.items() if key in still], now)
        store.end(conn, [row.id for key, row in listed.items() if key not in still], now)
        note(broker, conn, center, new)
    return len(new) + len(still & listed.keys())


def _key(belonging: Belonging) -> tuple[str, str]:
    return belonging.kind, belonging.external_id


def note(broker: Broker, conn: Connection, center: Center, leaks: list[Leak]) -> None:
    """Record leaks that were not listed, and tell of each once."""
    now = broker.now()
    rows: list[dict[str, Any]] = [
        {
            "id": broker.new_id(), "tenant_id": center.tenant_id, "center_id": center.id, "kind": one.belonging.kind,
            "external_id": one.belonging.external_id, "name": one.belonging.name[:200] or one.belonging.external_id,
            "desktop_id": one.belonging.desktop_id, "machine_id": one.belonging.machine_id, "reason": as_json(one.reason),
            "made_at": one.belonging.created_at, "created_at": now, "seen_at": now,
        }
        for one in leaks
    ]  # fmt: skip
    store.add(conn, rows)
    for row in rows:
        code, short = MACHINE if row["kind"] == "machine" else PART, str(row["external_id"])[:40]
        if code == MACHINE and events.happened(conn, center.id, code, short):
            continue
        params = {"machine": row["name"], "kind": row["kind"], "thing": row["name"], "center": center.name}
        entry = events.Entry(now, code, center.tenant_id, level="warning", params=params, reason=row["reason"],
                             center_id=center.id, correlation=short)  # fmt: skip
        events.add(conn, entry)


def note_machine(broker: Broker, center: Center, seen: Seen, reason: Reason) -> None:
    """Record a machine that inventory has met and that is nobody's, unless it is listed."""
    with broker.db.write() as conn:
        listed = {(row.kind, row.external_id) for row in store.list_of_center(conn, center.id)}
        if ("machine", seen.external_id) not in listed:
            thing = Belonging(
                "machine", seen.external_id, seen.name, seen.desktop_id, seen.created_at, seen.external_id
            )
            note(broker, conn, center, [Leak(thing, reason)])


def remove(broker: Broker, actor: Actor, leak_id: str) -> str:
    """Have a leak removed from the cloud; returns the job's id. Raises NotFound, Denied, Conflict when it is needed again."""
    row = _leak(broker, actor, leak_id)
    with broker.db.write() as conn:
        if _is_needed(conn, row):
            store.end(conn, [row.id], broker.now())
        else:
            states = (store.OPEN, store.KEPT, store.REMOVING)
            store.change(conn, row.id, states, state=store.REMOVING, decided_by=actor.login_name)
            _tell(broker, conn, actor, "leak.remove_ordered", row)
            return enqueue(broker, conn, "leak_remove", OfLeak(row.id), tenant_id=actor.tenant_id)
    raise Conflict("A desktop needs this again, so it is no leak any more.")


def keep(broker: Broker, actor: Actor, leak_id: str) -> None:
    """Leave a leak where it is: it stands in the list, and asks for no attention any more."""
    row = _leak(broker, actor, leak_id)
    with broker.db.write() as conn:
        if store.change(conn, row.id, (store.OPEN,), state=store.KEPT, decided_by=actor.login_name):
            _tell(broker, conn, actor, "leak.kept", row)


def adopt(broker: Broker, actor: Actor, leak_id: str) -> str:
    """Make a machine a desktop (again), under the id on its tag; returns that id. It is not offered before somebody says so.

    Raises NotFound, Denied, Conflict where it is no machine, a second one, or gone meanwhile.
    """
    row = _leak(broker, actor, leak_id)
    if row.kind != "machine":
        raise Conflict("Only a machine can become a desktop. Delete this, or keep it.")
    if not rules.may_adopt(row.kind, row.reason["code"]):
        raise Conflict("Its desktop has another machine. Delete this one, or keep it.")
    with broker.db.read() as conn:
        center = centers.get(conn, scope_of(actor), row.center_id)
    seen = open_cloud(broker, center).look(row.external_id) if center else None
    with broker.db.write() as conn:
        if center is not None and seen is not None:
            desktop_id = _bring_back(broker, conn, center, row, seen)
            store.end(conn, [row.id], broker.now())
            _tell(broker, conn, actor, "leak.adopted", row, desktop_id=desktop_id)
            return desktop_id
        store.end(conn, [row.id], broker.now())
    raise Conflict("The machine is gone meanwhile, so it is no leak any more.")


def _bring_back(broker: Broker, conn: Connection, center: Center, leak: Any, seen: Seen) -> str:
    """Restore the row of the machine's desktop, or insert one with its id."""
    now = broker.now()
    tagged = leak.desktop_id if leak.desktop_id and len(leak.desktop_id) <= 36 else None
    old = desktops.get_row(conn, _SCOPE, tagged) if tagged else None
    if old is not None and old.deleted_at is None:
        raise Conflict("Its desktop has another machine. Delete this one, or keep it.")
    values: dict[str, Any] = {
        "external_id": seen.external_id, "name": seen.name, "power": str(seen.power), "address": seen.address,
        "public_address": seen.public_address, "image_id": seen.image_id, "os_family": seen.os_family,
        "protocols": dict(seen.protocols), "tags": dict(seen.tags), "status": str(Status.UNAVAILABLE),
        "stage": str(Stage.READY), "stage_at": now, "stage_reason": "", "deadline_at": None,
    }  # fmt: skip
    if old is not None and old.tenant_id == center.tenant_id and old.center_id == center.id:
        desktops.change(conn, old.id, now, deleted_at=None, **values)
        desktop_id = str(old.id)
    else:
        desktop_id = tagged if tagged and old is None else broker.new_id()
        # Our tag says that we made it, so we may delete it as well.
        first = {"id": desktop_id, "tenant_id": center.tenant_id, "center_id": center.id, "deletable": True,
                 "realm": center.realm, "created_at": seen.created_at or now, "updated_at": now}  # fmt: skip
        desktops.add(conn, [first | values])
    membership.place(broker, conn, [desktop_id])
    return desktop_id


def carry_out(broker: Broker, leak_id: str, claim: Claim) -> None:
    """Remove a leak whose removal was ordered, unless a desktop needs it by now."""
    with broker.db.write() as conn:
        claim.check(conn)
        row = store.get(conn, _SCOPE, leak_id)
        if row is None or row.state != store.REMOVING:
            return
        center = centers.get(conn, _SCOPE, row.center_id)
        if center is None or _is_needed(conn, row):
            store.end(conn, [row.id], broker.now())
            return
    thing = Belonging(row.kind, row.external_id, row.name, row.desktop_id, row.made_at, row.machine_id)
    faults.point("leak.before_call")
    try:
        open_cloud(broker, center).remove(thing)
    except CloudRefused as problem:
        _note_refusal(broker, row, problem.sentence)
        return
    faults.point("leak.after_call")
    with broker.db.write() as conn:
        store.end(conn, [row.id], broker.now())
        params = {"kind": row.kind, "thing": row.name, "center": center.name}
        entry = events.Entry(broker.now(), "leak.removed", row.tenant_id, params=params, center_id=center.id)
        events.add(conn, entry)


def _note_refusal(broker: Broker, row: Any, detail: str) -> None:
    with broker.db.write() as conn:
        store.change(conn, row.id, (store.REMOVING,), state=store.OPEN)
        params = {"kind": row.kind, "thing": row.name, "detail": detail}
        entry = events.Entry(broker.now(), "leak.remove_refused", row.tenant_id, level="warning", params=params,
                             center_id=row.center_id)  # fmt: skip
        events.add(conn, entry)


def _is_needed(conn: Connection, leak: Any) -> bool:
    """Tell whether a living desktop has come to need the thing since it was listed."""
    rows, living = desktops.list_of_tags(conn, leak.center_id, [leak.desktop_id] if leak.desktop_id else [])
    if leak.kind == "machine":
        return leak.external_id in living
    return leak.machine_id in living or any(_may_yet_need(record(row), row.deleted_at) for row in rows)


def _may_yet_need(desktop: Desktop, ended_at: Any) -> bool:
    return ended_at is None and desktop.stage in (Stage.INTENT, Stage.CREATING, Stage.BUILDING)


def _leak(broker: Broker, actor: Actor, leak_id: str) -> Any:
    require(actor, "centers", Level.EDIT, narrowed=True)
    with broker.db.read() as conn:
        row = store.get(conn, scope_of(actor), leak_id)
    if row is None:
        raise NotFound("There is no such leak. Perhaps it is gone already.")
    return row


def _tell(broker: Broker, conn: Connection, actor: Actor, code: str, row: Any, **more: str) -> None:
    subject = {"kind": row.kind, "thing": row.name, "center_id": row.center_id}
    announce(broker, conn, actor, code, subject | more)
