"""API tokens: of people, and of service accounts, which are programs. A token never reaches further than who has it does now."""

import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select, update

from portico.domain.access import AREAS, PORTAL, Actor, Level, may
from portico.errors import Denied, Invalid, NotFound
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.configure_people import refuse_stronger, refuse_stronger_roles
from portico.services.listing import reach
from portico.services.nouns import NOUNS
from portico.services.sessions import hash_secret
from portico.services.writing import Write, Writer, not_networks
from portico.store import tables as t

MAX_HOURS = 168  # how long a secret that was changed may still be good


class Tokens(Writer):
    """API tokens; the secret is shown once."""

    def prepare(self, broker: Broker, fields: Mapping[str, Any], *, new: bool) -> dict[str, Any]:
        """Make the secret."""
        return {"secret": secrets.token_urlsafe(32)}

    def check(self, write: Write) -> dict[str, str]:
        """Check the name, the scopes and the networks; raises Denied for whom one may not make any."""
        values, owner = write.values, _owner(write)
        wrong = {} if values["name"].strip() else {"name": "Fill this in."}
        for area, level in (values["scopes"] or {}).items():
            if area not in (*AREAS, PORTAL):
                wrong[f"scopes.{area}"] = f"Choose one of {', '.join((PORTAL, *AREAS))}."
            elif level not in tuple(Level):
                wrong[f"scopes.{area}"] = 'Choose "view" or "edit".'
        if owner is None:
            wrong["user_id"] = "There is no service account of this id."
        elif owner.service:
            refuse_stronger(write, {owner.role_id})
        return wrong | not_networks("networks", values["networks"])

    def row(self, write: Write) -> dict[str, Any]:
        """Keep only a hash of the secret."""
        values = write.values
        until = write.broker.now() + timedelta(days=values["days"]) if values["days"] else None
        return {
            "name": values["name"].strip(),
            "user_id": values["user_id"] or write.actor.user_id,
            "scopes": None if values["scopes"] is None else dict(values["scopes"]),
            "networks": list(values["networks"]) or None,
            "secret_hash": hash_secret(write.ready["secret"]),
            "expires_at": until,
        }

    def after(self, write: Write) -> dict[str, Any]:
        """Answer with the bearer, once."""
        return {"secret": f"pt.{write.id}.{write.ready['secret']}"}

    def users(self, write: Write) -> list[str]:
        """Nothing keeps a token from being revoked; raises Denied for one that is not the actor's to revoke."""
        _refuse_foreign(write.conn, write.actor, write.old)
        return []

    def delete(self, write: Write) -> dict[str, Any]:
        """Revoke the token."""
        gone = update(t.api_tokens).where(t.api_tokens.c.id == write.id).values(revoked_at=write.broker.now())
        return {"deleted": write.conn.execute(gone).rowcount}


def rotate(broker: Broker, actor: Actor, id: str, hours: int) -> dict[str, str]:
    """Give a token a new secret, shown once; the one before is good for some more hours, 0: no longer. Raises NotFound, Denied, Invalid."""
    if not 0 <= hours <= MAX_HOURS:
        raise Invalid("The token was not changed.", {"hours": f"Give a number from 0 to {MAX_HOURS}."})
    tokens, now, secret = t.api_tokens, broker.now(), secrets.token_urlsafe(32)
    with broker.db.write() as conn:
        row = conn.execute(select(tokens).where(tokens.c.id == id, reach(NOUNS["tokens"], actor))).first()
        if row is None:
            raise NotFound("There is no such token. Perhaps it was revoked.")
        _refuse_foreign(conn, actor, row)
        # Who turns it twice at the same moment turns it once: the other one's secret would be lost.
        mine = (tokens.c.id == id) & (tokens.c.secret_hash == row.secret_hash)
        values = {
            "secret_hash": hash_secret(secret),
            "before_hash": row.secret_hash if hours else None,
            "before_until": now + timedelta(hours=hours) if hours else None,
        }
        if conn.execute(update(tokens).where(mine).values(values)).rowcount != 1:
            raise NotFound("Somebody has changed it at this moment. Look at it again.")
        announce(broker, conn, actor, "token.rotated", {"id": id, "name": row.name, "hours": hours})
    return {"secret": f"pt.{id}.{secret}"}


def _owner(write: Write) -> Any:
    """Return whose the token is to be: one's own, or a service account's of the tenant. Raises Denied."""
    id = write.values["user_id"]
    if write.actor.scoped:
        raise Denied("A token with scopes makes no tokens.")
    if not write.actor.role.may_use_api:
        raise Denied("Your role does not allow the API. Ask an administrator.")
    mine = (t.users.c.tenant_id == write.actor.tenant_id) & t.users.c.deleted_at.is_(None)
    if not id or id == write.actor.user_id:
        return write.conn.execute(select(t.users).where(mine, t.users.c.id == write.actor.user_id)).first()
    if not may(write.actor, "users", Level.EDIT):
        raise Denied("Your role does not let you make tokens of service accounts. Ask an administrator.")
    return write.conn.execute(select(t.users).where(mine, t.users.c.id == id, t.users.c.service.is_(True))).first()


def _refuse_foreign(conn: Connection, actor: Actor, row: Any) -> None:
    """Refuse whom a program's token is not to be changed by: its new secret would do what the program may."""
    if actor.scoped:
        raise Denied("A token with scopes changes no tokens.")
    if row.user_id == actor.user_id:
        return
    if not may(actor, "users", Level.EDIT):
        raise Denied("Your role does not let you change tokens of service accounts. Ask an administrator.")
    refuse_stronger_roles(conn, actor, set(conn.scalars(select(t.users.c.role_id).where(t.users.c.id == row.user_id))))
