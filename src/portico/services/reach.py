"""Which gateway leads to a desktop, and where clients find it: facts from the store, the choice from domain.gateways."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection

from portico.domain import gateways as rules
from portico.domain.access import Actor
from portico.domain.gateways import Gateway, GatewayGroup, Path, Wish
from portico.domain.model import Client, ProtocolPlan, Reason
from portico.services.broker import Broker
from portico.services.guards import require
from portico.services.sessions import SignedIn
from portico.store import centers, fleet
from portico.store.scope import Tenant

_AUTHORITY = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
OFF = "off"  # a plan's word: clients of a device go to the desktop's own address
GATEWAY_SECONDS = 30  # after so long without a sign of life a gateway gets no new sessions


def choose(broker: Broker, conn: Connection, realm: str, host: str, plan: ProtocolPlan, me: SignedIn) -> Path | Reason:
    """Return the path to a desktop of a realm for a person, or why there is none: the plan names a group, else their location does."""
    live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=GATEWAY_SECONDS))
    return choose_among(broker, live, realm, host, plan, me)


def choose_among(
    broker: Broker, live: Iterable[Any], realm: str, host: str, plan: ProtocolPlan, me: SignedIn
) -> Path | Reason:
    """Choose among the rows of gateways that are in service."""
    snapshot = broker.snapshots.get()
    where = snapshot.location_of(me.user.tenant_id, me.client)
    group_id = plan.gateway_group_id or (where.gateway_group_id if where else None)
    wish = Wish(realm, host, group_id, me.client.entrance)
    return rules.choose([_gateway(broker, row) for row in live], snapshot.gateway_groups, wish)


def may_carry(broker: Broker, gateway: Any, realm: str, host: str, plan: ProtocolPlan) -> bool:
    """Tell whether a gateway that holds somebody's ticket may still take them to a desktop."""
    one, groups = _gateway(broker, gateway), broker.snapshots.get().gateway_groups
    return isinstance(rules.choose([one], groups, Wish(realm, host, plan.gateway_group_id)), Path)


def is_direct(broker: Broker, plan: ProtocolPlan, tenant_id: str, client: Client) -> bool:
    """Tell whether a client of a device goes to the desktop's own address: by the plan always, or from where it is."""
    where = broker.snapshots.get().location_of(tenant_id, client)
    return plan.forward == OFF or (where is not None and where.direct)


def origin(broker: Broker, gateway: Any) -> str:
    """Return the origin at which clients meet this very gateway, where that is not the portal's; else nothing."""
    own = _gateway(broker, gateway).origin
    group = broker.snapshots.get().gateway_groups.get(gateway.group_id or "")
    return own or (_origin(broker, group.public_url) if group and group.balance == rules.ALL else "")


def address(broker: Broker, origin: str) -> tuple[str, int]:
    """Return the name and the HTTPS port behind an origin; the portal's for an empty one."""
    parts = urlsplit(origin or broker.config.public_url)
    return parts.hostname or "localhost", parts.port or 443


def origins(broker: Broker) -> tuple[str, ...]:
    """Return the origins, besides the portal's, that the viewer may have to talk to."""
    with broker.db.read() as conn:
        live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=GATEWAY_SECONDS))
    groups: Iterable[GatewayGroup] = broker.snapshots.get().gateway_groups.values()
    shared = {_origin(broker, group.public_url) for group in groups if group.balance == rules.ALL}
    return tuple(sorted({own for own in (*shared, *(_gateway(broker, one).origin for one in live)) if own}))


def entrance(broker: Broker, host: str) -> str:
    """Return the origin by which a request came, if it is one of ours: a Host header proves nothing by itself."""
    ours: Sequence[str] = (broker.config.public_url, *broker.config.other_urls)
    came = f"https://{host.lower()}"
    return next((came for url in ours if _plain(url) == came), "")


def is_origin(url: str) -> bool:
    """Tell whether a URL is nothing but scheme, host and port."""
    return _plain(url) == url.rstrip("/").lower() != ""


def realms(broker: Broker, actor: Actor) -> list[str]:
    """Return the realms that the tenant's centers name, which a gateway may be for."""
    require(actor, "gateways")
    with broker.db.read() as conn:
        return sorted({center.realm for center in centers.list_all(conn, Tenant(actor.tenant_id)) if center.realm})


def _gateway(broker: Broker, row: Any) -> Gateway:
    own = _origin(broker, row.public_url)
    return Gateway(row.id, row.realm, row.group_id, own, int((row.load or {}).get("sessions", 0)))


def _origin(broker: Broker, url: str) -> str:
    """Return the origin of a URL where it is not the portal's."""
    own = _plain(url)
    return own if own != _plain(broker.config.public_url) else ""


def _plain(url: str) -> str:
    parts = urlsplit(url)
    # What a gateway says of itself goes into a header: nothing but a name and a port may be in it.
    return f"https://{parts.netloc.lower()}" if parts.scheme == "https" and _AUTHORITY.fullmatch(parts.netloc) else ""
