"""Tickets for tunnels: ways for a client of a device that are bound to the person, not to an address."""

from portico.domain.connect import ConnectStage
from portico.domain.model import Reason
from portico.errors import Conflict, Unavailable
from portico.services import connect, entry_tickets, forwards, reach
from portico.services.broker import Broker
from portico.services.entry_tickets import Way
from portico.services.explaining import sentence
from portico.services.sessions import SignedIn
from portico.store import connections
from portico.wire.tickets import TUNNEL

DOOR = "/gw/tunnel"


def ticket(broker: Broker, me: SignedIn, connection_id: str) -> dict[str, str]:
    """Hand out a ticket that opens tunnels for one's own connection while it lives. Raises NotFound, Conflict with the reason, Unavailable."""
    row, assignment, desktop = connect.load(broker, me, connection_id)
    if row.f_state != forwards.TUNNEL:
        raise Conflict("This connection was not begun for a tunnel. Open the desktop again.")
    seen = connect.view(broker, me, connection_id)
    if seen.progress.stage is not ConnectStage.READY:
        raise Conflict(sentence(seen.progress.reason or Reason("desktop.preparing")))
    if row.state == "closed" and row.close_reason in connect.ENDED:
        raise Conflict("This connection was ended. Open the desktop again from your desktops.")
    plan = connect.plan_of(broker, assignment)
    with broker.db.write() as conn:
        path = reach.choose(broker, conn, desktop.realm, desktop.target, plan, me)
        if isinstance(path, Reason):
            raise Unavailable(sentence(path), retry_after=3)
        way = Way(connection_id, assignment.id, assignment.epoch, me.user.id, seen.protocol, desktop.realm)
        sealed = entry_tickets.issue(broker, conn, path.gateway.id if path.pinned else None, way, TUNNEL)
        connections.set_state(conn, connection_id, connect.REOPENED, "ready", closed_at=None, close_reason="")
    return {"ticket": sealed, "url": path.origin + DOOR}
