"""Tickets for tunnels: ways for a client of a device that are bound to the person, not to an address."""

from portico.errors import Conflict
from portico.services import connect, forwards
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.wire.tickets import TUNNEL

DOOR = "/gw/tunnel"


def ticket(broker: Broker, me: SignedIn, connection_id: str) -> dict[str, str]:
    """Hand out a ticket that opens tunnels for one's own connection while it lives. Raises NotFound, Conflict with the reason, Unavailable."""
    one = connect.ready(broker, me, connection_id)
    if one.row.f_state != forwards.TUNNEL:
        raise Conflict("This connection was not begun for a tunnel. Open the desktop again.")
    with broker.db.write() as conn:
        path = connect.reopen(broker, conn, me, one)
        sealed = connect.issue(broker, conn, me, one, path, TUNNEL)
    return {"ticket": sealed, "url": path.origin + DOOR}
