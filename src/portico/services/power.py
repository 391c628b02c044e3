"""Power: asked for by people and plans, carried out as jobs, refused with a sentence where a cloud lacks the action."""

from sqlalchemy import Connection

from portico.domain.access import Actor, Level
from portico.domain.jobs import DesktopPower, OfDesktop
from portico.domain.model import AgentState, Desktop, Power, PowerAction, Stage, Status
from portico.domain.states import USABLE
from portico.errors import CloudNotFound, CloudRefused, Conflict, Denied, NotFound
from portico.services import deletion
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.services.guards import require, require_portal, scope_of
from portico.services.queueing import enqueue
from portico.services.sessions import SignedIn
from portico.store import assignments, centers, desktops, events
from portico.store.scope import System, Tenant

_SCOPE = System("power actions")
OWN_ACTIONS = frozenset({PowerAction.START, PowerAction.REBOOT, PowerAction.SHUTDOWN, PowerAction.RESUME})

# After these nobody of before is on a machine; where there is no agent to tell of the boot, the cloud's word has to do.
AFRESH = frozenset({PowerAction.RESET, PowerAction.REBUILD})
# What a desktop shows between the order and the next inventory.
MEANWHILE = {
    PowerAction.START: Power.STARTING, PowerAction.RESUME: Power.STARTING, PowerAction.UNPAUSE: Power.STARTING,
    PowerAction.UNSHELVE: Power.STARTING, PowerAction.REBOOT: Power.STARTING, PowerAction.RESET: Power.STARTING,
    PowerAction.REBUILD: Power.STARTING, PowerAction.STOP: Power.STOPPING, PowerAction.SHUTDOWN: Power.STOPPING,
    PowerAction.SUSPEND: Power.STOPPING, PowerAction.PAUSE: Power.STOPPING, PowerAction.SHELVE: Power.STOPPING,
}  # fmt: skip


def power(broker: Broker, actor: Actor, desktop_id: str, action: PowerAction) -> str:
    """Order a power action as an administrator; returns the job's id. Raises CloudRefused where the cloud lacks it."""
    require(actor, "desktops", Level.EDIT, narrowed=True)
    desktop = _desktop(broker, scope_of(actor), desktop_id)
    return _order(broker, desktop, action, actor.login_name)


def own_power(broker: Broker, me: SignedIn, assignment_id: str, action: PowerAction) -> str:
    """Order a power action on one's own desktop, where role and policy allow."""
    require_portal(me, Level.EDIT)
    with broker.db.read() as conn:
        assignment = assignments.get(conn, Tenant(me.user.tenant_id), assignment_id)
    if assignment is None or assignment.user_id != me.user.id or assignment.state not in USABLE:
        raise NotFound("This desktop is not yours any more.")
    line = broker.snapshots.get().pool_assignments.get(assignment.pool_assignment_id or "")
    if action not in OWN_ACTIONS or not (me.role.may_power and line is not None and line.power_buttons):
        raise Denied("Your administrator does not let you control the power of this desktop.")
    return _order(
        broker, _desktop(broker, Tenant(me.user.tenant_id), assignment.desktop_id), action, me.user.login_name
    )


def _desktop(broker: Broker, scope: Tenant, desktop_id: str) -> Desktop:
    with broker.db.read() as conn:
        desktop = desktops.get(conn, scope, desktop_id)
    if desktop is None or desktop.status is Status.DELETED:
        raise NotFound("There is no such desktop.")
    return desktop


def _order(broker: Broker, desktop: Desktop, action: PowerAction, actor: str) -> str:
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, desktop.center_id)
    if center is None or desktop.external_id is None:
        raise Conflict("This desktop has no machine yet.")
    if action not in open_cloud(broker, center).capabilities().power:
        raise CloudRefused(f"Desktops of “{center.name}” cannot do “{action.value}”.")
    with broker.db.write() as conn:
        job = enqueue(
            broker, conn, "desktop_power", DesktopPower(desktop.id, action.value), tenant_id=desktop.tenant_id
        )
        entry = events.Entry(
            broker.now(), "desktop.power_ordered", desktop.tenant_id, actor,
            params={"desktop": desktop.name, "action": action.value}, desktop_id=desktop.id,
        )  # fmt: skip
        events.add(conn, entry)
    return job


