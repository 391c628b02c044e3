"""What somebody would get, played through without a trace: may they log in, where are they, what are they offered and why not more."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select

from portico.domain.access import Actor
from portico.domain.gateways import Path
from portico.domain.login import Lockout, locked_for, split_name
from portico.domain.model import Client, Offer, Reason
from portico.errors import NotFound
from portico.services import portal, reach
from portico.services.broker import Broker
from portico.services.guards import require
from portico.services.session_policy import plan_of
from portico.services.sessions import SignedIn
from portico.store import desktops, fleet, users
from portico.store import tables as t
from portico.store.scope import Tenant


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer, and the way to its desktop where it has one already: the gateway's name, or why there is none."""

    offer: Offer
    gateway: str = ""
    obstacle: Reason | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """What was decided. `refusal`: they would not get in; what follows is then what they would get if they did."""

    login_name: str
    at: datetime
    refusal: Reason | None
    role: str
    policy: str
    location: str  # empty: nowhere in particular
    offers: tuple[Offered, ...]
    refusals: tuple[Reason, ...]


def replay(broker: Broker, actor: Actor, login_name: str, client: Client, at: datetime | None = None) -> Replayed:
    """Play a log-in and the offers of one of the tenant's users through, as of now or another moment; nothing is written.

    Raises Denied, NotFound.
    """
    require(actor, "users")
    broker = broker if at is None else replace(broker, now=lambda: at)
    now, snapshot = broker.now(), broker.snapshots.get()
    name = split_name(login_name)[0]
    mine = (t.users.c.tenant_id == actor.tenant_id) & t.users.c.deleted_at.is_(None)
    with broker.db.read() as conn:
        row = conn.execute(
            select(t.users).where(mine, (t.users.c.login_name == name) | (t.users.c.id == login_name))
        ).first()
    if row is None:
        raise NotFound("There is no such user.")
    user = users.record(row)
    role = snapshot.roles.get(user.role_id) or broker.snapshots.get(fresh=True).roles[user.role_id]
    policy, where = snapshot.policy_of(user.tenant_id, user.policy_id), snapshot.location_of(user.tenant_id, client)
    someone = Actor(user.id, user.login_name, user.tenant_id, role)
    me = SignedIn(None, user, someone, role, policy, client.address, now + timedelta(hours=1), "", {}, client)
    found = portal.offers(broker, me)
    return Replayed(
        login_name=user.login_name,
        at=now,
        refusal=_refusal(row, role.may_log_in, now),
        role=role.name,
        policy=policy.name,
        location=where.name if where else "",
        offers=_with_ways(broker, me, found.offers),
        refusals=tuple(found.refusals),
    )


def _refusal(row: object, may_log_in: bool, now: datetime) -> Reason | None:
    lockout = Lockout(row.failed, row.last_failed_at, row.locked_until)  # type: ignore[attr-defined]
    if seconds := locked_for(lockout, now):
        return Reason("login.locked", {"seconds": seconds, "minutes": -(-seconds // 60)})
    if row.disabled:  # type: ignore[attr-defined]
        return Reason("login.disabled")
    return None if may_log_in else Reason("login.not_allowed")


def _with_ways(broker: Broker, me: SignedIn, offers: "list[Offer] | tuple[Offer, ...]") -> tuple[Offered, ...]:
    """Add the way to each desktop that is there already: two statements for all of them."""
    wanted = [offer.desktop_id for offer in offers if offer.desktop_id]
    with broker.db.read() as conn:
        there = {one.id: one for one in desktops.list_by_ids(conn, Tenant(me.user.tenant_id), wanted)} if wanted else {}
        live = fleet.list_live_gateways(conn, broker.now() - timedelta(seconds=reach.GATEWAY_SECONDS)) if there else []
    names = {row.id: row.name for row in live}
    answered = []
    for offer in offers:
        desktop = there.get(offer.desktop_id or "")
        if desktop is None or not desktop.target:
            answered.append(Offered(offer))
            continue
        plan = plan_of(broker, offer.pool_assignment_id, me.user.tenant_id)
        path = reach.choose_among(broker, live, desktop.realm, desktop.target, plan, me)
        answered.append(
            Offered(offer, names.get(path.gateway.id, "")) if isinstance(path, Path) else Offered(offer, "", path)
        )
    return tuple(answered)
