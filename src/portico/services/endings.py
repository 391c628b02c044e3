"""The end of a desktop: its machine is no more, so all that hangs on it ends too."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.explain import as_json
from portico.domain.jobs import OfCenter, OfPool
from portico.domain.model import AssignmentState, Reason, Stage, Status
from portico.services.broker import Broker
from portico.services.queueing import enqueue
from portico.store import assignments, connections, desktops, events, outbox
from portico.store import pools as pool_store
from portico.store.records import assignment as assignment_record
from portico.store.scope import System

TRIES = 5
CLOSE_SECONDS = 120  # how long a gateway may take to hear that it must close a connection
_SCOPE = System("ending desktops")


def gone(broker: Broker, desktop_id: str, reason: Reason, *, sweep: bool = False) -> None:
    """Record that a machine is no more: the desktop is marked deleted, its assignments end, its pool counts anew.

    `sweep`: the machine went by itself, so what was made along with it is to be looked for (services.sweep).
    """
    now = broker.now()
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None or row.stage == Stage.GONE:
            return
        desktops.change(
            conn, desktop_id, now, stage=str(Stage.GONE), stage_at=now, status=str(Status.DELETED), deleted_at=now,
            stage_reason=reason.code, power="unknown", session="none", agent="not installed",
        )  # fmt: skip
        for _ in range(TRIES):  # each is moved by its state and epoch: who moves it meanwhile makes us look again
            live = assignments.list_live_of_desktop(conn, desktop_id)
            for one in live:
                finish(broker, conn, assignment_record(one), row, reason)
            if not live:
                break
        pool_store.write_memberships(conn, {desktop_id: ()})
        outside = reason.code == "desktop.deleted_outside"
        events.add(
            conn,
            events.Entry(
                now, "desktop.deleted_outside" if outside else "desktop.deleted", row.tenant_id,
                level="warning" if outside else "info", params={"desktop": row.name}, reason=as_json(reason),
                desktop_id=desktop_id, pool_id=row.built_for_pool, center_id=row.center_id,
            ),
        )  # fmt: skip
        if row.built_for_pool:
            enqueue(broker, conn, "pool_refill", OfPool(row.built_for_pool), tenant_id=row.tenant_id)
            if sweep:
                enqueue(broker, conn, "center_sweep", OfCenter(row.center_id), tenant_id=row.tenant_id)


def center_gone(broker: Broker, conn: Connection, center_id: str) -> tuple[int, int]:
    """Mark a deleted center's desktops deleted; returns how many, and how many assignments ended with them.

    The machines are still there, perhaps with people at work: a desktop that was somebody's is quarantined, so that it is
    nobody else's should the center come back before the machine began afresh.
    """
    now, reason, ended = broker.now(), Reason("center.deleted"), 0
    for live in assignments.list_live_of_center(conn, center_id):
        desktop = desktops.get_row(conn, _SCOPE, live.desktop_id)
        desktops.move_stage(
            conn, live.desktop_id, [Stage.READY], Stage.QUARANTINED, now, stage_reason="release.no_evidence"
        )
        finish(broker, conn, assignment_record(live), desktop, reason)
        ended += 1
    return desktops.end_center(conn, center_id, now), ended


def center_back(broker: Broker, conn: Connection, center_id: str) -> int:
    """Bring the desktops back that were deleted with their center; the next inventory says which are still there."""
    return desktops.restore_center(conn, center_id, broker.now())


def finish(broker: Broker, conn: Connection, assignment: Any, desktop: Any, reason: Reason) -> None:
    """End an assignment for good: its seat is free, its connections are closed, the fact is recorded."""
    now = broker.now()
    if not assignments.move(
        conn, assignment, AssignmentState.RELEASED, now, claim_key=None, release_reason=as_json(reason)
    ):
        return
    desktops.free_seat(conn, desktop.id, assignment.id, now)
    close_connections(broker, conn, assignment.id, "session.ended")
    events.add(
        conn,
        events.Entry(
            now, "assignment.released", assignment.tenant_id, params={"desktop": desktop.name}, reason=as_json(reason),
            user_id=assignment.user_id, desktop_id=desktop.id, pool_id=assignment.pool_id, correlation=assignment.id,
        ),
    )  # fmt: skip


def close_connections(broker: Broker, conn: Connection, assignment_id: str, reason: str, keep: str = "") -> None:
    """Tell the gateways to close an assignment's connections, except `keep`, and record that they are over."""
    now = broker.now()
    for row in connections.list_open(conn, assignment_id):
        if row.id == keep:
            continue
        if row.gateway_id:
            message = {"kind": "close", "connection": row.id, "reason": reason}
            outbox.put(conn, f"gateway:{row.gateway_id}", message, now, now + timedelta(seconds=CLOSE_SECONDS))
        connections.set_state(conn, row.id, ("waiting", "ready", "open"), "closed", closed_at=now, close_reason=reason)
