"""Files for RDP clients of their own: through a gateway, signed, with a session ticket instead of a password."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.connect import ConnectStage
from portico.domain.model import Client, ProtocolPlan, Reason
from portico.errors import Conflict, Unavailable
from portico.ports.display import LaunchContext, Target
from portico.services import connect, entry_tickets, reach
from portico.services.broker import Broker
from portico.services.entry_tickets import Way
from portico.services.explaining import sentence
from portico.services.rdp_signature import sign
from portico.services.sessions import SignedIn
from portico.store import connections, fleet
from portico.wire.tickets import SESSION

PROTOCOL = "rdp"


def make(broker: Broker, me: SignedIn, connection_id: str, *, by_port: bool = False) -> dict[str, Any]:
    """Return an .rdp file (wire.launch, kind "file") for one's own connection, good for a client that opens it within five minutes.

    `by_port`: for a client that knows no RD Gateway, by the gateway's port for those.

    Raises NotFound, Conflict with the reason, Unavailable.
    """
    row, assignment, desktop = connect.load(broker, me, connection_id)
    seen = connect.view(broker, me, connection_id)
    if seen.progress.stage is not ConnectStage.READY:
        raise Conflict(sentence(seen.progress.reason or Reason("desktop.preparing")))
    if seen.protocol != PROTOCOL or broker.displays.get(PROTOCOL) is None:
        raise Conflict("Only RDP opens in an RDP client. Choose RDP to open the desktop.")
    plan = connect.plan_of(broker, assignment)
    if plan.records:
        raise Conflict(sentence(Reason("protocol.not_recorded", {"protocol": "RDP"})))
    with broker.db.write() as conn:
        path = reach.choose(broker, conn, desktop.realm, desktop.target, plan, me)
        if isinstance(path, Reason):
            raise Unavailable(sentence(path), retry_after=3)
        if by_port:
            number = _port(conn, path.gateway.id)
            token = entry_tickets.issue_routing(broker, conn, connection_id)
            connections.set_state(conn, connection_id, connect.REOPENED, "ready", closed_at=None, close_reason="")
            host = reach.address(broker, path.gateway.origin)[0]
            return _file(
                broker, me, row, plan, Target(host, number, desktop.display_name or desktop.name), {"ROUTING": token}
            )
        way = Way(connection_id, assignment.id, assignment.epoch, me.user.id, PROTOCOL, desktop.realm)
        token = entry_tickets.issue(broker, conn, path.gateway.id if path.pinned else None, way, SESSION)
        connections.set_state(conn, connection_id, connect.REOPENED, "ready", closed_at=None, close_reason="")
    host, port = reach.address(broker, path.origin)
    values = {"GATEWAY": host if port == 443 else f"{host}:{port}", "TOKEN": token}
    # The target's name is the gateway's, whose certificate the client sees; where the session goes is in the ticket.
    return _file(broker, me, row, plan, Target(host, 3389, desktop.display_name or desktop.name), values)


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


def _file(
    broker: Broker, me: SignedIn, row: Any, plan: ProtocolPlan, target: Target, values: dict[str, str]
) -> dict[str, Any]:
    client = replace(Client(row.client_address), kind="connect")
    launch = broker.displays[PROTOCOL].launch(target, plan, LaunchContext(row.id, client, me.user.login_name, values))
    certificate, key = broker.keys.rdp_signer
    return {**launch, "text": sign(launch["text"], certificate, key)}
