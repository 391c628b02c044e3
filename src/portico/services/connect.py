"""From an offer to a session: assign atomically, start what rests, choose the protocol, hand out a ticket."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from portico import faults
from portico.domain import connect as rules
from portico.domain.access import Level, rights_on_desktop
from portico.domain.assign import on_assigned
from portico.domain.connect import NATIVE, ConnectStage, Progress
from portico.domain.explain import as_json
from portico.domain.gateways import Path
from portico.domain.jobs import DesktopPower, OfPool
from portico.domain.model import Assignment, Client, Desktop, NoDesktop, PoolAssignment, ProtocolPlan, Reason
from portico.domain.offers import may_offer, shut_out
from portico.domain.readiness import wake_action
from portico.domain.states import USABLE
from portico.errors import Conflict, NotFound, Unavailable
from portico.ports.display import LaunchContext, Target
from portico.services import addresses, endings, entry_tickets, evidence, forwards, reach, session_policy
from portico.services.broker import Broker
from portico.services.entry_tickets import Way
from portico.services.explaining import sentence
from portico.services.guards import require_portal
from portico.services.portal import offers
from portico.services.queueing import enqueue
from portico.services.sessions import SignedIn
from portico.store import assignments, connections, desktops, events, users
from portico.store import forwards as forward_store
from portico.store.records import assignment as assignment_record
from portico.store.records import desktop as desktop_record
from portico.store.records import part
from portico.store.scope import Tenant
from portico.wire.tickets import ENTRY

ROUNDS = 10  # so often the candidates of a pool are read anew when others were quicker
EXPECTED_DAYS = 7
REOPENED = ("waiting", "ready", "open", "closed")  # states that a new ticket leads back from
ENDED = ("closed.elsewhere", "closed.by_administrator", "session.ended")  # reasons after which there is none
DOORS: Mapping[str, str] = {
    "vnc": "/gw/vnc",
    "rdp": "/gw/rdp",
    "ssh": "/gw/ssh",
}  # what our gateways carry into a browser


@dataclass(frozen=True, slots=True)
class Connecting:
    """A connection on its way, as pages and API show it."""

    id: str
    assignment_id: str
    desktop_id: str
    desktop_name: str
    protocol: str
    state: str  # waiting | ready | open | closed | failed
    progress: Progress
    launch: dict[str, Any] | None
    address: str  # for a client of a device: where it finds the desktop, host and port; else empty
    may_release: bool
    protocols: tuple[str, ...]
    expected_seconds: int | None


def connect(
    broker: Broker, me: SignedIn, offer_id: str, client: Client, protocol: str | None = None
) -> Connecting | NoDesktop:
    """Give the user the desktop of an offer, and begin a connection to it; a second click gets the same desktop."""
    require_portal(me, Level.EDIT)
    given = _assignment_for(broker, me, offer_id)
    if isinstance(given, NoDesktop):
        return given
    assignment, desktop = given
    plan = plan_of(broker, assignment)
    if desktop.protocols:
        chosen = rules.protocol_for(plan, desktop, client, protocol, DOORS)
        if isinstance(chosen, NoDesktop):
            return chosen
    else:  # not built yet: what it speaks is known when it answers
        chosen = protocol or ""
    connection_id, now = broker.new_id(), broker.now()
    with broker.db.write() as conn:
        connections.add(
            conn, id=connection_id, tenant_id=me.user.tenant_id, assignment_id=assignment.id, user_id=me.user.id,
            session_id=me.session_id or "", protocol=chosen, client_address=client.address[:40], created_at=now,
            rights=list(rights_on_desktop(me.role)),
        )  # fmt: skip
        if client.kind in NATIVE:
            forward_store.add(conn, connection_id, _way(broker, plan, me, client))
        _wake(broker, conn, desktop)
    faults.point("connect.after_connection")
    return view(broker, me, connection_id)


def _way(broker: Broker, plan: ProtocolPlan, me: SignedIn, client: Client) -> str:
    """Return how a client of a device comes to its desktop, as the state that its forward begins in."""
    if client.tunnels:
        return forwards.TUNNEL
    return forwards.DIRECT if reach.is_direct(broker, plan, me.user.tenant_id, client) else "wanted"


def _assignment_for(broker: Broker, me: SignedIn, offer_id: str) -> tuple[Assignment, Desktop] | NoDesktop:
    if why := shut_out(me.user):
        return NoDesktop(why)
    scope = Tenant(me.user.tenant_id)
    if offer_id.startswith("a."):
        with broker.db.read() as conn:
            assignment = assignments.get(conn, scope, offer_id[2:])
            desktop = desktops.get(conn, scope, assignment.desktop_id) if assignment else None
        if assignment is None or desktop is None or assignment.user_id != me.user.id or assignment.state not in USABLE:
            return NoDesktop(Reason("assignment.ended"))
        return assignment, desktop
    line_id, _, number = offer_id.rpartition(".")
    line = next((one for one in me.policy.assignments if one.id == line_id), None)
    if line is None or not number.isascii() or not number.isdigit() or int(number) >= line.quantity:
        return NoDesktop(Reason("offer.unknown"))
    return _claim(broker, me, line, int(number))


def _claim(broker: Broker, me: SignedIn, line: PoolAssignment, ordinal: int) -> tuple[Assignment, Desktop] | NoDesktop:
    """Take one desktop of a pool: walk the candidates from a spread start until a conditional UPDATE wins."""
    key = rules.claim_key(me.user.id, line.id, ordinal)
    with broker.db.read() as conn:
        held = _held(conn, me, key)
    if held is not None:
        return held
    found = offers(broker, me)
    mine = (offer for offer in found.offers if offer.pool_assignment_id == line.id and offer.ordinal == ordinal)
    offered = next(mine, None)
    if offered is None:
        return NoDesktop(found.refusal_of(line.id) or Reason("offer.unknown"))
    lost = offered.desktop_id is not None
    for _ in range(ROUNDS):
        # Candidates that may not be offered (no agent, stopped …) are passed over here just as they were when offering.
        free = _free(broker, me, line)
        spread = random.randrange(1 << 30)  # noqa: S311  (spreads users over desktops; nothing secret)
        for desktop in rules.choose(free, offered.desktop_id, line.order, me.user.id, spread):
            taken = _take(broker, me, line, ordinal, desktop)
            if taken is not None:
                return taken
        if not free:
            break
        lost = True  # all that were seen went to others: look whether there are more
    if lost or offered.reason is None:  # what was offered went to somebody else meanwhile
        return NoDesktop(Reason("pool.lost", {"pool": broker.snapshots.get().pools[line.pool_id].name}))
    return NoDesktop(offered.reason)


def _free(broker: Broker, me: SignedIn, line: PoolAssignment) -> list[Desktop]:
    with broker.db.read() as conn:
        candidates = desktops.list_candidates(conn, [line.pool_id], me.user.id)[line.pool_id]
    now = broker.now()
    return [desktop for desktop in candidates if may_offer(desktop, line, now) is None]


def _take(
    broker: Broker, me: SignedIn, line: PoolAssignment, ordinal: int, desktop: Desktop
) -> tuple[Assignment, Desktop] | NoDesktop | None:
    """Try to take one desktop, in one transaction; None when somebody else was quicker."""
    now, key = broker.now(), rules.claim_key(me.user.id, line.id, ordinal)
    assignment = Assignment(
        id=broker.new_id(), tenant_id=me.user.tenant_id, user_id=me.user.id, desktop_id=desktop.id, seat_id="",
        claim_key=key, policy_id=me.policy.id, pool_id=line.pool_id, pool_assignment_id=line.id, assigned_at=now,
    )  # fmt: skip
    reason = Reason("assignment.by_policy", {"policy": me.policy.name, "order": line.order.value})
    try:
        with broker.db.write() as conn:
            if me.policy.max_desktops is not None:  # two clicks on two offers come one after the other here
                users.hold(conn, me.user.id)
                if assignments.count_of_user(conn, me.user.id) >= me.policy.max_desktops:
                    return _held(conn, me, key) or NoDesktop(
                        Reason("policy.max_desktops", {"maximum": me.policy.max_desktops})
                    )
            seat_id = desktops.take_seat(conn, desktop.id, assignment.id, me.user.id, now)
            if seat_id is None:
                return None
            assignment = replace(assignment, seat_id=seat_id)
            assignments.add(conn, assignment, ordinal, as_json(reason))
            release, _ = evidence.plans_of(broker, assignment)
            evidence.arm(broker, conn, assignment, on_assigned(release, now), assignment.epoch)
            enqueue(broker, conn, "pool_refill", OfPool(line.pool_id), tenant_id=me.user.tenant_id)
            entry = events.Entry(
                now, "desktop.assigned", me.user.tenant_id, me.user.login_name, params={"desktop": desktop.name},
                reason=as_json(reason), user_id=me.user.id, desktop_id=desktop.id, pool_id=line.pool_id,
                correlation=assignment.id,
            )  # fmt: skip
            events.add(conn, entry)
            faults.point("connect.before_commit")
    except IntegrityError:  # the user's other click won: its desktop is the answer to both
        with broker.db.read() as conn:
            return _held(conn, me, key)
    faults.point("connect.after_assignment")
    return assignment, desktop


def _held(conn: Connection, me: SignedIn, key: str) -> tuple[Assignment, Desktop] | None:
    """Return what the user has under a claim already."""
    held = assignments.find_claim(conn, key)
    theirs = desktops.get(conn, Tenant(me.user.tenant_id), held.desktop_id) if held else None
    return (held, theirs) if held and theirs else None


def _wake(broker: Broker, conn: Any, desktop: Desktop) -> None:
    action = wake_action(desktop.power)
    if action is not None:
        enqueue(broker, conn, "desktop_power", DesktopPower(desktop.id, action.value), tenant_id=desktop.tenant_id)


def plan_of(broker: Broker, assignment: Assignment) -> ProtocolPlan:
    """Return the protocol plan of an assignment."""
    return session_policy.plan_of(broker, assignment.pool_assignment_id, assignment.tenant_id)


def _may_release(broker: Broker, me: SignedIn, assignment: Assignment) -> bool:
    """Tell whether the person may give the desktop back."""
    line = broker.snapshots.get().pool_assignments.get(assignment.pool_assignment_id or "")
    return me.role.may_release and (line is None or not line.prevent_release)


def load(broker: Broker, me: SignedIn, connection_id: str) -> tuple[Any, Assignment, Desktop]:
    """Return one's own connection, its assignment and its desktop. Raises NotFound when it is somebody else's."""
    require_portal(me, Level.EDIT)
    with broker.db.read() as conn:
        row = connections.find(conn, Tenant(me.user.tenant_id), connection_id)
    if row is None or row.user_id != me.user.id:
        raise NotFound("There is no such connection.")
    return row, assignment_record(part(row, "a_")), desktop_record(part(row, "d_"))


def view(broker: Broker, me: SignedIn, connection_id: str) -> Connecting:
    """Return how far one's own connection is. Raises NotFound when it is somebody else's."""
    row, assignment, desktop = load(broker, me, connection_id)
    progress = rules.progress(desktop, assignment, broker.now())
    plan = plan_of(broker, assignment)
    state, protocol = row.state, row.protocol
    if state in ("waiting", "ready"):
        state = {ConnectStage.READY: "ready", ConnectStage.FAILED: "failed"}.get(progress.stage, "waiting")
        if state == "ready" and not protocol:
            protocol = _settle(broker, me, row, plan, desktop)
        elif state == "ready" and row.f_state not in (None, forwards.DIRECT):
            state, progress = forwards.advance(broker, row, plan, me)
    elif state == "closed" and row.f_state == "failed":
        state, progress = forwards.advance(broker, row, plan, me)
    usable = tuple(name for name in plan.protocols if name in desktop.protocols and name in DOORS)
    launchable = state in ("ready", "open") and row.f_state in (None, forwards.DIRECT, "open")
    target = _target(broker, row, desktop, protocol) if launchable and row.f_state is not None else None
    return Connecting(
        id=row.id,
        assignment_id=assignment.id,
        desktop_id=desktop.id,
        desktop_name=desktop.display_name or desktop.name,
        protocol=protocol,
        state=state,
        progress=progress,
        launch=_launch(broker, me, row, desktop, plan, protocol) if launchable else None,
        address=rules.authority(target.host, target.port) if target else "",
        may_release=_may_release(broker, me, assignment),
        protocols=usable,
        expected_seconds=_expected(broker, assignment, desktop) if state == "waiting" else None,
    )


def _expected(broker: Broker, assignment: Assignment, desktop: Desktop) -> int | None:
    """Return how many seconds most of the pool's desktops took to get ready lately; None where none was made."""
    pool_id = desktop.built_for_pool or assignment.pool_id
    if pool_id is None:
        return None
    with broker.db.read() as conn:
        took = events.list_params(conn, pool_id, "desktop.ready", broker.now() - timedelta(days=EXPECTED_DAYS))
    seconds = [float(one["seconds"]) for one in took if isinstance(one.get("seconds"), int | float)]
    return rules.expected_seconds(seconds)


