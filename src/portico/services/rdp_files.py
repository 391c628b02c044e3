"""Files for RDP clients of their own: through a gateway, signed, with a session ticket instead of a password."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.model import Client, Reason
from portico.errors import Conflict
from portico.ports.display import LaunchContext, Target
from portico.services import connect, entry_tickets, reach
from portico.services.broker import Broker
from portico.services.connect import Ready
from portico.services.explaining import sentence
from portico.services.rdp_signature import sign
from portico.services.sessions import SignedIn
from portico.store import fleet
from portico.wire.tickets import SESSION

PROTOCOL = "rdp"


def make(broker: Broker, me: SignedIn, connection_id: str, *, by_port: bool = False) -> dict[str, Any]:
    """Return an .rdp file (wire.launch, kind "file") for one's own connection, good for a client that opens it within five minutes.

    `by_port`: for a client that knows no RD Gateway, by the gateway's port for those.

    Raises NotFound, Conflict with the reason, Unavailable.
    """
    one = connect.ready(broker, me, connection_id)
    if one.protocol != PROTOCOL or broker.displays.get(PROTOCOL) is None:
        raise Conflict("Only RDP opens in an RDP client. Choose RDP to open the desktop.")
    if one.plan.records:
        raise Conflict(sentence(Reason("protocol.not_recorded", {"protocol": "RDP"})))
    name = one.desktop.display_name or one.desktop.name
    with broker.db.write() as conn:
        path = connect.reopen(broker, conn, me, one)
        if by_port:
            host, port = reach.address(broker, path.gateway.origin)[0], _port(conn, path.gateway.id)
            values = {"ROUTING": entry_tickets.issue_routing(broker, conn, connection_id)}
            return _file(broker, me, one, Target(host, port, name), values)
        token = connect.issue(broker, conn, me, one, path, SESSION)
    host, port = reach.address(broker, path.origin)
    values = {"GATEWAY": host if port == 443 else f"{host}:{port}", "TOKEN": token}
    # The target's name is the gateway's, whose certificate the client sees; where the session goes is in the ticket.
    return _file(broker, me, one, Target(host, 3389, name), values)


def has_port(broker: Broker) -> bool:
    """Tell whether any gateway takes RDP clients that know no RD Gateway."""
    with broker.db.read() as conn:
        live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=reach.GATEWAY_SECONDS))
    return any((one.load or {}).get("rdp_port") for one in live)


def _port(conn: Connection, gateway_id: str) -> int:
    row = fleet.get_gateway(conn, gateway_id)
    number = (row.load or {}).get("rdp_port") if row is not None else 0
    if not isinstance(number, int) or not 0 < number < 65536:
        raise Conflict("This gateway has no port for RDP clients without an RD Gateway. Take the other file.")
    return number


def _file(broker: Broker, me: SignedIn, one: Ready, target: Target, values: dict[str, str]) -> dict[str, Any]:
    client = Client(one.row.client_address, kind="connect")
    launch = broker.displays[PROTOCOL].launch(
        target, one.plan, LaunchContext(one.row.id, client, me.user.login_name, values)
    )
    certificate, key = broker.keys.rdp_signer
    return {**launch, "text": sign(launch["text"], certificate, key)}
