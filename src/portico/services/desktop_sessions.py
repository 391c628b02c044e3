"""Who is at work where: desktops that people hold, the timers that run for them, and ending a session for somebody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from portico.domain.access import Actor, Level
from portico.domain.jobs import OfAssignment, lane
from portico.domain.model import Assignment, Desktop, PoolAssignment, Reason
from portico.domain.offers import may_offer
from portico.domain.states import USABLE, Event
from portico.errors import NotFound
from portico.services import endings, evidence, shadowing
from portico.services import release as releasing
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.guards import own_pools, require, scope_of
from portico.store import assignments, desktops
from portico.store import tables as t
from portico.store.scope import within

LIMIT = 500


@dataclass(frozen=True, slots=True)
class Door:
    """A connection that is open: how the person looks at the desktop."""

    id: str
    protocol: str
    gateway: str
    address: str
    opened_at: datetime | None
    may_join: tuple[str, ...]  # how the plan lets somebody else join, once the person has agreed: view, control


@dataclass(frozen=True, slots=True)
class Pending:
    """A timer that runs for an assignment: what happens, when, and why. `action` is release, log_out or power."""

    action: str
    argument: str
    at: datetime
    reason: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Held:
    """A desktop that somebody holds. `reason` says why it was this one."""

    id: str
    user_id: str
    user: str
    desktop_id: str
    desktop: str
    pool_id: str | None
    pool: str
    state: str
    since: datetime
    changed_at: datetime
    reason: Mapping[str, Any] | None
    doors: tuple[Door, ...] = ()
    timers: tuple[Pending, ...] = ()


@dataclass(frozen=True, slots=True)
class Offering:
    """Whether a policy offers a desktop to somebody new: `refused` says why not, None that it does."""

    policy_id: str
    policy: str
    pool: str
    refused: Reason | None


def held(broker: Broker, actor: Actor, words: str = "") -> list[Held]:
    """Return the desktops that people hold, newest first, at most 500; `words` are looked for in person and desktop."""
    require(actor, "sessions", narrowed=True)
    like = t.users.c.login_name.icontains(words, autoescape=True) | t.desktops.c.name.icontains(words, autoescape=True)
    return _held(broker, actor, like) if words else _held(broker, actor)


def held_of(broker: Broker, actor: Actor, desktop_id: str) -> list[Held]:
    """Return who holds one desktop."""
    require(actor, "desktops", narrowed=True)
    return _held(broker, actor, t.assignments.c.desktop_id == desktop_id)


def offering(broker: Broker, actor: Actor, desktop_id: str) -> list[Offering]:
    """Return, for each line of a policy that could offer the desktop, whether it does now."""
    require(actor, "desktops", narrowed=True)
    snapshot, now = broker.snapshots.get(), broker.now()
    with broker.db.read() as conn:
        desktop = desktops.get(conn, scope_of(actor), desktop_id)
        member = select(t.pool_members.c.pool_id).where(t.pool_members.c.desktop_id == desktop_id)
        pools = {row.pool_id for row in conn.execute(member)} & {pool.id for pool in own_pools(snapshot.pools, actor)}
    lines: list[PoolAssignment] = [line for line in snapshot.pool_assignments.values() if line.pool_id in pools]
    if desktop is None:
        return []
    return [
        Offering(line.policy_id, policy.name, snapshot.pools[line.pool_id].name, may_offer(desktop, line, now))
        for line in lines
        if (policy := snapshot.policies.get(line.policy_id)) and line.pool_id in snapshot.pools
    ]


def disconnect(broker: Broker, actor: Actor, assignment_id: str) -> None:
    """Close somebody's connections; what runs on the desktop runs on. Raises Denied, NotFound."""
    assignment, desktop = _find(broker, actor, assignment_id)
    with broker.db.write() as conn:
        endings.close_connections(broker, conn, assignment.id, "session.ended")
        announce(broker, conn, actor, "assignment.disconnect_ordered", _subject(assignment, desktop))


def log_out(broker: Broker, actor: Actor, assignment_id: str) -> None:
    """End somebody's session on a desktop. Raises Denied, NotFound."""
    assignment, desktop = _find(broker, actor, assignment_id)
    with broker.db.write() as conn:
        announce(broker, conn, actor, "assignment.log_out_ordered", _subject(assignment, desktop))
    releasing.end_session(broker, assignment, desktop, actor.login_name)


