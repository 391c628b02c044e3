"""Joining somebody's session, to watch or to help: asked of the person, agreed to in their own session, ended by either of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from portico.domain.access import Actor, Level
from portico.errors import Conflict, Invalid, NotFound, Unavailable
from portico.services import connect, entry_tickets, reach
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.entry_tickets import Way
from portico.services.guards import require, require_portal, scope_of
from portico.services.session_policy import plan_of
from portico.services.sessions import SignedIn
from portico.store import connections, events, fleet, outbox, shadows, users
from portico.store.records import desktop as desktop_record
from portico.store.records import part
from portico.store.scope import System, Tenant
from portico.wire.tickets import SHADOW

MODES: Mapping[str, Level] = {"view": Level.VIEW, "control": Level.EDIT}
PROTOCOLS = ("vnc", "rdp", "ssh")
ASK = timedelta(seconds=60)  # how long the person may think
ENTER = timedelta(seconds=120)  # between the person's word and the helper's coming, or coming back
MOST = timedelta(hours=1)
WAITING, UNANSWERED = "asked", "unanswered"
_SCOPE = System("shadowing")


@dataclass(frozen=True, slots=True)
class Shadow:
    """A session that somebody joins, as that somebody sees it. `state`: asked, unanswered, declined, agreed, open, ended."""

    id: str
    mode: str
    state: str
    protocol: str
    desktop: str
    user_name: str


def permitted(broker: Broker, pool_assignment_id: str | None, tenant_id: str, protocol: str) -> tuple[str, ...]:
    """Return the modes in which the plan lets somebody join a session."""
    if protocol not in PROTOCOLS:
        return ()
    plan = plan_of(broker, pool_assignment_id, tenant_id)
    control = plan.shadowing == "control" and not plan.view_only
    return ("view", "control") if control else () if plan.shadowing == "off" else ("view",)


def ask(broker: Broker, actor: Actor, connection_id: str, mode: str) -> str:
    """Ask the person whether one may join; returns the shadow's id. Raises Denied, NotFound, Invalid, Conflict."""
    if mode not in MODES:
        raise Invalid("There is no such way to join a session.", {"mode": "Choose view or control."})
    require(actor, "shadowing", MODES[mode], narrowed=True)
    now, shadow_id = broker.now(), broker.new_id()
    with broker.db.write() as conn:
        row = connections.find(conn, scope_of(actor), connection_id)
        if row is None or row.state != "open" or not row.gateway_id:
            raise NotFound("There is no such session any more.")
        if row.user_id == actor.user_id:
            raise Conflict("This is your own session.")
        if mode not in permitted(broker, row.a_pool_assignment_id, row.tenant_id, row.protocol):
            raise Conflict("The protocol plan of this desktop does not let anybody join its sessions like this.")
        connections.hold(conn, row.id)
        if shadows.live(conn, row.id, now) is not None:
            raise Conflict("Somebody is in this session already, or has just asked for it.")
        shadows.add(
            conn, id=shadow_id, tenant_id=row.tenant_id, connection_id=row.id, desktop_id=row.d_id, user_id=row.user_id,
            helper_id=actor.user_id, helper_name=actor.login_name, mode=mode, asked_at=now, expires_at=now + ASK,
        )  # fmt: skip
        message = {
            "kind": "shadow", "connection": row.id, "shadow": shadow_id, "who": actor.login_name, "mode": mode,
            "seconds": int(ASK.total_seconds()),
        }  # fmt: skip
        outbox.put(conn, f"gateway:{row.gateway_id}", message, now, now + ASK)
        subject = {"desktop": row.d_name, "desktop_id": row.d_id, "user_id": row.user_id}
        announce(broker, conn, actor, "shadow.asked_control" if mode == "control" else "shadow.asked_view", subject)
    return shadow_id


def find(broker: Broker, actor: Actor, shadow_id: str) -> Shadow:
    """Return one's own request to join a session. Raises Denied, NotFound."""
    row, connection = _mine(broker, actor, shadow_id)
    lasting = row.expires_at > broker.now()
    state = (
        row.state if lasting or row.state in ("declined", "ended") else UNANSWERED if row.state == WAITING else "ended"
    )
    desktop = desktop_record(part(connection, "d_"))
    with broker.db.read() as conn:
        user = users.get_row(conn, _SCOPE, row.user_id)
    name = desktop.display_name or desktop.name
    return Shadow(row.id, row.mode, state, connection.protocol, name, user.login_name if user else "")


def answer(broker: Broker, me: SignedIn, connection_id: str, shadow_id: str, *, agrees: bool) -> None:
    """Say whether somebody may join one's own session. Raises NotFound, Conflict when it is too late."""
    require_portal(me, Level.EDIT)
    row, _, desktop = connect.load(broker, me, connection_id)
    now = broker.now()
    with broker.db.write() as conn:
        found = shadows.find(conn, Tenant(me.user.tenant_id), shadow_id)
        if found is None or found.connection_id != row.id:
            raise NotFound("Nobody asks to join this session.")
        moved = (
            shadows.move(conn, shadow_id, (WAITING,), "agreed", now, expires_at=now + ENTER)
            if agrees
            else shadows.move(conn, shadow_id, (WAITING,), "declined", now)
        )
        if not moved and found.state != ("agreed" if agrees else "declined"):
            raise Conflict("This question is not open any more.")
        if moved:
            entry = events.Entry(
                now, "shadow.agreed" if agrees else "shadow.declined", me.user.tenant_id, me.user.login_name,
                params={"desktop": desktop.name, "helper": found.helper_name}, user_id=me.user.id, desktop_id=desktop.id,
                correlation=shadow_id,
            )  # fmt: skip
            events.add(conn, entry)


