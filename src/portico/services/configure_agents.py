"""Agents that wait, and the join keys that admit them, as administrators handle them."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from portico.services.broker import Broker
from portico.services.nouns import Noun
from portico.services.sessions import hash_secret
from portico.services.writing import Write, Writer, missing, unique
from portico.store import tables as t


class JoinKeys(Writer):
    """Secrets that administrators put into images. Only a hash is kept, and the secret is shown once."""

    def prepare(self, broker: Broker, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """Make the secret."""
        return {"secret": secrets.token_urlsafe(32)}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, and that the center is there."""
        return unique(write, "name") | missing(write, t.centers, {"center_id": write.values["center_id"]}, "center")

    def row(self, write: Write) -> dict[str, Any]:
        """Keep only a hash of the secret."""
        days = write.values["days"]
        return {
            "name": write.values["name"],
            "center_id": write.values["center_id"] or None,
            "secret_hash": hash_secret(write.ready["secret"]),
            "expires_at": write.broker.now() + timedelta(days=days) if days else None,
            "uses": 0,
        }

    def after(self, write: Write) -> dict[str, Any]:
        """Answer with the key, once."""
        return {"secret": write.ready["secret"]}

    def delete(self, write: Write) -> dict[str, Any]:
        """Revoke the key: it admits nobody from now on; agents that it admitted stay."""
        gone = update(t.join_keys).where(t.join_keys.c.id == write.id).values(deleted_at=write.broker.now())
        return {"deleted": write.conn.execute(gone).rowcount}


class WaitingAgents(Writer):
    """Agents that ask to be admitted. They come by themselves."""

    def show(self, conn: Connection, noun: Noun, rows: list[Any]) -> dict[Any, dict[str, Any]]:
        """Add the name of the desktop that each claims, in one statement."""
        ids = {row.desktop_id for row in rows if row.desktop_id}
        query = select(t.desktops.c.id, t.desktops.c.name).where(t.desktops.c.id.in_(ids))
        names = {row.id: row.name for row in conn.execute(query)} if ids else {}
        return {row.id: {"desktop": names.get(row.desktop_id, "")} for row in rows}
