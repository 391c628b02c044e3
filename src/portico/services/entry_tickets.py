"""Tickets for gateways (wire.tickets): recorded before they are handed out, so that each is redeemed once."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from portico.services.broker import Broker
from portico.store import connections
from portico.wire.tickets import AGAIN, ENTRY, LIFE_SECONDS, ROUTING, SESSION_SECONDS, Ticket, seal


@dataclass(frozen=True, slots=True)
class Way:
    """Who may come in where: a person (`user_id`) to the desktop of an assignment, for a connection."""

    connection_id: str
    assignment_id: str
    epoch: int
    user_id: str
    protocol: str
    realm: str


def issue_routing(broker: Broker, conn: Connection, connection_id: str) -> str:
    """Return a routing token for an RDP client, good like a session ticket; only what it hashes to is kept."""
    token = ROUTING + secrets.token_urlsafe(32)
    connections.add_ticket(conn, routing_id(token), connection_id, broker.now() + timedelta(seconds=SESSION_SECONDS))
    return token


def routing_id(token: str) -> str:
    """Return under which name a routing token is kept."""
    return hashlib.sha256(token.encode()).hexdigest()[:36]


def issue(broker: Broker, conn: Connection, gateway_id: str | None, way: Way, use: str = ENTRY) -> str:
    """Return a sealed ticket for a gateway; None: whichever of the realm may carry the connection."""
    life = SESSION_SECONDS if use in AGAIN else LIFE_SECONDS
    now, jti = broker.now(), secrets.token_hex(18)
    connections.add_ticket(conn, jti, way.connection_id, now + timedelta(seconds=life))
    issued = int(now.timestamp())
    claims = Ticket(
        jti=jti, connection=way.connection_id, assignment=way.assignment_id, user=way.user_id, protocol=way.protocol,
        realm=way.realm, gateway=gateway_id or "*", epoch=way.epoch, issued=issued, expires=issued + life, use=use,
    )  # fmt: skip
    return seal(claims, broker.keys.signing)
