"""Which gateway leads to a desktop, and where clients find it: live, not draining, in the desktop's network, with the fewest sessions."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from portico.domain.access import Actor
from portico.services.broker import Broker
from portico.services.guards import require
from portico.store import centers, fleet
from portico.store.scope import Tenant

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
GATEWAY_SECONDS = 30  # after so long without a sign of life a gateway gets no new sessions


def pick(broker: Broker, conn: Connection, realm: str) -> Any | None:
    """Return the gateway for a desktop of a realm; None when none is there."""
    live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=GATEWAY_SECONDS))
    mine = [one for one in live if one.realm == realm]
    return min(mine, key=lambda one: (int((one.load or {}).get("sessions", 0)), one.id), default=None)


def origin(broker: Broker, gateway: Any) -> str:
    """Return a gateway's own origin where it is not reached under the portal's; else nothing."""
    own, portal = _origin(gateway.public_url), _origin(broker.config.public_url)
    return own if own and own != portal else ""


def address(broker: Broker, gateway: Any) -> tuple[str, int]:
    """Return the name and the HTTPS port under which clients reach a gateway."""
    parts = urlsplit(origin(broker, gateway) or broker.config.public_url)
    return parts.hostname or "localhost", parts.port or 443


def origins(broker: Broker) -> tuple[str, ...]:
    """Return the origins, besides the portal's, that the viewer may have to talk to."""
    with broker.db.read() as conn:
        live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=GATEWAY_SECONDS))
    return tuple(sorted({own for one in live if (own := origin(broker, one))}))


def realms(broker: Broker, actor: Actor) -> list[str]:
    """Return the realms that the tenant's centers name, which a gateway may be for."""
    require(actor, "gateways")
    with broker.db.read() as conn:
        return sorted({center.realm for center in centers.list_all(conn, Tenant(actor.tenant_id)) if center.realm})


def _origin(url: str) -> str:
    parts = urlsplit(url)
    # What a gateway says of itself goes into a header: nothing but a name and a port may be in it.
    return f"https://{parts.netloc.lower()}" if parts.scheme == "https" and _AUTHORITY.fullmatch(parts.netloc) else ""
