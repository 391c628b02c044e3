"""What somebody would get, played through without a trace: may they log in, where are they, what are they offered and why not more."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select

from portico.domain import explain
from portico.domain.access import Actor
from portico.domain.directories import LOCAL, DirectoryRecord, Identity, to_ask
from portico.domain.gateways import Path
from portico.domain.login import Lockout, as_typed, locked_for, split_name
from portico.domain.model import Client, Offer, Reason, User
from portico.errors import NotFound
from portico.ports.directory import TypedName
from portico.services import portal, reach, scim
from portico.services.broker import Broker
from portico.services.directories import answer_of, by_redirect, gate_of
from portico.services.directory_login import decide
from portico.services.guards import require
from portico.services.session_policy import plan_of
from portico.services.sessions import SignedIn
from portico.store import desktops, fleet, users
from portico.store import directories as store
from portico.store import sessions as session_store
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
    rule: Reason | None = None  # by which they get role and policy, and the rules that were passed over
    groups: tuple[str, ...] = ()  # that their directory says they are in


@dataclass(frozen=True, slots=True)
class _Someone:
    """Who would log in, and what they would get: `row` is None for who never did."""

    user: User
    row: Any
    role_id: str
    policy_id: str | None
    refusal: Reason | None
    rule: Reason | None = None
    groups: tuple[str, ...] = ()


def replay(broker: Broker, actor: Actor, login_name: str, client: Client, at: datetime | None = None) -> Replayed:
    """Play a log-in and the offers of one of the tenant's users through, as of now or another moment; nothing is written.

    Who comes from a directory is looked up there; of who cannot be, the last log-in is told. Raises Denied, NotFound, DirectoryError.
    """
    require(actor, "users")
    broker = broker if at is None else replace(broker, now=lambda: at)
    now, snapshot = broker.now(), broker.snapshots.get()
    found = _find(broker, actor, login_name, client)
    user = found.user
    role = snapshot.roles.get(found.role_id) or broker.snapshots.get(fresh=True).roles[found.role_id]
    policy, where = snapshot.policy_of(user.tenant_id, found.policy_id), snapshot.location_of(user.tenant_id, client)
    someone = Actor(user.id, user.login_name, user.tenant_id, role)
    me = SignedIn(None, user, someone, role, policy, client.address, now + timedelta(hours=1), "", {}, client)
    offered = portal.offers(broker, me)
    refused = _refusal(found.row, role.may_log_in, now) if found.row is not None else None
    return Replayed(
        login_name=user.login_name,
        at=now,
        refusal=found.refusal or refused,
        role=role.name,
        policy=policy.name,
        location=where.name if where else "",
        offers=_with_ways(broker, me, offered.offers),
        refusals=tuple(offered.refusals),
        rule=found.rule,
        groups=found.groups,
    )


def _find(broker: Broker, actor: Actor, login_name: str, client: Client) -> _Someone:
    """Find one of the tenant's users: here by name or id, else in the directories that a log-in would ask."""
    name, domain = split_name(login_name)
    mine = (t.users.c.tenant_id == actor.tenant_id) & t.users.c.deleted_at.is_(None)
    known = (t.users.c.login_name == name) & (t.users.c.directory == LOCAL) if not domain else t.users.c.id == ""
    with broker.db.read() as conn:
        row = conn.execute(select(t.users).where(mine, known | (t.users.c.id == login_name))).first()
    if row is not None and row.directory == LOCAL:
        user = users.record(row)
        return _Someone(user, row, user.role_id, user.policy_id, None)
    directories = [one for one in broker.snapshots.get().directories.values() if one.tenant_id == actor.tenant_id]
    asked = to_ask(directories, "" if row else domain, row.directory if row else "")
    typed = TypedName(row.login_name, row.login_name) if row is not None else TypedName(*as_typed(login_name))
    for directory in sorted(asked, key=partial(by_redirect, broker)):  # no typed name is ever sent to such a one
        gate = None if by_redirect(broker, directory) else gate_of(broker, directory)
        if gate is None or not gate.driver.can_look:  # only they themselves can ask there
            if row is None:
                row = _of_directory(broker, directory, typed)
            if row is not None:
                return _as_last_time(broker, directory, row)
            continue
        identity: Identity | None = answer_of(gate.submit(partial(gate.driver.describe, typed)))
        if identity is not None:
            return _from_directory(broker, directory, identity, client)
    raise NotFound("There is no such user.")


def _of_directory(broker: Broker, directory: DirectoryRecord, typed: TypedName) -> Any:
    """Return the row of somebody who has come by this directory before, by the name that they had then."""
    with broker.db.read() as conn:
        return store.same_name(conn, directory.tenant_id, directory.id, split_name(typed.user)[0])


def _as_last_time(broker: Broker, directory: DirectoryRecord, row: Any) -> _Someone:
    """Tell what somebody's last log-in gave, and that it is that: what their directory says today is not known."""
    with broker.db.read() as conn:
        last = session_store.last_grant(conn, row.id)
    at = last.created_at if last is not None else row.last_login_at
    because = (explain.from_json(last.granted),) if last is not None and last.granted else ()
    said = {"directory": directory.name, "at": f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "?"}
    return _Someone(users.record(row), row, row.role_id, row.policy_id, None, Reason("rule.last_log_in", said, because))


def _from_directory(broker: Broker, directory: DirectoryRecord, identity: Identity, client: Client) -> _Someone:
    with broker.db.read() as conn:
        row = store.find(conn, directory.id, identity.subject)
        known = scim.enrich(conn, directory, identity) if directory.provisioned else identity
    barred = known if isinstance(known, Reason) else None
    identity = identity if isinstance(known, Reason) else known
    user = (
        users.record(row)
        if row is not None
        else User("", directory.tenant_id, identity.login_name, "", identity.display_name)
    )
    decided = barred or decide(broker, directory, identity, client)
    if not isinstance(decided, Reason):
        granted, role = decided
        return _Someone(user, row, role.id, granted.policy_id, None, granted.reason, identity.groups)
    # They do not come in: what they would be offered is nothing, by a role that is theirs or any.
    roles = broker.snapshots.get().roles.values()
    role_id = user.role_id or next(one.id for one in roles if one.tenant_id == directory.tenant_id)
    return _Someone(user, row, role_id, user.policy_id, decided, None, identity.groups)


def _refusal(row: Any, may_log_in: bool, now: datetime) -> Reason | None:
    lockout = Lockout(row.failed, row.last_failed_at, row.locked_until)
    if seconds := locked_for(lockout, now):
        return Reason("login.locked", {"seconds": seconds, "minutes": -(-seconds // 60)})
    if row.disabled:
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
