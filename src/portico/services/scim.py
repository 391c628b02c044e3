"""Provisioning by SCIM 2.0: who may come in by a directory, what rules know of them, and that who leaves is out at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from portico.domain import scim as rules
from portico.domain.access import Actor, Level
from portico.domain.directories import DirectoryRecord, Identity
from portico.domain.login import split_name
from portico.domain.model import Reason
from portico.domain.scim import GROUP, USER, ScimUser
from portico.errors import Conflict, NotFound
from portico.services import people
from portico.services.broker import Broker
from portico.services.guards import require
from portico.store import scim as store
from portico.store import tables as t

MAX_PAGE = 200
USER_FILTERS = {"username": "user_name", "externalid": "external_id", "id": "id"}
GROUP_FILTERS = {"displayname": "display_name", "externalid": "external_id", "id": "id"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of resources, and how many there are in all."""

    items: tuple[Mapping[str, Any], ...]
    total: int


def directory_of(broker: Broker, actor: Actor, directory_id: str) -> DirectoryRecord:
    """Return a directory of the tenant that takes provisioned people. Raises Denied, NotFound."""
    require(actor, "directories", Level.EDIT)
    found = broker.snapshots.get().directories.get(directory_id)
    if found is None or found.tenant_id != actor.tenant_id or not found.provisioned:
        raise NotFound("No directory here takes people by SCIM. Switch it on in the directory's settings.")
    return found


def list_users(broker: Broker, directory: DirectoryRecord, filter: str, start: int, count: int) -> Listed:
    """Return users. Raises BadValue for a filter that is not taken."""
    where = rules.read_filter(filter, USER_FILTERS)
    if where is not None and where[0] == "user_name":
        where = ("user_name", split_name(where[1])[0])
    with broker.db.read() as conn:
        rows, total = store.page(conn, t.scim_users, directory.id, where, max(0, start - 1), min(count, MAX_PAGE))
    return Listed(tuple(_user(row) for row in rows), total)


def get_user(broker: Broker, directory: DirectoryRecord, id: str) -> Mapping[str, Any]:
    """Return a user. Raises NotFound."""
    with broker.db.read() as conn:
        row = store.find(conn, t.scim_users, directory.id, id)
    if row is None:
        raise NotFound("There is no such user.")
    return _user(row)