def _settle(broker: Broker, me: SignedIn, row: Any, plan: ProtocolPlan, desktop: Desktop) -> str:
    """Choose the protocol of a connection whose desktop was not built when it began."""
    client = Client(row.client_address, "web" if row.f_state is None else "connect")
    chosen = rules.protocol_for(plan, desktop, client, None, DOORS)
    if isinstance(chosen, NoDesktop):
        return ""
    with broker.db.write() as conn:
        connections.set_state(conn, row.id, ("waiting", "ready"), row.state, protocol=chosen)
    return chosen


def _launch(
    broker: Broker, me: SignedIn, row: Any, desktop: Desktop, plan: ProtocolPlan, protocol: str
) -> dict[str, Any] | None:
    display = broker.displays.get(protocol)
    if display is None:
        return None
    client = Client(row.client_address, "web" if row.f_state is None else "connect")
    context = LaunchContext(row.id, client, me.user.login_name)
    launch: dict[str, Any] = display.launch(_target(broker, row, desktop, protocol), plan, context)
    return launch


def _target(broker: Broker, row: Any, desktop: Desktop, protocol: str) -> Target:
    """Return where a client of a device finds the desktop: through the gateway's port if it has one, else itself."""
    if row.f_state == "open":
        return forwards.target(broker, row)
    display = broker.displays.get(protocol)
    return Target(desktop.target, desktop.protocols.get(protocol, display.default_port if display else 0), desktop.name)


