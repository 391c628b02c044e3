"""Ports of a gateway for clients that speak a protocol of their own: asked for when the desktop is ready, told by the gateway, ended with the connection."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from portico.domain.connect import ConnectStage, Progress
from portico.domain.model import ProtocolPlan, Reason
from portico.ports.display import Target
from portico.services import endings, reach
from portico.services.broker import Broker
from portico.services.session_policy import plan_of, policy_of
from portico.services.sessions import SignedIn
from portico.store import connections, fleet, forwards, outbox
from portico.store.records import desktop as desktop_record
from portico.store.records import part

TUNNEL = "tunnel"  # the state of what needs no port of a gateway, since its client comes by a tunnel
DIRECT = "direct"  # the state of what needs no forward: clients go to the desktop's own address
ANSWER_SECONDS = 20  # how long a gateway may take to open ports
MESSAGE_SECONDS = 60
PATIENCE = timedelta(seconds=MESSAGE_SECONDS + ANSWER_SECONDS)  # how long a forward that was asked for again may take
MAX_PORTS = 16
FAILURES = ("forward.no_port", "forward.port_taken", "forward.no_address", "forward.too_many", "forward.off")


def advance(broker: Broker, row: Any, plan: ProtocolPlan, me: SignedIn) -> tuple[str, Progress]:
    """Ask a gateway for what a connection to a ready desktop wants; returns the connection's state and how far it is."""
    now = broker.now()
    if row.protocol not in broker.displays:
        return "failed", Progress(
            ConnectStage.FAILED, 0.0, Reason("protocol.not_on_desktop", {"protocol": row.protocol})
        )
    if row.f_state == "wanted":
        refusal = _ask(broker, row, plan, me)
        if refusal is not None:
            return "waiting", Progress(ConnectStage.CONNECTING, 0.9, refusal)
    elif row.f_state in ("open", TUNNEL):
        return row.state if row.f_state == "open" else "ready", Progress(ConnectStage.READY, 1.0)
    elif row.f_state in ("failed", "closed"):
        why = row.f_reason if row.f_reason in FAILURES else "forward.closed"
        return "failed", Progress(ConnectStage.FAILED, 0.0, Reason(why))
    elif now - row.f_asked_at > timedelta(seconds=ANSWER_SECONDS):
        return "failed", Progress(ConnectStage.FAILED, 0.0, Reason("forward.no_answer"))
    return "waiting", Progress(ConnectStage.CONNECTING, 0.9, Reason("forward.opening"))


def _ask(broker: Broker, row: Any, plan: ProtocolPlan, me: SignedIn) -> Reason | None:
    """Choose a gateway and send it the order; returns why there is none."""
    now = broker.now()
    with broker.db.write() as conn:
        path = reach.choose(broker, conn, row.d_realm, desktop_record(part(row, "d_")).target, plan, me)
        if isinstance(path, Reason):
            return path
        if forwards.ask(conn, row.id, path.gateway.id, now):
            endings.close_connections(broker, conn, row.assignment_id, "closed.elsewhere", keep=row.id)
            connections.set_state(conn, row.id, ("waiting", "ready"), "ready", gateway_id=path.gateway.id)
            _send(broker, conn, row, plan, path.gateway.id, ())
    return None


def _send(broker: Broker, conn: Any, row: Any, plan: ProtocolPlan, gateway_id: str, ports: Sequence[int]) -> None:
    now, desktop = broker.now(), desktop_record(part(row, "d_"))
    display = broker.displays[row.protocol]
    number = desktop.protocols.get(row.protocol, display.default_port)
    policy = policy_of(plan, row.created_at)
    message = {
        "kind": "forward", "connection": row.id, "client": row.client_address, "host": desktop.target, "realm": desktop.realm,
        "mode": plan.forward, "targets": [[transport, number] for transport in display.transports], "fixed": display.fixed_port,
        "ports": list(ports), "idle_seconds": policy["idle_seconds"], "expires_at": policy["expires_at"],
    }  # fmt: skip
    outbox.put(conn, f"gateway:{gateway_id}", message, now, now + timedelta(seconds=MESSAGE_SECONDS))


def heard(broker: Broker, row: Any, gateway_id: str, boot_id: str, item: Mapping[str, Any]) -> None:
    """Keep the ports that a gateway says it listens on."""
    ports = [
        [int(theirs), int(ours)]
        for theirs, ours in (pair for pair in item.get("ports") or [] if isinstance(pair, list) and len(pair) == 2)
        if all(isinstance(port, int) and 0 < port < 65536 for port in (theirs, ours))
    ]
    if ports and len(ports) <= MAX_PORTS:
        with broker.db.write() as conn:
            forwards.opened(conn, row.id, gateway_id, boot_id, ports)


def ask_again(broker: Broker, gateway_id: str, boot_id: str) -> None:
    """Send a gateway that starts anew the forwards that still count, with the ports that their clients were told of."""
    with broker.db.write() as conn:
        lost = forwards.list_lost(conn, gateway_id, boot_id)
        forwards.asked_again(conn, [row.id for row in lost], broker.now())
        for row in lost:
            plan = plan_of(broker, row.a_pool_assignment_id, row.tenant_id)
            _send(broker, conn, row, plan, gateway_id, [ours for _, ours in row.f_ports])


def target(broker: Broker, row: Any) -> Target:
    """Return where a client finds an open forward: the gateway's name as people know it, and its port."""
    with broker.db.read() as conn:
        gateway = fleet.get_gateway(conn, row.f_gateway_id)
    host = reach.address(broker, reach.origin(broker, gateway))[0] if gateway else "localhost"
    return Target(host, int(row.f_ports[0][1]), row.d_display_name or row.d_name)
