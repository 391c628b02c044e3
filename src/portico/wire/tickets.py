"""Entry tickets: EdDSA-signed JWTs (RFC 7519, RFC 8037) that say where, which protocol, for whom, until when.

An entry ticket lives 60 s at most and is redeemed once. A session ticket is for clients of their own, which send it again when they
reconnect: it is first used within five minutes and then good from the same address for as long as its session lives, as the brokers
see it; a tunnel ticket is the same for the door /gw/tunnel. A shadow ticket lets somebody join the session of its connection, which is another person's. None holds a secret or a password;
they are never put in a URL.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

VERSION = 1
LIFE_SECONDS = 60
SESSION_SECONDS = 300
ENTRY, SESSION, SHADOW, TUNNEL = "entry", "session", "shadow", "tunnel"
AGAIN = (SESSION, TUNNEL)  # what may be used again while its session lives
SKEW_SECONDS = 30
ROUTING, MAX_ROUTING = (
    "r.",
    64,
)  # a routing token: a random text, since the first message of RDP has no place for a ticket
MAX_LENGTH = 4096


class BadTicket(Exception):
    """The ticket is forged, malformed, of another version, or expired. Says which in its message (for logs, not for users)."""


@dataclass(frozen=True)
class Ticket:
    """What a ticket claims. `gateway` is the gateway id that may redeem it, or "*"; times are Unix seconds."""

    jti: str
    connection: str
    assignment: str
    user: str
    protocol: str
    realm: str
    gateway: str
    epoch: int
    issued: int
    expires: int
    use: str = ENTRY


def seal(ticket: Ticket, key: OKPKey) -> str:
    """Sign a ticket with the deployment's current signing key (which must carry a `kid`)."""
    claims = asdict(ticket)
    claims["iat"] = claims.pop("issued")
    claims["exp"] = claims.pop("expires")
    header = {"alg": "Ed25519", "typ": "portico-entry+jwt", "kid": key.kid}
    return jwt.encode(header, {"v": VERSION, **claims}, key, algorithms=["Ed25519"])


def key_id(text: str) -> str:
    """Return which key a ticket claims to be signed with; nothing of that is proven yet. Raises BadTicket."""
    try:
        header = json.loads(urlsafe_b64decode(text[:MAX_LENGTH].partition(".")[0] + "=="))
        return str(header["kid"])
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise BadTicket("no key named") from problem


def unseal(text: str, keys: KeySet, now: int, *, again: bool = False) -> Ticket:
    """Check the signature and times of a ticket and return what it claims; `again`: a session ticket may have expired. Raises BadTicket."""
    if len(text) > MAX_LENGTH:
        raise BadTicket("too long")
    try:
        token = jwt.decode(text, keys, algorithms=["Ed25519"])
    except (JoseError, ValueError, KeyError, TypeError, UnicodeError) as problem:
        raise BadTicket(f"signature: {type(problem).__name__}") from problem
    if token.header.get("typ") != "portico-entry+jwt":
        raise BadTicket("not an entry ticket")
    ticket = _read(token.claims)
    until = ticket.expires + SKEW_SECONDS
    if not ticket.issued - SKEW_SECONDS <= now or (now > until and not (again and ticket.use in AGAIN)):
        raise BadTicket("expired or not yet valid")
    return ticket


def _read(claims: Mapping[str, Any]) -> Ticket:
    if claims.get("v") != VERSION:
        raise BadTicket("version")
    texts = {
        name: claims.get(name) for name in ("jti", "connection", "assignment", "user", "protocol", "realm", "gateway")
    }
    numbers = {"epoch": claims.get("epoch"), "issued": claims.get("iat"), "expires": claims.get("exp")}
    if not all(isinstance(value, str) for value in texts.values()):
        raise BadTicket("claims")
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in numbers.values()):
        raise BadTicket("claims")
    use = claims.get("use", ENTRY)  # absent in tickets of older brokers
    if use not in (ENTRY, SHADOW, *AGAIN):
        raise BadTicket("use")
    longest = SESSION_SECONDS if use in AGAIN else LIFE_SECONDS
    if numbers["expires"] - numbers["issued"] > longest:  # type: ignore[operator]
        raise BadTicket("lives too long")
    return Ticket(**texts, **numbers, use=use)  # type: ignore[arg-type]