@dataclass(frozen=True, slots=True)
class Ready:
    """A connection whose desktop is ready: its row, and what hangs on it. `protocol` is empty where none fits."""

    row: Any
    assignment: Assignment
    desktop: Desktop
    plan: ProtocolPlan
    protocol: str


def ready(broker: Broker, me: SignedIn, connection_id: str, *, in_browser: bool = False) -> Ready:
    """Return one's own connection if its desktop is ready, its address looked at anew. Raises NotFound, Conflict with the reason.

    `in_browser`: what our gateways cannot carry into one is refused first, since waiting would not help.
    """
    if why := shut_out(me.user):
        raise Conflict(sentence(why))
    row, assignment, desktop = load(broker, me, connection_id)
    seen = view(broker, me, connection_id)
    if in_browser and seen.protocol and seen.protocol not in DOORS:
        raise Conflict(
            "Our gateways cannot carry this protocol into a browser. Choose another way to open the desktop."
        )
    if seen.progress.stage is not ConnectStage.READY:
        raise Conflict(sentence(seen.progress.reason or Reason("desktop.preparing")))
    if row.state == "closed" and row.close_reason in ENDED:
        raise Conflict("This connection was ended. Open the desktop again from your desktops.")
    return Ready(row, assignment, addresses.fresh(broker, desktop), plan_of(broker, assignment), seen.protocol)


