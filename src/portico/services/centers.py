"""What an administrator asks of a center: a scan now, a pre-flight, the menus of the provisioning form, the kinds there are."""

from dataclasses import dataclass

from portico.domain.access import Actor, Level
from portico.domain.jobs import CenterScan
from portico.errors import NotFound, PorticoError
from portico.ports.cloud import Choices, Finding
from portico.services import driver_settings
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.clouds import open_cloud
from portico.services.driver_settings import FieldInfo as FieldInfo
from portico.services.driver_settings import KindInfo as KindInfo
from portico.services.guards import require, scope_of
from portico.services.queueing import enqueue
from portico.store import centers
from portico.store.centers import Center
from portico.store.scope import System


@dataclass(frozen=True, slots=True)
class Checked:
    """A center or directory by name ("center Frankfurt"), and what its pre-flight found."""

    name: str
    findings: tuple[Finding, ...]


def kinds(broker: Broker) -> list[KindInfo]:
    """Return the kinds of centers that this broker has drivers for."""
    return driver_settings.kinds(broker.cloud_drivers)


def scan_now(broker: Broker, actor: Actor, center_id: str) -> str:
    """Queue a full inventory of a center; returns the job's id."""
    require(actor, "centers", Level.EDIT, narrowed=True)
    _center(broker, actor, center_id)
    with broker.db.write() as conn:
        return enqueue(broker, conn, "center_scan", CenterScan(center_id, full=True), tenant_id=actor.tenant_id)


def check(broker: Broker, actor: Actor, center_id: str) -> tuple[Finding, ...]:
    """Try a center's rights and preconditions, each by name. Raises CloudError when it cannot be reached."""
    require(actor, "centers", Level.VIEW, narrowed=True)
    return open_cloud(broker, _center(broker, actor, center_id)).check()


def mend(broker: Broker, actor: Actor, center_id: str, fix: str) -> None:
    """Do what a finding of the pre-flight offered. Raises CloudRefused for what cannot be mended, CloudError."""
    require(actor, "centers", Level.EDIT, narrowed=True)
    center = _center(broker, actor, center_id)
    open_cloud(broker, center).mend(fix)
    with broker.db.write() as conn:
        announce(broker, conn, actor, "center.mended", {"center_id": center_id, "center": center.name, "fix": fix})


def check_all(broker: Broker) -> list[Checked]:
    """Check every active center of every tenant, one after the other; trouble of one is a finding of its own."""
    with broker.db.read() as conn:
        active = [center for center in centers.list_all(conn, System("doctor")) if center.active]
    return [Checked(f"center {center.name}", _findings(broker, center)) for center in active]


def _findings(broker: Broker, center: Center) -> tuple[Finding, ...]:
    try:
        return open_cloud(broker, center).check()
    except PorticoError as problem:
        return (Finding("connection", "missing", problem.sentence, detail=problem.detail),)


def choices(broker: Broker, actor: Actor, center_id: str) -> Choices:
    """Read the menus of the provisioning form live from a center."""
    require(actor, "pools", Level.VIEW, narrowed=True)
    return open_cloud(broker, _center(broker, actor, center_id)).choices()


def _center(broker: Broker, actor: Actor, center_id: str) -> Center:
    with broker.db.read() as conn:
        center = centers.get(conn, scope_of(actor), center_id)
    if center is None:
        raise NotFound("There is no such center.")
    return center
