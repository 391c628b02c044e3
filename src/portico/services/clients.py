"""Devices in front of people: each has a record from the first log-in at it on. It says what is there, and proves nothing."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from portico.domain.locations import system_of
from portico.domain.model import Client, User
from portico.services.broker import Broker
from portico.store import clients as store

_KEPT = ("kind", "name", "os", "user_agent", "entrance", "device", "os_version", "maker", "model", "software")


def id_of(tenant_id: str, device: str) -> str | None:
    """Return the id of a device's record in a tenant; None for one without a name to be known by."""
    return str(UUID(bytes=sha256(f"{tenant_id}:{device}".encode()).digest()[:16])) if device else None


def saw(broker: Broker, conn: Connection, user: User, client: Client) -> None:
    """Note that somebody logged in at a device: one statement, more only for a new one."""
    id, now = id_of(user.tenant_id, client.device), broker.now()
    if id is None:
        return
    seen = {
        "kind": client.kind, "os": system_of(client), "os_version": client.os_version, "maker": client.maker,
        "model": client.model, "macs": list(client.macs), "software": client.software, "address": client.address,
        "user_id": user.id, "seen_at": now,
    }  # fmt: skip
    first = {
        "tenant_id": user.tenant_id, "name": client.name or client.software or client.kind, "notes": "", "version": 1,
        "created_at": now, "updated_at": now,
    }  # fmt: skip
    store.saw(conn, id, seen, first)


def kept(client: Client) -> dict[str, Any]:
    """Return what a session keeps of the device that it was opened at."""
    return {name: getattr(client, name)[:300] for name in _KEPT} | {"macs": list(client.macs)}


def of_record(item: Mapping[str, Any]) -> Client:
    """Return a device from its record, as locations look at it; where it came in is known of its log-ins alone."""
    said: dict[str, Any] = {
        name: str(item[name]) for name in ("kind", "name", "os", "os_version", "maker", "model", "software")
    }
    return Client(str(item["address"]), macs=tuple(item["macs"]), **said)


def read(row: Mapping[str, Any], address: str) -> Client:
    """Return the device that a session was opened at, from what it keeps."""
    said: dict[str, Any] = {name: str(row.get(name) or "") for name in _KEPT}
    macs = row.get("macs")
    said["kind"] = said["kind"] or "api"
    return Client(address, macs=tuple(str(one) for one in macs) if isinstance(macs, list) else (), **said)
