"""The same project in two centers: a machine is offered once, by the center that had it first."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from portico.domain.model import Status
from portico.domain.sync import Seen
from portico.services import membership
from portico.services.broker import Broker
from portico.store import desktops, events, twins
from portico.store.centers import Center

# Only where a cloud gives ids that are unique in the world does the same id mean the same machine.
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


def without_tags(
    broker: Broker, center: Center, machines: Sequence[Seen], known: set[str]
) -> tuple[tuple[Seen, ...], set[str]]:
    """Return the machines, those that live in another center stripped of our tags there, and the ids of these.

    A desktop that another center has made is no leak here, and its row is not this center's to move.
    """
    strange = [one for one in machines if one.external_id not in known and _UUID.search(one.external_id)]
    with broker.db.read() as conn:
        others = twins.list_others(conn, center) if strange else []
        if not others:
            return tuple(machines), set()
        tags = [one.desktop_id for one in strange if one.desktop_id and one.deployment_id == broker.deployment_id]
        rows = twins.list_living(conn, others, [one.external_id for one in strange], tags)
    ids, external = {row.id for row in rows}, {row.external_id for row in rows if row.external_id}
    elsewhere = {one.external_id for one in strange if one.external_id in external or one.desktop_id in ids}
    plain = (
        replace(one, desktop_id=None, deployment_id=None) if one.external_id in elsewhere else one for one in machines
    )
    return tuple(plain), elsewhere


def settle(broker: Broker, center: Center) -> None:
    """Mark the center's duplicates, and let those count whose twin is no more."""
    with broker.db.read() as conn:
        others = twins.list_others(conn, center)
        new = (
            [row for row in twins.list_new(conn, center.id, others) if _UUID.search(row.external_id)] if others else []
        )
        single = twins.list_single(conn, center.id, others)
    if not new and not single:
        return
    now = broker.now()
    with broker.db.write() as conn:
        for row in new:
            # What it goes back to when it counts again is kept where a new desktop's first status is.
            desktops.change(
                conn, row.id, now, status=str(Status.DUPLICATE), start_unavailable=row.status != Status.AVAILABLE
            )
        for row in single:
            status = Status.UNAVAILABLE if row.start_unavailable else Status.AVAILABLE
            desktops.change(conn, row.id, now, status=str(status))
        membership.place(broker, conn, [row.id for row in (*new, *single)])
        entries = [_entry(broker, center, row, "desktop.duplicate") for row in new]
        events.add(conn, *entries, *(_entry(broker, center, row, "desktop.counts_again") for row in single))


def _entry(broker: Broker, center: Center, row: Any, code: str) -> events.Entry:
    params = {"desktop": row.name, "center": center.name}
    return events.Entry(broker.now(), code, row.tenant_id, params=params, desktop_id=row.id, center_id=center.id)
