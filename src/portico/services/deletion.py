"""Removing desktops: the machine first, then the row's end, so that a kill at any line leaves neither without the other."""

from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from portico import faults
from portico.domain.model import Reason, Stage, Status
from portico.errors import CloudError, CloudNotFound
from portico.services import endings
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.store import centers, desktops
from portico.store.scope import System

_SCOPE = System("deleting desktops")


def delete(broker: Broker, desktop_id: str, claim: Claim) -> float | None:
    """Remove a desktop's machine and all that was made for it, then mark the desktop gone and refill its pool.

    Returns the seconds to wait where the outcome of its create is not known yet, else None.
    """
    now = broker.now()
    with broker.db.write() as conn:
        claim.check(conn)
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None or row.stage == Stage.GONE:
            return None
        begin(conn, desktop_id, now)
        center = centers.get(conn, _SCOPE, row.center_id)
        row = desktops.get_row(conn, _SCOPE, desktop_id)
    assert row is not None
    faults.point("delete.before_call")
    if row.external_id is None and row.deadline_at is not None and row.deadline_at > now:
        return max(
            1.0, float((row.deadline_at - now).total_seconds())
        )  # a create that was asked for may still come true
    if center is not None:
        _remove(broker, center, row)
    faults.point("delete.after_call")
    endings.gone(broker, desktop_id, Reason("desktop.deleted"))
    faults.point("delete.after_record")
    return None


def begin(conn: Connection, desktop_id: str, now: datetime) -> bool:
    """Move a desktop to `deleting`; its deadline stays only where a create was asked for and not answered."""
    values = {"status": str(Status.UNAVAILABLE)}
    if desktops.move_stage(conn, desktop_id, [Stage.CREATING], Stage.DELETING, now, **values):
        return True
    stages = (Stage.INTENT, Stage.BUILDING, Stage.PREPARING, Stage.READY, Stage.QUARANTINED, Stage.FAILED)
    return desktops.move_stage(conn, desktop_id, stages, Stage.DELETING, now, deadline_at=None, **values)


def _remove(broker: Broker, center: Any, row: Any) -> None:
    cloud = open_cloud(broker, center)
    external_id = row.external_id
    if external_id is None:
        scan = cloud.scan()
        if not scan.complete:
            raise CloudError("The machine could not be looked for: the list was not complete.")
        external_id = next((machine.external_id for machine in scan.machines if machine.desktop_id == row.id), None)
    if external_id is not None:
        with suppress(CloudNotFound):  # what we wanted
            cloud.delete(external_id)
        return
    # No machine came of it; what a create that was cut short has made before, a port or a volume, goes all the same.
    for one in cloud.belongings():
        if one.desktop_id == row.id:
            cloud.remove(one)
