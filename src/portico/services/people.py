"""People of directories between their log-ins: who may not log in there any more is kept out here, within minutes."""

from typing import Any

from portico.domain.directories import DirectoryRecord, Identity
from portico.domain.jobs import AssignmentTimer
from portico.services.broker import Broker
from portico.services.directories import answer_of, by_redirect, gate_of
from portico.services.queueing import enqueue
from portico.services.screen_lock import lock
from portico.store import assignments, events
from portico.store import directories as store
from portico.store import sessions as session_store
from portico.store.scope import Tenant

AT_ONCE = 500  # people in one run; whoever is left comes first in the next one
LOOK_SECONDS = 60.0  # for their directory's answer, its line included; then the job fails and is begun again


def look_after(broker: Broker, directory_id: str, seconds: float) -> float | None:
    """Ask a directory about those of its people who are logged in or have a desktop. Returns when to ask again, None: never.

    Raises DirectoryError when it does not answer: then nobody is kept out.
    """
    directory = broker.snapshots.get(fresh=True).directories.get(directory_id)
    if directory is None or not directory.active or by_redirect(broker, directory):
        return None
    with broker.db.read() as conn:
        rows = store.to_look_at(conn, directory_id, AT_ONCE)
    if rows:
        gate = gate_of(broker, directory)
        if not gate.driver.can_look:
            return seconds
        names = [row.login_name for row in rows]
        found = answer_of(gate.submit(lambda: gate.driver.look(names)), LOOK_SECONDS)
        for row in rows:
            settle(broker, directory, row, found.get(row.login_name))
        with broker.db.write() as conn:
            store.note_checked(conn, [row.id for row in rows], broker.now())
    return seconds if len(rows) < AT_ONCE else 1.0


def settle(broker: Broker, directory: DirectoryRecord, row: Any, identity: Identity | None) -> None:
    """Bar or let in again; somebody else of the same name is not who we know."""
    if identity is not None and identity.subject == row.subject:
        if row.barred:
            with broker.db.write() as conn:
                if store.unbar(conn, row.id):
                    _tell(broker, conn, directory, row, "user.unbarred")
        return
    out = directory.when_disabled == "log_out"
    with broker.db.write() as conn:
        if not store.bar(conn, row.id, "disabled" if identity is None else "gone", out=out):
            return
        _tell(broker, conn, directory, row, "user.barred")
        held = assignments.list_of_user(conn, Tenant(row.tenant_id), row.id)
        if out:
            session_store.end_all(conn, row.id, broker.now(), "disabled in the directory")
            for assignment, _ in held:
                timer = AssignmentTimer(assignment.id, assignment.epoch, "log_out", "user.barred")
                enqueue(broker, conn, "assignment_timer", timer, tenant_id=row.tenant_id)
    if directory.when_disabled == "lock":
        for _, desktop in held:
            lock(broker, desktop)


def _tell(broker: Broker, conn: Any, directory: DirectoryRecord, row: Any, code: str) -> None:
    entry = events.Entry(
        broker.now(),
        code,
        row.tenant_id,
        level="warning",
        user_id=row.id,
        params={"directory": directory.name, "user": row.login_name},
    )
    events.add(conn, entry)
