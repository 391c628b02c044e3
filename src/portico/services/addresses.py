"""Addresses that are fresh enough to connect to: one that is older than a pass of the inventory is asked for again."""

from dataclasses import replace
from datetime import timedelta

from portico import logs
from portico.domain import sync
from portico.domain.jobs import CenterScan
from portico.domain.model import Desktop, Reason
from portico.errors import Conflict, PorticoError
from portico.services.broker import Broker
from portico.services.clouds import open_cloud
from portico.services.explaining import sentence
from portico.services.queueing import enqueue
from portico.store import centers, desktops
from portico.store.scope import System

_SCOPE = System("checking an address")
_ADDRESSES = ("address", "public_address")
log = logs.get(__name__)


def fresh(broker: Broker, desktop: Desktop) -> Desktop:
    """Return the desktop with addresses no older than one pass of its center; the cloud is asked for one machine where need be.

    A cloud that does not answer leaves the address as it is: an outage of a cloud's interface does not keep people from their
    desktops. Raises Conflict when the machine is no more.
    """
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, desktop.center_id)
    if center is None or not center.active or desktop.external_id is None:
        return desktop
    age = broker.now() - center.scanned_at if center.scanned_at else timedelta.max
    if age <= timedelta(seconds=center.scan_seconds):
        return desktop
    try:
        seen = open_cloud(broker, center).look(desktop.external_id)
    except PorticoError as problem:
        log.warning("an address could not be checked", desktop=desktop.id, center=center.id, problem=problem.sentence)
        return desktop
    with broker.db.write() as conn:
        if seen is None or seen.gone:
            # Only a pass takes a desktop for gone; it comes at once.
            enqueue(broker, conn, "center_scan", CenterScan(center.id, full=True), tenant_id=center.tenant_id)
        else:
            changed = sync.changes(desktop, seen)
            moved = {name: changed[name] for name in _ADDRESSES if name in changed}
            if moved:
                desktops.change(conn, desktop.id, broker.now(), **moved)
            return replace(desktop, **moved)  # type: ignore[arg-type]
    raise Conflict(sentence(Reason("desktop.vanished")))