def ticket(broker: Broker, actor: Actor, shadow_id: str) -> dict[str, str]:
    """Hand out a one-time ticket with which the helper comes in, at the gateway that carries the session. Raises NotFound, Conflict, Unavailable."""
    row, connection = _mine(broker, actor, shadow_id)
    if row.state not in shadows.AGREED or row.expires_at <= broker.now():
        raise NotFound("This visit is over.")
    desktop = desktop_record(part(connection, "d_"))
    if connection.state == "closed" and connection.close_reason in connect.ENDED:
        raise NotFound("The session has ended.")
    with broker.db.write() as conn:
        gateway = fleet.get_gateway(conn, connection.gateway_id) if connection.gateway_id else None
        if gateway is None:
            raise Unavailable("The session is being opened again. Try again in some seconds.", retry_after=2)
        way = Way(
            row.connection_id,
            connection.assignment_id,
            connection.a_epoch,
            actor.user_id,
            connection.protocol,
            desktop.realm,
        )
        sealed = entry_tickets.issue(broker, conn, gateway.id, way, SHADOW)
    return {"ticket": sealed, "url": reach.origin(broker, gateway) + connect.DOORS[connection.protocol]}


def end(broker: Broker, actor: Actor, shadow_id: str) -> None:
    """Leave, or take the question back. Raises Denied, NotFound."""
    row, connection = _mine(broker, actor, shadow_id)
    _end(broker, row, connection, "left")


def redeem(broker: Broker, conn: Connection, connection_id: str, helper_id: str) -> dict[str, Any] | None:
    """Return what a gateway must know of a helper who comes in (wire.gateway, GRANT for a shadow); None when the visit is over."""
    now = broker.now()
    row = shadows.live(conn, connection_id, now)
    if row is None or row.state not in shadows.AGREED or row.helper_id != helper_id:
        return None
    until = (row.opened_at or now) + MOST
    return {"id": row.id, "mode": row.mode, "who": row.helper_name, "expires_at": until.isoformat()}


def is_expected(broker: Broker, conn: Connection, connection_id: str) -> bool:
    """Tell whether a helper may come into a session that opens now, or comes back to it."""
    row = shadows.live(conn, connection_id, broker.now())
    return row is not None and row.state in shadows.AGREED


def heard(broker: Broker, connection: Any, item: Mapping[str, Any]) -> None:
    """Keep what a gateway tells of a visit: that it has begun, or how it ended."""
    now = broker.now()
    with broker.db.write() as conn:
        row = shadows.find(conn, _SCOPE, str(item.get("shadow", ""))[:40])
        if row is None or row.connection_id != connection.id:
            return
        if item.get("kind") == "shadow.opened":
            first = {} if row.opened_at else {"opened_at": now}
            until = (row.opened_at or now) + MOST
            if shadows.move(conn, row.id, shadows.AGREED, "open", now, expires_at=until, **first) and first:
                events.add(conn, _entry(broker, row, connection, "shadow.opened"))
        elif item.get("reason") == "shadow.left":  # perhaps only its line broke
            shadows.move(conn, row.id, shadows.AGREED, row.state, now, expires_at=min(row.expires_at, now + ENTER))
        elif shadows.move(conn, row.id, shadows.AGREED, "ended", now, reason="stopped", expires_at=now):
            events.add(conn, _entry(broker, row, connection, "shadow.ended"))


def _end(broker: Broker, row: Any, connection: Any, reason: str) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        if not shadows.move(conn, row.id, (WAITING, *shadows.AGREED), "ended", now, reason=reason, expires_at=now):
            return
        if connection.gateway_id:
            message = {"kind": "shadow.end", "connection": row.connection_id, "shadow": row.id}
            outbox.put(conn, f"gateway:{connection.gateway_id}", message, now, now + ENTER)
        if row.opened_at is not None:
            events.add(conn, _entry(broker, row, connection, "shadow.ended"))


def _entry(broker: Broker, row: Any, connection: Any, code: str) -> events.Entry:
    return events.Entry(
        broker.now(), code, row.tenant_id, row.helper_name, params={"desktop": connection.d_name},
        user_id=row.user_id, desktop_id=row.desktop_id, correlation=row.id,
    )  # fmt: skip


def _mine(broker: Broker, actor: Actor, shadow_id: str) -> tuple[Any, Any]:
    require(actor, "shadowing", narrowed=True)
    with broker.db.read() as conn:
        row = shadows.find(conn, scope_of(actor), shadow_id)
        connection = connections.find(conn, scope_of(actor), row.connection_id) if row else None
    if row is None or connection is None or row.helper_id != actor.user_id:
        raise NotFound("There is no such visit.")
    return row, connection
