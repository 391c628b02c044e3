"""Recordings: expected when a session opens, taken in pieces from gateways, read by those who may, deleted in time.

Files are as gateways sealed them; nothing but a read by a role that reaches recordings opens one, and each read is an event.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from portico import logs
from portico.domain.access import Actor
from portico.domain.model import ProtocolPlan
from portico.errors import Conflict, NotFound, PorticoError
from portico.services.broker import Broker
from portico.services.guards import require, scope_of
from portico.store import events, recordings
from portico.store.scope import System
from portico.wire.recordings import BadRecording, Opener

log = logs.get(__name__)

PROTOCOLS = ("vnc", "ssh", "rdp")
UNFINISHED_DAYS = 14  # how long a gateway may keep one to itself
_SCOPE = System("recordings")


class Full(PorticoError):
    """There is no room for more recordings."""

    code = "recordings.full"


@dataclass(frozen=True, slots=True)
class Plain:
    """A recording that may be read: what is known of it, its format, and its content."""

    row: Any
    format: str
    pieces: Iterator[bytes]


def folder(broker: Broker) -> Path:
    """Return where the files are; brokers of one deployment share it."""
    given = broker.config.recordings
    return broker.config.state / "recordings" if given == Path() else given


def expect(
    broker: Broker, plan: ProtocolPlan, row: Any, gateway_id: str, protocol: str, login_name: str
) -> dict[str, str] | None:
    """Note a recording before its session opens at a gateway; returns what its gateway must know, None where the plan wants none."""
    if not plan.records or protocol not in PROTOCOLS:
        return None
    recording_id, now = broker.new_id(), broker.now()
    public = broker.keys.recording_key(row.tenant_id, now)
    with broker.db.write() as conn:
        recordings.add(
            conn, id=recording_id, tenant_id=row.tenant_id, name=row.d_display_name or row.d_name, user_name=login_name,
            user_id=row.user_id, desktop_id=row.d_id, connection_id=row.id, gateway_id=gateway_id, protocol=protocol, created_at=now,
        )  # fmt: skip
    return {"id": recording_id, "mode": plan.recording, "key": row.tenant_id, "public": public}


def take(
    broker: Broker, gateway_id: str, recording_id: str, offset: int, content: bytes, digest: str
) -> dict[str, Any]:
    """Take a piece from the gateway that made it; returns what is here now. Raises NotFound, also for another's, Full."""
    with broker.db.read() as conn:
        row = recordings.find(conn, _SCOPE, recording_id)
        used = recordings.total_bytes(conn) if offset == 0 else 0
    if row is None or row.gateway_id not in (None, gateway_id):
        raise NotFound("No recording of this id is wanted.")
    if row.state != "expected":
        return {"size": row.bytes, "done": True}
    if used + len(content) > broker.config.recordings_gib << 30:
        raise Full("There is no room for more recordings: raise recordings_gib, or keep them for fewer days.")
    part = _path(broker, recording_id, ".part")
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    size = part.stat().st_size if part.exists() else 0
    if offset == size:
        with part.open("ab") as file:
            file.write(content)
        size += len(content)
    if not digest or offset + len(content) != size:
        return {"size": size, "done": False}
    with part.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            part.unlink()
            return {"size": 0, "done": False}
    return _keep(broker, row, part, size, digest)


def _keep(broker: Broker, row: Any, part: Path, size: int, digest: str) -> dict[str, Any]:
    complete = _is_complete(broker, row, part)
    part.replace(_path(broker, row.id))
    with broker.db.write() as conn:
        state = "complete" if complete else "cut off"
        if recordings.finish(conn, row.id, state=state, bytes=size, sha256=digest, finished_at=broker.now()):
            entry = events.Entry(
                broker.now(), "recording.kept" if complete else "recording.cut_off", row.tenant_id,
                level="info" if complete else "warning", params={"desktop": row.name, "user": row.user_name},
                user_id=row.user_id, desktop_id=row.desktop_id, correlation=row.id,
            )  # fmt: skip
            events.add(conn, entry)
    return {"size": size, "done": True}


def _is_complete(broker: Broker, row: Any, path: Path) -> bool:
    """Read all of it once, so that a broken one is known at once rather than when it is needed."""
    private = broker.keys.recording_private(row.tenant_id)
    try:
        with path.open("rb") as file:
            if private is None:
                return False
            opener = Opener(file, private)
            for _ in opener.pieces():
                pass
            return opener.complete and opener.fields.get("id") == row.id
    except BadRecording as problem:
        log.error("a recording cannot be read", recording=row.id, because=str(problem))
        return False


def open_plain(broker: Broker, actor: Actor, recording_id: str) -> Plain:
    """Open a recording for reading, and note who did. Raises Denied, NotFound, Conflict when it is not here yet."""
    require(actor, "recordings", narrowed=True)
    with broker.db.read() as conn:
        row = recordings.find(conn, scope_of(actor), recording_id)
    private = broker.keys.recording_private(actor.tenant_id)
    if row is None or private is None:
        raise NotFound("There is no such recording.")
    if row.state == "expected":
        raise Conflict(
            "The gateway has not sent this recording yet: the session is still open, or the gateway is away."
        )
    try:
        file = _path(broker, recording_id).open("rb")
    except FileNotFoundError as problem:
        raise NotFound(
            "The file of this recording is not here. Brokers of one deployment must share `recordings`."
        ) from problem
    try:
        opener = Opener(file, private)
    except BadRecording as problem:
        file.close()
        raise Conflict("This recording cannot be read: it was changed after it was made.") from problem
    with broker.db.write() as conn:
        entry = events.Entry(
            broker.now(), "recording.watched", actor.tenant_id, actor.login_name, params={"desktop": row.name, "user": row.user_name},
            user_id=row.user_id, desktop_id=row.desktop_id, correlation=row.id,
        )  # fmt: skip
        events.add(conn, entry)
    return Plain(row, str(opener.fields.get("format", "")), _reading(opener, file, recording_id))


def _reading(opener: Opener, file: Any, recording_id: str) -> Iterator[bytes]:
    with file:
        try:
            yield from opener.pieces()
        except BadRecording as problem:  # what came before is genuine
            log.error("a recording was changed", recording=recording_id, because=str(problem))


def purge(broker: Broker, tenant_id: str, days: int) -> int:
    """Delete a tenant's recordings that are older than so many days; returns how many."""
    now = broker.now()
    with broker.db.read() as conn:
        old = recordings.list_old(conn, tenant_id, now - timedelta(days=days), now - timedelta(days=UNFINISHED_DAYS))
    for recording_id in old:
        _unlink(broker, recording_id)
    with broker.db.write() as conn:
        recordings.remove(conn, old)
    return len(old)


def sweep(broker: Broker) -> None:
    """Delete the files whose recordings were deleted."""
    names = {path.stem for path in folder(broker).glob("*.*")} if folder(broker).is_dir() else set()
    with broker.db.read() as conn:
        gone = names - recordings.known(conn, names)
    for recording_id in gone:
        _unlink(broker, recording_id)


def _unlink(broker: Broker, recording_id: str) -> None:
    for ending in (".rec", ".part"):
        with suppress(FileNotFoundError):
            _path(broker, recording_id, ending).unlink()


def _path(broker: Broker, recording_id: str, ending: str = ".rec") -> Path:
    return folder(broker) / f"{recording_id}{ending}"