def create_user(broker: Broker, directory: DirectoryRecord, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Provision somebody. Raises BadValue, Conflict when the name is taken."""
    user, now, id = rules.read_user(sent), broker.now(), broker.new_id()
    try:
        with broker.db.write() as conn:
            common = {"id": id, "tenant_id": directory.tenant_id, "directory_id": directory.id, "created_at": now}
            store.add(conn, t.scim_users, **common, **_row(user, now))
            row = store.find(conn, t.scim_users, directory.id, id)
    except IntegrityError as problem:
        raise Conflict("There is a user of this name already.") from problem
    _follow(broker, directory, user.user_name, active=user.active)
    return _user(row)


def change_user(
    broker: Broker, directory: DirectoryRecord, id: str, sent: Mapping[str, Any], *, patch: bool
) -> Mapping[str, Any]:
    """Replace or patch a user; who is no longer active is out at once. Raises BadValue, NotFound, Conflict."""
    try:
        with broker.db.write() as conn:
            row = store.find(conn, t.scim_users, directory.id, id)
            if row is None:
                raise NotFound("There is no such user.")
            before = _read(row)
            user = rules.patch_user(before, sent) if patch else rules.read_user(sent)
            store.change(conn, t.scim_users, directory.id, id, **_row(user, broker.now()))
            row = store.find(conn, t.scim_users, directory.id, id)
    except IntegrityError as problem:
        raise Conflict("There is a user of this name already.") from problem
    if before.user_name != user.user_name:
        _follow(broker, directory, before.user_name, active=False)
    _follow(broker, directory, user.user_name, active=user.active)
    return _user(row)


def delete_user(broker: Broker, directory: DirectoryRecord, id: str) -> None:
    """Forget somebody, who is out at once. Raises NotFound."""
    with broker.db.write() as conn:
        row = store.find(conn, t.scim_users, directory.id, id)
        if row is None or not store.remove(conn, t.scim_users, directory.id, id):
            raise NotFound("There is no such user.")
    _follow(broker, directory, _read(row).user_name, active=False)


def list_groups(broker: Broker, directory: DirectoryRecord, filter: str, start: int, count: int) -> Listed:
    """Return groups with their members. Raises BadValue for a filter that is not taken."""
    where = rules.read_filter(filter, GROUP_FILTERS)
    with broker.db.read() as conn:
        rows, total = store.page(conn, t.scim_groups, directory.id, where, max(0, start - 1), min(count, MAX_PAGE))
        members = store.members(conn, [row.id for row in rows])
    return Listed(tuple(_group(row, members[row.id]) for row in rows), total)


def get_group(broker: Broker, directory: DirectoryRecord, id: str) -> Mapping[str, Any]:
    """Return a group. Raises NotFound."""
    with broker.db.read() as conn:
        row = store.find(conn, t.scim_groups, directory.id, id)
        if row is None:
            raise NotFound("There is no such group.")
        return _group(row, store.members(conn, [id])[id])


def create_group(broker: Broker, directory: DirectoryRecord, sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Provision a group. Raises BadValue, Conflict when the name is taken."""
    id, now = broker.new_id(), broker.now()
    name, members = _whole_group(sent)
    external = rules.put(ScimUser("x"), "externalId", sent.get("externalId")).texts.get("external_id", "")
    try:
        with broker.db.write() as conn:
            values = {
                "tenant_id": directory.tenant_id,
                "display_name": name,
                "external_id": external,
                "created_at": now,
                "updated_at": now,
            }
            store.add(conn, t.scim_groups, id=id, directory_id=directory.id, **values)
            store.set_members(conn, directory.id, id, members, now)
    except IntegrityError as problem:
        raise Conflict("There is a group of this name already.") from problem
    return get_group(broker, directory, id)


def change_group(
    broker: Broker, directory: DirectoryRecord, id: str, sent: Mapping[str, Any], *, patch: bool
) -> Mapping[str, Any]:
    """Replace or patch a group. Raises BadValue, NotFound, Conflict."""
    try:
        with broker.db.write() as conn:
            row = store.find(conn, t.scim_groups, directory.id, id)
            if row is None:
                raise NotFound("There is no such group.")
            there = frozenset(store.members(conn, [id])[id])
            name, members = rules.patch_members(row.display_name, there, sent) if patch else _whole_group(sent)
            store.change(conn, t.scim_groups, directory.id, id, display_name=name)
            store.set_members(conn, directory.id, id, members, broker.now())
    except IntegrityError as problem:
        raise Conflict("There is a group of this name already.") from problem
    return get_group(broker, directory, id)


def delete_group(broker: Broker, directory: DirectoryRecord, id: str) -> None:
    """Forget a group. Raises NotFound."""
    with broker.db.write() as conn:
        if not store.remove(conn, t.scim_groups, directory.id, id):
            raise NotFound("There is no such group.")


def enrich(conn: Connection, directory: DirectoryRecord, identity: Identity) -> Identity | Reason:
    """Add what was provisioned of somebody to what their directory says; who was not, or is inactive, does not come in."""
    found = store.person(conn, directory.id, split_name(identity.login_name)[0])
    if found is None:
        return Reason("login.not_provisioned", {"directory": directory.name})
    row, groups = found
    if not row.active:
        return Reason("login.disabled", {"directory": directory.name})
    user = _read(row)
    attributes = {**identity.attributes, **{name: (text,) for name, text in user.texts.items()}}
    return replace(
        identity,
        display_name=user.texts.get("display_name") or user.texts.get("formatted") or identity.display_name,
        email=user.email or identity.email,
        groups=tuple(sorted({*identity.groups, *groups}, key=str.casefold)),
        attributes=attributes,
    )


def _follow(broker: Broker, directory: DirectoryRecord, user_name: str, *, active: bool) -> None:
    """Bar or let in whoever has logged in by this name before."""
    name = split_name(user_name)[0]
    mine = (t.users.c.directory == directory.id) & (t.users.c.login_name == name) & t.users.c.deleted_at.is_(None)
    with broker.db.read() as conn:
        row = conn.execute(select(t.users).where(mine)).first()
    if row is not None:
        people.settle(broker, directory, row, Identity(row.subject, name) if active else None)


def _whole_group(sent: Mapping[str, Any]) -> tuple[str, frozenset[str]]:
    operation = {
        "op": "replace",
        "value": {"displayName": sent.get("displayName"), "members": sent.get("members") or []},
    }
    return rules.patch_members("", frozenset(), {"Operations": [operation]})


def _row(user: ScimUser, now: Any) -> dict[str, Any]:
    body = {"user_name": user.user_name, "email": user.email, "texts": dict(user.texts)}
    external = user.texts.get("external_id", "")
    return {
        "user_name": split_name(user.user_name)[0],
        "external_id": external,
        "active": user.active,
        "body": body,
        "updated_at": now,
    }


def _read(row: Any) -> ScimUser:
    return ScimUser(row.body["user_name"], row.active, row.body["email"], row.body["texts"])


def _user(row: Any) -> dict[str, Any]:
    user = _read(row)
    texts = user.texts
    name = {
        "formatted": texts.get("formatted"),
        "givenName": texts.get("given_name"),
        "familyName": texts.get("family_name"),
    }
    shown: dict[str, Any] = {
        "schemas": [USER], "id": row.id, "externalId": texts.get("external_id"), "userName": user.user_name, "active": user.active,
        "displayName": texts.get("display_name"), "title": texts.get("title"), "userType": texts.get("user_type"),
        "name": {key: text for key, text in name.items() if text} or None,
        "emails": [{"value": user.email, "primary": True}] if user.email else None,
        "meta": _meta("User", row),
    }  # fmt: skip
    if "department" in texts:
        shown["schemas"] = [USER, rules.ENTERPRISE]
        shown[rules.ENTERPRISE] = {"department": texts["department"]}
    return {key: value for key, value in shown.items() if value is not None}


def _group(row: Any, members: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "schemas": [GROUP], "id": row.id, "displayName": row.display_name, "members": [{"value": id} for id in sorted(members)],
        "meta": _meta("Group", row),
    }  # fmt: skip
    return shown | ({"externalId": row.external_id} if row.external_id else {})


def _meta(kind: str, row: Any) -> dict[str, str]:
    return {"resourceType": kind, "created": row.created_at.isoformat(), "lastModified": row.updated_at.isoformat()}
