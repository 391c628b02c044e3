"""The broker's side of the gateway protocol (wire.gateway): enrolment, tickets, reports, and what brokers want of gateways."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from portico.domain.access import Actor, Level
from portico.domain.states import USABLE, Event
from portico.errors import Conflict, Denied, Invalid, NotFound, PorticoError, Unauthenticated, Unavailable
from portico.services import (
    agent_channel,
    endings,
    entry_tickets,
    evidence,
    forwards,
    reach,
    recordings,
    session_rights,
    shadowing,
)
from portico.services.broker import Broker
from portico.services.guards import require, scope_of
from portico.services.session_policy import plan_of, policy_of, watermark_of
from portico.services.sessions import hash_secret
from portico.store import connections, events, fleet, outbox, users
from portico.store import forwards as forward_store
from portico.store.records import assignment as assignment_record
from portico.store.records import desktop as desktop_record
from portico.store.records import part
from portico.store.scope import System
from portico.wire.tickets import (
    AGAIN,
    ROUTING,
    SESSION,
    SHADOW,
    SKEW_SECONDS,
    TUNNEL,
    BadTicket,
    Ticket,
    key_id,
    unseal,
)

TOKEN_SECONDS = 3600
OPENING = ("ready", "waiting", "open")  # states of a connection that a ticket may open
ENDED = (
    "closed.elsewhere",
    "closed.by_administrator",
    "session.ended",
    "disconnected",
)  # ends after which nobody comes back
LATE_SECONDS = 30  # how long a connection that a gateway does not name may still be on its way
_SCOPE = System("gateways")


class Gone(PorticoError):
    """What the ticket is for has ended."""

    code = "session.ended"


@dataclass(frozen=True, slots=True)
class GatewayId:
    """A gateway that proved who it is."""

    id: str
    name: str
    realm: str
    row: Any


def new_token(broker: Broker, actor: Actor, realm: str = "") -> str:
    """Make a one-time token with which a gateway of a realm may enrol within an hour. Raises Denied, Invalid."""
    require(actor, "gateways", Level.EDIT)
    if realm and realm not in reach.realms(broker, actor):
        raise Invalid("No center names this realm.", {"realm": "Name it at the center first, or leave it empty."})
    return issue_token(broker, realm)


def issue_token(broker: Broker, realm: str = "") -> str:
    """Make a one-time enrolment token, for set-up and for `new_token`."""
    token, now = secrets.token_urlsafe(32), broker.now()
    with broker.db.write() as conn:
        fleet.add_gateway_token(conn, hash_secret(token), now + timedelta(seconds=TOKEN_SECONDS), realm)
    return token


def enroll(broker: Broker, message: Mapping[str, Any]) -> dict[str, Any]:
    """Take a one-time token for a credential and a certificate. Raises Unauthenticated, Invalid naming the field."""
    now, bearer, name = broker.now(), secrets.token_urlsafe(32), _text(message, "name")
    certificate = ""
    if message.get("csr"):
        try:
            certificate = broker.keys.sign_request(_text(message, "csr", 8000), "gateway", _brokers_names(broker), now)
        except ValueError as problem:
            raise Invalid(
                "The certificate request is not understood.", {"csr": "A PEM request is wanted."}
            ) from problem
    with broker.db.write() as conn:
        realm = fleet.use_gateway_token(conn, hash_secret(_text(message, "token")), now)
        if realm is None:
            raise Unauthenticated("This enrolment token is unknown, used or expired.")
        gateway_id = fleet.put_gateway(
            conn, name, id=broker.new_id(), tenant_id=None, realm=realm,
            public_url=str(message.get("public_url", ""))[:200], bearer_hash=hash_secret(bearer),
            version=str(message.get("version", ""))[:40], heartbeat_at=now, created_at=now,
        )  # fmt: skip
        events.add(conn, events.Entry(now, "gateway.enrolled", params={"gateway": name}))
    return {
        "gateway_id": gateway_id, "bearer": bearer, "keys": broker.keys.jwks(), "realm": realm,
        "certificate": certificate, "ca": broker.keys.ca_pem,
    }  # fmt: skip


def _brokers_names(broker: Broker) -> frozenset[str]:
    """Return the names under which people and agents know the brokers: no gateway is given a certificate for those."""
    host = urlsplit(broker.config.public_url).hostname or ""
    return frozenset() if host in ("localhost", "127.0.0.1", "::1") else frozenset({host})


def authenticate(broker: Broker, bearer: str) -> GatewayId | None:
    """Return whose credential this is."""
    with broker.db.read() as conn:
        row = fleet.find_gateway(conn, hash_secret(bearer))
    return GatewayId(row.id, row.name, row.realm, row) if row else None


def redeem(broker: Broker, gateway: GatewayId, message: Mapping[str, Any]) -> dict[str, Any]:
    """Use up a ticket and tell the gateway where to connect and with what. The row count decides who was first.

    Raises Unauthenticated (forged, expired), Denied (another gateway's), Conflict (used), Gone, Unavailable.
    """
    now = broker.now()
    text = _text(message, "ticket", 4096)
    by_token = text.startswith(ROUTING)
    ticket = _by_token(broker, text, gateway) if by_token else _unseal(broker, text)
    if ticket.gateway not in ("*", gateway.id) or ticket.realm != gateway.realm:
        raise Denied("The ticket is for another gateway.")
    with broker.db.write() as conn:
        address = str(message.get("client_address", ""))[:40]
        first = connections.redeem(conn, ticket.jti, gateway.id, address, now, now - timedelta(seconds=SKEW_SECONDS))
        again = not first and ticket.use in AGAIN and connections.was_redeemed(conn, ticket.jti, address)
        if not first and not again:
            raise Conflict("The ticket was used before.")
        if ticket.use == SHADOW:
            return _redeem_shadow(broker, conn, ticket)
        row = connections.find(conn, _SCOPE, ticket.connection)
        if row is None or (row.state not in OPENING and not (again and _may_come_back(row))):
            raise Gone("This connection has ended.")
        assignment = assignment_record(part(row, "a_"))
        if assignment.state not in USABLE:
            raise Gone("This desktop is not assigned any more.")
        plan, desktop = plan_of(broker, row.a_pool_assignment_id, row.tenant_id), desktop_record(part(row, "d_"))
        if desktop.target and not reach.may_carry(broker, gateway.row, ticket.realm, desktop.target, plan):
            raise Denied("This gateway does not lead to the desktop.")
        endings.close_connections(broker, conn, assignment.id, "closed.elsewhere", keep=row.id)
        entry = broker.new_id()
        back = {"closed_at": None, "close_reason": ""} if again else {}
        connections.set_state(conn, row.id, (*OPENING, "closed"), "ready", gateway_id=gateway.id, entry=entry, **back)
        user, shadowed = users.get_row(conn, _SCOPE, assignment.user_id), shadowing.is_expected(broker, conn, row.id)
    if user is None or user.disabled:
        raise Gone("This account is switched off.")
    grant = _grant(broker, ticket, row, user.login_name, bare=by_token)
    wanted = recordings.expect(broker, plan, row, gateway.id, ticket.protocol, user.login_name)
    return {**grant, "entry": entry, "shadowed": shadowed} | ({"recording": wanted} if wanted else {})


def _redeem_shadow(broker: Broker, conn: Connection, ticket: Ticket) -> dict[str, Any]:
    """Let a helper into the session of another person. Raises Gone."""
    shadow = shadowing.redeem(broker, conn, ticket.connection, ticket.user)
    if shadow is None:
        raise Gone("This visit is over.")
    return {"connection": ticket.connection, "protocol": ticket.protocol, "realm": ticket.realm, "shadow": shadow}


def _may_come_back(row: Any) -> bool:
    """Tell whether a client of its own may open a connection again that has closed: not when somebody wanted its end."""
    return row.state == "closed" and row.close_reason not in ENDED


def _by_token(broker: Broker, token: str, gateway: GatewayId) -> Ticket:
    """Return the session ticket that a routing token stands for. Raises Unauthenticated."""
    jti = entry_tickets.routing_id(token)
    with broker.db.read() as conn:
        connection_id = connections.find_ticket(conn, jti)
        row = connections.find(conn, _SCOPE, connection_id) if connection_id else None
    if row is None:
        raise Unauthenticated("The routing token is unknown.")
    return Ticket(
        jti, row.id, row.assignment_id, row.user_id, "rdp", desktop_record(part(row, "d_")).realm, "*", row.a_epoch, 0, 0, SESSION
    )  # fmt: skip


def _unseal(broker: Broker, text: str) -> Ticket:
    """Check a ticket; one that is signed with a key that we do not know sends us to look whether another broker rotated."""
    now = int(broker.now().timestamp())
    try:
        if not broker.keys.knows(key_id(text)):
            broker.keys.reload()
        return unseal(text, broker.keys.verifying, now, again=True)
    except BadTicket as problem:
        raise Unauthenticated("The ticket is not valid.", detail=str(problem)) from problem


def _grant(broker: Broker, ticket: Ticket, row: Any, login_name: str, *, bare: bool) -> dict[str, Any]:
    """Tell where to connect and with what; `bare`: a token that went in clear opens no desktop, so its holder logs in there."""
    assignment, desktop = assignment_record(part(row, "a_")), desktop_record(part(row, "d_"))
    if not desktop.target:
        raise Unavailable("The desktop has no address.")
    plan = plan_of(broker, row.a_pool_assignment_id, row.tenant_id)
    port, credentials, certificates = _credentials(broker, ticket, row, login_name)
    if bare:
        credentials = {"username": "", "password": ""}
    return {
        "connection": row.id,
        "assignment": assignment.id,
        "epoch": assignment.epoch,
        "user": login_name,
        "protocol": ticket.protocol,
        "target": {
            "host": desktop.target,
            "port": port,
            "realm": desktop.realm,
            "deep_colour": plan.deep_colour,
            "certificates": certificates,
        },
        "credentials": credentials,
        "policy": policy_of(plan, row.created_at)
        | {"watermark": watermark_of(plan, login_name, desktop.display_name or desktop.name)},
    }


def _credentials(broker: Broker, ticket: Ticket, row: Any, login_name: str) -> tuple[int, dict[str, Any], list[str]]:
    """Get a one-time credential for the session: from the agent, or for SSH a certificate of two minutes.

    Returns the port, the credentials, and the certificates (SHA-256, hex) that the agent saw the desktop's own server show.
    """
    desktop = desktop_record(part(row, "d_"))
    port = desktop.protocols.get(ticket.protocol, 0)
    if ticket.use == TUNNEL:  # the client logs in itself; each of its connections would else make a new password
        return port or broker.displays[ticket.protocol].default_port, {"username": "", "password": ""}, []
    if desktop.agent == "not installed":
        return port, {"username": row.d_login_user, "password": ""}, []
    asked = {"protocol": ticket.protocol, "user": login_name, "rights": list(row.rights or ())}
    answer = agent_channel.command(broker, desktop.id, "prepare", asked)
    session_rights.told(broker, desktop, row.rights, answer)
    username = str(answer.get("username") or row.d_login_user)
    port = int(answer.get("port") or port)
    shown = answer.get("certificates")
    certificates = [str(one)[:64] for one in shown[:4]] if isinstance(shown, list) else []
    if ticket.protocol != "ssh":
        return port, {"username": username, "password": str(answer.get("password", ""))}, certificates
    private, certificate = broker.keys.ssh_login(username, f"portico:{login_name}:{ticket.jti[:12]}", broker.now())
    return port, {
        "username": username, "ssh_key": private, "ssh_certificate": certificate, "ssh_host_keys": list(row.d_ssh_host_keys),
    }, []  # fmt: skip


def report(broker: Broker, gateway: GatewayId, message: Mapping[str, Any]) -> dict[str, Any]:
    """Read a gateway's report: what opened and closed since, and what it carries now. Safe to read twice."""
    now, boot_id = broker.now(), _text(message, "boot_id", 40)
    row = gateway.row
    mark = row.sequence if row.boot_id == boot_id else 0
    happened = [item for item in _list(message, "events") if isinstance(item, dict)]
    live = {str(item) for item in _list(message, "live")}
    if row.boot_id != boot_id:
        # A gateway that starts anew carries nothing of before; the forwards that still count it is asked for again.
        forwards.ask_again(broker, gateway.id, boot_id)
        _repair(broker, gateway, set(), boot_id, late=False)
    fresh = sorted((item for item in happened if _sequence(item) > mark), key=_sequence)
    for item in fresh:
        _follow(broker, gateway, boot_id, item)
    _repair(broker, gateway, live, boot_id, late=True)
    highest = max([mark, *(_sequence(item) for item in fresh)])
    load = message.get("load") if isinstance(message.get("load"), dict) else {}
    with broker.db.write() as conn:
        fleet.advance_gateway(conn, row, boot_id, highest, now, load)
    return {"ok": True}


def _follow(broker: Broker, gateway: GatewayId, boot_id: str, item: Mapping[str, Any]) -> None:
    with broker.db.read() as conn:
        row = connections.find(conn, _SCOPE, _word(item, "connection"))
    if row is None or row.gateway_id not in (gateway.id, None):
        return
    if item.get("kind") in ("opened", "closed") and _is_history(row, item):
        return
    if item.get("kind") == "opened":
        with broker.db.write() as conn:
            connections.set_state(conn, row.id, ("waiting", "ready"), "open", opened_at=broker.now())
            now_is = connections.find(conn, _SCOPE, row.id)
        if (
            now_is is not None and now_is.state == "open"
        ):  # A word that comes after the end of the connection is history.
            evidence.apply(broker, row.assignment_id, Event.OPENED, "gateway")
    elif item.get("kind") == "listening":
        forwards.heard(broker, row, gateway.id, boot_id, item)
    elif item.get("kind") in ("shadow.opened", "shadow.closed"):
        shadowing.heard(broker, row, item)
    elif item.get("kind") in ("file.in", "file.out"):
        _file(broker, row, item, inward=item["kind"] == "file.in")
    elif item.get("kind") == "closed":
        _close(broker, row, _word(item, "reason"), item)


def _is_history(row: Any, item: Mapping[str, Any]) -> bool:
    """Tell whether a word is about an earlier coming in: a browser that came again before its first line was seen to be dead."""
    told = _word(item, "entry")
    return bool(told and row.entry and told != row.entry)


def _file(broker: Broker, row: Any, item: Mapping[str, Any], *, inward: bool) -> None:
    """Record that a file was sent to or taken from a desktop."""
    size = next((item[key] for key in ("bytes_in", "bytes_out") if isinstance(item.get(key), int) and item[key] > 0), 0)
    with broker.db.write() as conn:
        user = users.get_row(conn, _SCOPE, row.user_id)
        entry = events.Entry(
            broker.now(), "desktop.file_in" if inward else "desktop.file_out", row.tenant_id, user.login_name if user else "",
            params={"desktop": row.d_name, "file": _word(item, "reason", 200), "bytes": min(size, 2**62)}, user_id=row.user_id, desktop_id=row.d_id,
            correlation=row.assignment_id,
        )  # fmt: skip
        events.add(conn, entry)


def _close(broker: Broker, row: Any, reason: str, item: Mapping[str, Any]) -> None:
    """Record that a connection is over; when it was the assignment's last one, that is evidence of a disconnect."""
    with broker.db.write() as conn:
        numbers = {
            key: value
            for key in ("bytes_in", "bytes_out")
            if isinstance(value := item.get(key), int) and 0 <= value < 2**62
        }
        states = ("waiting", "ready", "open")
        if row.f_boot_id is not None:
            forward_store.end(conn, row.id, reason)
        connections.set_state(conn, row.id, states, "closed", closed_at=broker.now(), close_reason=reason, **numbers)
        others = connections.list_open(conn, row.assignment_id)
    # One that a gateway has taken over is about to open: the user is moving, not leaving. And who never came cannot leave.
    if row.opened_at is not None and not any(one.state == "open" or one.gateway_id for one in others):
        evidence.apply(broker, row.assignment_id, Event.CLOSED, "gateway")


def _repair(broker: Broker, gateway: GatewayId, live: set[str], boot_id: str, *, late: bool) -> None:
    """End the connections that we believe open and the gateway does not carry: what a lost event left."""
    with broker.db.read() as conn:
        believed = connections.list_open_of_gateway(conn, gateway.id)
    now = broker.now()
    oldest = now - timedelta(seconds=LATE_SECONDS if late else 0)
    for row in believed:
        elsewhere = row.f_boot_id not in (None, boot_id)
        if elsewhere and row.f_asked_at is not None and now - row.f_asked_at <= forwards.PATIENCE:
            continue  # a forward that it is still to open again
        if row.id not in live and (row.opened_at is None or row.opened_at <= oldest):
            _close(broker, row, "gateway.lost", {})


def control(broker: Broker, gateway: GatewayId, after: int) -> dict[str, Any]:
    """Return what brokers want of a gateway, with higher numbers than `after`; does not wait itself."""
    with broker.db.read() as conn:
        rows = outbox.list_after(conn, f"gateway:{gateway.id}", after, broker.now())
    return {"messages": [{**row.message, "id": row.id} for row in rows], "last": rows[-1].id if rows else after}


def close_connection(broker: Broker, actor: Actor, connection_id: str) -> None:
    """End somebody's connection at once, as an administrator."""
    require(actor, "sessions", Level.EDIT, narrowed=True)
    with broker.db.write() as conn:
        row = connections.find(conn, scope_of(actor), connection_id)
        if row is None:
            raise NotFound("There is no such connection.")
        endings.close_connections(broker, conn, row.assignment_id, "closed.by_administrator")


def _text(message: Mapping[str, Any], field: str, longest: int = 200) -> str:
    value = message.get(field)
    if not isinstance(value, str) or not value or len(value) > longest or not (value.isprintable() or field == "csr"):
        raise Invalid("The message is not understood.", {field: f"A text of at most {longest} characters is wanted."})
    return value


def _list(message: Mapping[str, Any], field: str) -> list[Any]:
    value = message.get(field, [])
    if not isinstance(value, list) or len(value) > 20_000:
        raise Invalid("The message is not understood.", {field: "A list is wanted."})
    return value


def _word(item: Mapping[str, Any], field: str, longest: int = 40) -> str:
    """Return a short text of a report, without what no database can keep."""
    return "".join(character for character in str(item.get(field, ""))[:longest] if character.isprintable())


def _sequence(item: Mapping[str, Any]) -> int:
    value = item.get("sequence", 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else 0