def reopen(broker: Broker, conn: Connection, me: SignedIn, one: Ready) -> Path:
    """Choose the gateway for a connection, and let it be opened, or opened again. Raises Unavailable with the reason."""
    path = reach.choose(broker, conn, one.desktop.realm, one.desktop.target, one.plan, me)
    if isinstance(path, Reason):
        raise Unavailable(sentence(path), retry_after=3)
    connections.set_state(conn, one.row.id, REOPENED, "ready", closed_at=None, close_reason="")
    return path


def issue(broker: Broker, conn: Connection, me: SignedIn, one: Ready, path: Path, use: str = ENTRY) -> str:
    """Return a ticket for a connection, for the gateway that was chosen where no other will do."""
    way = Way(one.row.id, one.assignment.id, one.assignment.epoch, me.user.id, one.protocol, one.desktop.realm)
    return entry_tickets.issue(broker, conn, path.gateway.id if path.pinned else None, way, use)


def ticket(broker: Broker, me: SignedIn, connection_id: str) -> dict[str, str]:
    """Hand out a one-time ticket for one's own connection, once its desktop is ready. Raises Conflict with the reason."""
    one = ready(broker, me, connection_id, in_browser=True)
    with broker.db.write() as conn:
        path = reopen(broker, conn, me, one)
        sealed = issue(broker, conn, me, one, path)
    return {"ticket": sealed, "url": path.origin + DOORS[one.protocol]}


def disconnect(broker: Broker, me: SignedIn, connection_id: str) -> None:
    """End one's own connection; the desktop stays assigned and the session on it goes on."""
    _, assignment, _ = load(broker, me, connection_id)
    with broker.db.write() as conn:
        endings.close_connections(broker, conn, assignment.id, "disconnected")
