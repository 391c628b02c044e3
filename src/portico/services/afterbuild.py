"""What a pool does with each new desktop after the build: in order, each after its wait, each once, also across a kill -9.

The steps are written into the desktop's row with its build. How far it has come is its epoch, which nothing else moves while it
is in the making: 0 before the first step, n + 1 while step n is due. Each step is a job of its own, and only who moves the epoch
on has done the step. Before a call it is looked whether an earlier try has done it already.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from portico import faults
from portico.domain.explain import as_json
from portico.domain.jobs import DesktopStep
from portico.domain.model import BuildAction, Desktop, Power, PowerAction, Reason, Stage, Status
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import Cloud
from portico.services import finishing
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.services.queueing import When, enqueue
from portico.store import centers, desktops, events
from portico.store.records import adapter
from portico.store.records import desktop as record
from portico.store.scope import System

STEP_SECONDS = 30 * 60  # the patience with one step, besides its wait
REFUSED_SECONDS = 5 * 60  # how long a refusal may be the state of a moment
AGAIN_SECONDS = 10.0
IMAGE_SECONDS = 10 * 60  # after which an image that was asked for and never seen is asked for again
MOVING = frozenset({Power.STARTING, Power.STOPPING})
STATUS = {"set_available": Status.AVAILABLE, "set_unavailable": Status.UNAVAILABLE}
_SCOPE = System("steps after a build")


def begin(broker: Broker, conn: Connection, desktop: Desktop) -> bool:
    """Begin the steps of a desktop that has been built; False where it has none, so that it is ready as it is."""
    row = desktops.get_row(conn, _SCOPE, desktop.id)
    if row is None or not _actions(row):
        return False
    if row.epoch == 0 and row.stage in (Stage.BUILDING, Stage.PREPARING):
        _go_to(broker, conn, row, 0)
    return True


def carry_out(broker: Broker, payload: DesktopStep, claim: Claim) -> float | None:
    """Do one step and queue the next; returns seconds to wait while the machine is not as far, else None."""
    with broker.db.write() as conn:
        claim.check(conn)
        row = desktops.get_row(conn, _SCOPE, payload.desktop_id)
        center = centers.get(conn, _SCOPE, row.center_id) if row else None
    if row is None or center is None or not _is_due(row, payload.step):
        return None
    action = _actions(row)[payload.step]
    if action.action not in STATUS:
        try:
            wait = _do(broker, claim, row, action, open_cloud(broker, center))
        except CloudNotFound:
            return None  # inventory will say so
        except CloudRefused as problem:
            if broker.now() - row.stage_at < timedelta(seconds=REFUSED_SECONDS):
                return AGAIN_SECONDS
            _give_up(broker, claim, row, action, problem)
            return None
        if wait is not None:
            return wait
    faults.point("step.before_record")
    _done(broker, claim, row, payload.step)
    faults.point("step.after_record")
    return None


def _actions(row: Any) -> tuple[BuildAction, ...]:
    return adapter(tuple[BuildAction, ...]).validate_python((row.spec or {}).get("actions", ()))


def _is_due(row: Any, step: int) -> bool:
    return bool(row.stage == Stage.PREPARING and row.epoch == step + 1)


def _go_to(broker: Broker, conn: Connection, row: Any, step: int) -> bool:
    """Move a desktop on to a step and queue its job, unless somebody else did."""
    wait = timedelta(seconds=_actions(row)[step].wait_seconds)
    at: datetime = broker.now() + wait
    deadline = at + timedelta(seconds=STEP_SECONDS)
    if not desktops.go_to_step(conn, row.id, step, at, deadline):
        return False
    enqueue(broker, conn, "desktop_step", DesktopStep(row.id, step), tenant_id=row.tenant_id, when=When(at))
    return True


def _done(broker: Broker, claim: Claim, row: Any, step: int) -> None:
    actions = _actions(row)
    with broker.db.write() as conn:
        claim.check(conn)
        entry = events.Entry(
            broker.now(), "desktop.step_done", row.tenant_id, desktop_id=row.id, pool_id=row.built_for_pool,
            params={"desktop": row.name, "action": actions[step].action},
        )  # fmt: skip
        if step + 1 < len(actions):
            moved = _go_to(broker, conn, row, step + 1)
        else:
            moved = finishing.ready(broker, conn, record(row), STATUS.get(actions[step].action))
        if moved:
            events.add(conn, entry)


def _do(broker: Broker, claim: Claim, row: Any, action: BuildAction, cloud: Cloud) -> float | None:
    """Ask the cloud for what a step wants, unless it is so already; returns seconds to wait where it cannot be asked yet."""
    machine = cloud.look(row.external_id)
    if machine is None:
        raise CloudNotFound("The machine is not there any more.")
    if machine.power in MOVING:
        return AGAIN_SECONDS
    if action.action == "snapshot":
        return _image(broker, claim, row, cloud)
    able = cloud.capabilities().power
    softly = PowerAction.SHUTDOWN if PowerAction.SHUTDOWN in able else PowerAction.STOP
    wanted, verb = (Power.RUNNING, PowerAction.START) if action.action == "start" else (Power.STOPPED, softly)
    if machine.power is not wanted:
        if verb not in able:
            raise CloudRefused(f"This center cannot do “{verb.value}”.")
        faults.point("step.before_call")
        cloud.power(row.external_id, verb)
        faults.point("step.after_call")
    return None


def _image(broker: Broker, claim: Claim, row: Any, cloud: Cloud) -> float | None:
    """Have an image made, once: that it was asked for is written down first, and a lost answer is looked for by its name."""
    if not cloud.capabilities().snapshots:
        raise CloudRefused("This center makes no images of machines.")
    name, now = f"{row.name}-{row.id[:8]}", broker.now()
    asked = row.spec.get("image_asked_at")
    if asked is not None:
        if any(image.name == name for image in cloud.scan().images):
            return None
        if now < datetime.fromisoformat(asked) + timedelta(seconds=IMAGE_SECONDS):
            return AGAIN_SECONDS
    with broker.db.write() as conn:
        claim.check(conn)
        desktops.change(conn, row.id, now, spec={**row.spec, "image_asked_at": now.isoformat()})
    faults.point("step.before_call")
    try:
        cloud.snapshot(row.external_id, name)
    except CloudRefused:
        with broker.db.write() as conn:
            claim.check(conn)
            desktops.change(conn, row.id, now, spec=row.spec)
        raise
    faults.point("step.after_call")
    return None


def _give_up(broker: Broker, claim: Claim, row: Any, action: BuildAction, problem: CloudRefused) -> None:
    """The cloud will not: the desktop is kept, unavailable, so that somebody looks at it."""
    reason = Reason("build.step_refused", {"action": action.action, "detail": problem.sentence})
    with broker.db.write() as conn:
        claim.check(conn)
        if finishing.ready(broker, conn, record(row), Status.UNAVAILABLE):
            entry = events.Entry(
                broker.now(), "desktop.step_refused", row.tenant_id, level="warning", reason=as_json(reason),
                params={"desktop": row.name, "action": action.action, "detail": problem.sentence},
                desktop_id=row.id, pool_id=row.built_for_pool, center_id=row.center_id,
            )  # fmt: skip
            events.add(conn, entry)