def carry_out(broker: Broker, payload: DesktopPower, claim: Claim) -> None:
    """Do one power action, unless the desktop's epoch has moved on or its machine is gone."""
    action = PowerAction(payload.action)
    with broker.db.write() as conn:
        claim.check(conn)
        desktop = desktops.get(conn, _SCOPE, payload.desktop_id)
        center = centers.get(conn, _SCOPE, desktop.center_id) if desktop else None
        if (
            desktop is None
            or center is None
            or desktop.external_id is None
            or desktop.stage in (Stage.GONE, Stage.DELETING)
        ):
            return
        if payload.epoch is not None and payload.epoch != desktop.epoch:
            return
    cloud = open_cloud(broker, center)
    if action not in cloud.capabilities().power:
        _note(broker, desktop, action, "the cloud lacks this action")
        return
    try:
        cloud.power(desktop.external_id, action)
    except CloudNotFound:
        return  # inventory will say so
    except CloudRefused as problem:
        _note(broker, desktop, action, problem.sentence)
        return
    with broker.db.write() as conn:
        desktops.change(conn, desktop.id, broker.now(), power=str(MEANWHILE[action]))
        if action in AFRESH and desktop.agent is AgentState.NOT_INSTALLED:
            heal(broker, conn, desktop)


def heal(broker: Broker, conn: Connection, desktop: Desktop) -> None:
    """End a quarantine: the machine began afresh, so nobody of before is on it."""
    if desktops.move_stage(conn, desktop.id, [Stage.QUARANTINED], Stage.READY, broker.now(), stage_reason=""):
        entry = events.Entry(
            broker.now(), "desktop.healed", desktop.tenant_id, params={"desktop": desktop.name}, desktop_id=desktop.id
        )
        events.add(conn, entry)


def _note(broker: Broker, desktop: Desktop, action: PowerAction, detail: str) -> None:
    with broker.db.write() as conn:
        entry = events.Entry(
            broker.now(), "desktop.power_refused", desktop.tenant_id, level="warning",
            params={"desktop": desktop.name, "action": action.value, "detail": detail}, desktop_id=desktop.id,
        )  # fmt: skip
        events.add(conn, entry)


def delete_desktop(broker: Broker, actor: Actor, desktop_id: str) -> str:
    """Delete a desktop's machine, where it may be deleted; returns the job's id. Raises Conflict, Denied."""
    require(actor, "desktops", Level.EDIT, narrowed=True)
    desktop = _desktop(broker, scope_of(actor), desktop_id)
    if not desktop.deletable:
        raise Conflict("This desktop is not marked as deletable. Allow it in its settings first.")
    if desktop.used_seats:
        raise Conflict("Somebody has this desktop. Release it first.")
    with broker.db.write() as conn:
        deletion.begin(conn, desktop.id, broker.now())
        job = enqueue(broker, conn, "desktop_delete", OfDesktop(desktop.id), tenant_id=desktop.tenant_id)
        entry = events.Entry(
            broker.now(), "desktop.delete_ordered", desktop.tenant_id, actor.login_name,
            params={"desktop": desktop.name}, desktop_id=desktop.id,
        )  # fmt: skip
        events.add(conn, entry)
    return job


def set_status(broker: Broker, actor: Actor, desktop_id: str, available: bool) -> None:
    """Make a desktop available for offers, or not."""
    require(actor, "desktops", Level.EDIT, narrowed=True)
    desktop = _desktop(broker, scope_of(actor), desktop_id)
    if desktop.status is Status.DUPLICATE:
        raise Conflict("Another center has this machine as well, and it is offered there. Change it there.")
    status = Status.AVAILABLE if available else Status.UNAVAILABLE
    with broker.db.write() as conn:
        desktops.change(conn, desktop.id, broker.now(), status=str(status))
        entry = events.Entry(
            broker.now(), f"desktop.made_{status.value}", desktop.tenant_id, actor.login_name,
            params={"desktop": desktop.name}, desktop_id=desktop.id,
        )  # fmt: skip
        events.add(conn, entry)
