"""Join keys: a secret that an administrator puts into an image, by which its agents are admitted. Kept as a hash."""

import secrets
from datetime import timedelta
from typing import Any

from portico.domain.access import Actor, Level
from portico.errors import Invalid, NotFound
from portico.services.broker import Broker
from portico.services.guards import require
from portico.services.sessions import hash_secret
from portico.store import centers, events, waiting
from portico.store.scope import Tenant

MOST_DAYS = 3650


def create(broker: Broker, actor: Actor, name: str, center_id: str | None, days: int | None) -> dict[str, Any]:
    """Make a key for a center (None: all of the tenant) that ends after `days` (None: never); `key` is told only here.

    Raises Denied, Invalid naming the field.
    """
    require(actor, "desktops", Level.EDIT)
    wrong: dict[str, str] = {}
    if not name.strip() or len(name) > 200 or not name.isprintable():
        wrong["name"] = "Give a name of at most 200 characters."
    if days is not None and not 1 <= days <= MOST_DAYS:
        wrong["days"] = f"Give a number from 1 to {MOST_DAYS}, or nothing."
    secret, now, key_id = secrets.token_urlsafe(32), broker.now(), broker.new_id()
    expires_at = now + timedelta(days=days) if days and not wrong else None
    with broker.db.write() as conn:
        if center_id is not None and centers.get(conn, Tenant(actor.tenant_id), center_id) is None:
            wrong["center_id"] = "There is no such center."
        if wrong:
            raise Invalid("The key cannot be made so.", wrong)
        waiting.add_key(
            conn, id=key_id, tenant_id=actor.tenant_id, center_id=center_id, name=name.strip(),
            secret_hash=hash_secret(secret), created_at=now, expires_at=expires_at,
        )  # fmt: skip
        params = {"name": name.strip()}
        events.add(conn, events.Entry(now, "join-key.created", actor.tenant_id, actor.login_name, params=params))
    return {
        "id": key_id,
        "name": name.strip(),
        "key": secret,
        "expires_at": expires_at.isoformat() if expires_at else None,
    }


def list_keys(broker: Broker, actor: Actor) -> list[dict[str, Any]]:
    """Return the keys that are not revoked, the newest first. Raises Denied."""
    require(actor, "desktops")
    with broker.db.read() as conn:
        rows = waiting.list_keys(conn, actor.tenant_id)
    times = ("created_at", "expires_at", "used_at")
    return [
        {"id": row.id, "name": row.name, "center_id": row.center_id, "uses": row.uses}
        | {field: at.isoformat() if (at := getattr(row, field)) else None for field in times}
        for row in rows
    ]


def revoke(broker: Broker, actor: Actor, key_id: str) -> None:
    """End a key: it admits nobody from now on; agents that it admitted stay. Raises NotFound, Denied."""
    require(actor, "desktops", Level.EDIT)
    with broker.db.write() as conn:
        if not waiting.revoke_key(conn, actor.tenant_id, key_id, broker.now()):
            raise NotFound("There is no such key. Perhaps it was revoked.")
        entry = events.Entry(
            broker.now(), "join-key.revoked", actor.tenant_id, actor.login_name, params={"key": key_id}
        )
        events.add(conn, entry)
