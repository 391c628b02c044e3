"""Centers and the images that their scans found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from portico.store.scope import Scope, within
from portico.store.tables import centers, images


@dataclass(frozen=True, slots=True)
class Center:
    """A place that desktops come from. `settings` are the driver's own, without its secrets."""

    id: str
    tenant_id: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    sealed_secrets: str | None
    active: bool
    offer_desktops: bool
    new_as_deletable: bool
    start_unavailable: bool
    realm: str
    scan_seconds: int
    fast_scan_seconds: int
    full_pass_seconds: int
    status: str
    status_reason: str
    scanned_at: datetime | None
    full_pass_at: datetime | None
    pass_number: int
    version: int


# What an administrator may set, with what holds where nothing was set.
BODY: Mapping[str, Any] = {
    "settings": {},
    "active": True,
    "offer_desktops": True,
    "new_as_deletable": False,
    "start_unavailable": False,
    "realm": "",
    "scan_seconds": 60,
    "fast_scan_seconds": 5,
    "full_pass_seconds": 900,
    "notes": "",
}
_COLUMNS = ("id", "tenant_id", "name", "kind", "sealed_secrets", "status", "status_reason", "scanned_at", "full_pass_at",
            "pass_number", "version")  # fmt: skip


def record(row: Row[Any]) -> Center:
    """Build a center from its row."""
    body = {key: row.body.get(key, value) for key, value in BODY.items() if key != "notes"}
    return Center(**{name: row._mapping[name] for name in _COLUMNS}, **body)


def get(conn: Connection, scope: Scope, center_id: str, *, deleted: bool = False) -> Center | None:
    """Return a center that was not deleted; with `deleted`, also one that was."""
    query = select(centers).where(within(scope, centers), centers.c.id == center_id)
    if not deleted:
        query = query.where(centers.c.deleted_at.is_(None))
    row = conn.execute(query).first()
    return record(row) if row else None


def list_all(conn: Connection, scope: Scope) -> list[Center]:
    """Return all centers in the scope."""
    rows = conn.execute(select(centers).where(within(scope, centers), centers.c.deleted_at.is_(None)))
    return [record(row) for row in rows]


def change(conn: Connection, center_id: str, **values: Any) -> None:
    """Change columns of a center's own state."""
    conn.execute(update(centers).where(centers.c.id == center_id).values(values))


def write_images(
    conn: Connection, center: Center, found: Sequence[Mapping[str, Any]], now: datetime, new_id: Any, *, complete: bool
) -> dict[str, str]:
    """Keep the images of a scan; those missing from a complete one are marked deleted and returned, id → name."""
    known = {row.external_id: row for row in conn.execute(select(images).where(images.c.center_id == center.id))}
    for image in found:
        row = known.pop(image["external_id"], None)
        values = {**image, "seen_at": now, "deleted_at": None}
        if row is None:
            conn.execute(insert(images).values(id=new_id(), tenant_id=center.tenant_id, center_id=center.id, **values))
        elif any(row._mapping[key] != value for key, value in values.items() if key != "seen_at"):
            conn.execute(update(images).where(images.c.id == row.id).values(values))
    vanished = [row for row in known.values() if row.deleted_at is None] if complete else []
    if vanished:
        conn.execute(update(images).where(images.c.id.in_([row.id for row in vanished])).values(deleted_at=now))
    return {row.external_id: row.name for row in vanished}


def take_turn(conn: Connection, center_id: str) -> None:
    """Let brokers decide about a center's machines one after the other: until this transaction ends, others wait here."""
    conn.execute(update(centers).where(centers.c.id == center_id).values(status=centers.c.status))


def boot_seconds(conn: Connection, center_id: str, image_id: str) -> float | None:
    """Return how long machines of an image (the center's own id) usually take to answer; None when none did yet."""
    here = (images.c.center_id == center_id) & (images.c.external_id == image_id)
    found: float | None = conn.scalar(select(images.c.boot_seconds).where(here))
    return found


def keep_boot_seconds(conn: Connection, center_id: str, image_id: str, seconds: float) -> None:
    """Keep what is known of how long machines of an image take to answer."""
    here = (images.c.center_id == center_id) & (images.c.external_id == image_id)
    conn.execute(update(images).where(here).values(boot_seconds=round(seconds, 1)))


def deleted_images(conn: Connection, scope: Scope) -> dict[tuple[str, str], str]:
    """Return the images that were deleted in their cloud: (center, the center's own id) → name."""
    rows = conn.execute(select(images).where(within(scope, images), images.c.deleted_at.is_not(None)))
    return {(row.center_id, row.external_id): row.name for row in rows}
