"""What somebody does in a cloud behind Portico's back, and what follows here."""

from collections.abc import Mapping

from sqlalchemy import Connection

from portico.domain.model import AgentState, AssignmentMode, AssignmentState, Reason, SessionState
from portico.domain.states import Event
from portico.services import endings, evidence, power
from portico.services.broker import Broker
from portico.store import assignments, desktops, events, pools
from portico.store.centers import Center
from portico.store.records import desktop as record
from portico.store.scope import System

_SCOPE = System("changes in clouds")
_AT_WORK = (AssignmentState.CONNECTED, AssignmentState.DISCONNECTED)


def rebuilt(broker: Broker, desktop_id: str) -> None:
    """A machine was made anew under its old id: sessions on it have ended, and it waits for its new agent.

    Whoever was given it for good keeps it; what a policy gave goes the way of its release plan, as after a log-out.
    """
    reason, now = Reason("desktop.rebuilt_outside"), broker.now()
    with broker.db.write() as conn:
        row = desktops.get_row(conn, _SCOPE, desktop_id)
        if row is None:
            return
        fresh = {"session": str(SessionState.NONE), "agent": str(AgentState.NOT_INSTALLED)}
        desktops.change(conn, desktop_id, now, **fresh)
        power.heal(broker, conn, record(row))
        live = assignments.list_live_of_desktop(conn, desktop_id)
        for one in live:
            endings.close_connections(broker, conn, one.id, "session.ended")
        entry = events.Entry(now, reason.code, row.tenant_id, level="warning", params={"desktop": row.name},
                             desktop_id=desktop_id, center_id=row.center_id)  # fmt: skip
        events.add(conn, entry)
    for one in live:
        if one.mode == AssignmentMode.POLICY and one.state in _AT_WORK:
            evidence.apply(broker, one.id, Event.LOGGED_OFF, "broker", reason)


def images_deleted(broker: Broker, conn: Connection, center: Center, vanished: Mapping[str, str]) -> None:
    """Say which pools build from images that are no more."""
    if not vanished:
        return
    for pool in pools.list_all(conn, _SCOPE):
        wanted = pool.provisioning
        if wanted.center_id == center.id and wanted.image and wanted.image in vanished:
            params = {"image": vanished[wanted.image], "pool": pool.name, "center": center.name}
            entry = events.Entry(broker.now(), "image.deleted_in_use", center.tenant_id, level="warning", params=params,
                                 pool_id=pool.id, center_id=center.id)  # fmt: skip
            events.add(conn, entry)