def release(broker: Broker, actor: Actor, assignment_id: str) -> None:
    """Take a desktop back from one person. Raises Denied, NotFound."""
    assignment, _ = _find(broker, actor, assignment_id)
    evidence.apply(broker, assignment.id, Event.RELEASE, actor.login_name, Reason("release.by_administrator"))


def _find(broker: Broker, actor: Actor, assignment_id: str) -> tuple[Assignment, Desktop]:
    require(actor, "sessions", Level.EDIT, narrowed=True)
    with broker.db.read() as conn:
        assignment = assignments.get(conn, scope_of(actor), assignment_id)
        desktop = desktops.get(conn, scope_of(actor), assignment.desktop_id) if assignment else None
    if assignment is None or desktop is None or assignment.state not in USABLE:
        raise NotFound("There is no such session any more.")
    return assignment, desktop


def _subject(assignment: Assignment, desktop: Desktop) -> dict[str, Any]:
    return {"desktop": desktop.name, "desktop_id": desktop.id, "user_id": assignment.user_id}


def _held(broker: Broker, actor: Actor, *conditions: ColumnElement[bool]) -> list[Held]:
    a, pools = t.assignments.c, t.pools
    query = (
        select(
            t.assignments, t.users.c.login_name, t.desktops.c.name.label("desktop_name"), pools.c.name.label("pool_name"),
        )
        .join(t.users, t.users.c.id == a.user_id)
        .join(t.desktops, t.desktops.c.id == a.desktop_id)
        .outerjoin(pools, (pools.c.id == a.pool_id) & within(scope_of(actor), pools))
        .where(within(scope_of(actor), t.assignments), a.released_at.is_(None), *conditions)
    )  # fmt: skip
    with broker.db.read() as conn:
        rows = list(conn.execute(query.order_by(a.assigned_at.desc(), a.id).limit(LIMIT)))
        lines = {row.id: row.pool_assignment_id for row in rows}
        doors, timers = _doors(broker, conn, lines), _timers(conn, [(row.id, row.epoch) for row in rows])
    return [
        Held(
            row.id, row.user_id, row.login_name, row.desktop_id, row.desktop_name, row.pool_id, row.pool_name or "", row.state,
            row.assigned_at, _changed(row), row.reason, tuple(doors.get(row.id, ())), tuple(timers.get(row.id, ())),
        )
        for row in rows
    ]  # fmt: skip


def _changed(row: Any) -> datetime:
    stamps = {"connected": row.connected_at, "disconnected": row.disconnected_at, "logged out": row.logged_out_at}
    moment: datetime = stamps.get(row.state) or row.assigned_at
    return moment


def _doors(broker: Broker, conn: Connection, lines: Mapping[str, str | None]) -> dict[str, list[Door]]:
    """Return the open connections of assignments; `lines` says which pool assignment each of these comes from."""
    c, found = t.connections.c, dict[str, list[Door]]()
    query = select(t.connections, t.gateways.c.name.label("gateway")).outerjoin(
        t.gateways, t.gateways.c.id == c.gateway_id
    )
    for row in conn.execute(query.where(c.assignment_id.in_(lines), c.state == "open").order_by(c.opened_at)):
        modes = shadowing.permitted(broker, lines[row.assignment_id], row.tenant_id, row.protocol)
        door = Door(row.id, row.protocol, row.gateway or "", row.client_address, row.opened_at, modes)
        found.setdefault(row.assignment_id, []).append(door)
    return found


def _timers(conn: Connection, epochs: Sequence[tuple[str, int]]) -> dict[str, list[Pending]]:
    """Return the timers of assignments that still count: those that an earlier state armed are left out."""
    current, found = dict(epochs), dict[str, list[Pending]]()
    lanes = {lane("assignment_timer", OfAssignment(id)) for id in current}
    j = t.jobs.c
    query = select(t.jobs).where(j.state == "queued", j.kind == "assignment_timer", j.lane.in_(lanes))
    for row in conn.execute(query.order_by(j.run_at)):
        id = row.payload["assignment_id"]
        if current.get(id) == row.payload["epoch"]:
            reason = row.reason or {"code": row.payload["reason"], "params": {}, "because": []}
            made = Pending(row.payload["action"], row.payload.get("argument", ""), row.run_at, reason)
            found.setdefault(id, []).append(made)
    return found
