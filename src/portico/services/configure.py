"""Listing, reading and writing every noun that administrators handle: one way in for the console, the API and the command line."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from portico.domain.access import Actor, Level, having_made, may_handle, may_make
from portico.errors import Conflict, Denied, Invalid, NotFound, Stale
from portico.services import configure_settings
from portico.services.broker import Broker
from portico.services.changes import announce, follow, register, renumber
from portico.services.configure_agents import JoinKeys, WaitingAgents
from portico.services.configure_centers import Centers
from portico.services.configure_directories import Directories
from portico.services.configure_fleet import Clients, Desktops, GatewayGroups, Gateways, Locations, Recordings
from portico.services.configure_people import Roles, Tenants, Users
from portico.services.configure_policies import Plans, Policies
from portico.services.configure_pools import Pools
from portico.services.configure_radius import Radius
from portico.services.configure_tokens import Tokens
from portico.services.listing import Page, Query, fetch, reach, there
from portico.services.narrowing import narrowed
from portico.services.nouns import MADE_ONCE, NOUNS, Noun, NounInfo, describe
from portico.services.shapes import merged, validate
from portico.services.writing import Write, Writer

__all__ = [
    "NOUNS", "NounInfo", "Page", "Query", "create_item", "delete_item", "describe", "get_item", "list_items", "register",
    "restore_item", "update_item",
]  # fmt: skip

_WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "centers": Centers(), "directories": Directories(), "radius-servers": Radius(), "pools": Pools(), "policies": Policies(), "protocol-plans": Plans(), "power-plans": Plans(),
        "release-plans": Plans(), "roles": Roles(), "users": Users(), "tenants": Tenants(), "desktops": Desktops(),
        "gateways": Gateways(), "gateway-groups": GatewayGroups(), "locations": Locations(), "clients": Clients(), "tokens": Tokens(), "join-keys": JoinKeys(), "waiting-agents": WaitingAgents(), "recordings": Recordings(),
    }
)  # fmt: skip
# What brokers keep in memory; a change of anything else needs no new configuration number.
_CONFIGURATION = frozenset(
    {
        "pools",
        "policies",
        "protocol-plans",
        "power-plans",
        "release-plans",
        "roles",
        "tenants",
        "centers",
        "locations",
        "directories",
        "radius-servers",
        "gateway-groups",
    }
)
_LINKS = {"users": "user_id", "desktops": "desktop_id", "pools": "pool_id", "centers": "center_id"}


def list_items(broker: Broker, actor: Actor, noun: str, query: Query) -> Page:
    """Return a page of items in a fixed number of statements. Raises Denied, NotFound (no such noun), Invalid (the query)."""
    kind = _noun(actor, noun, Level.VIEW)
    if noun == "settings":
        return configure_settings.list_all(broker, actor)
    with broker.db.read() as conn:
        page = fetch(conn, actor, kind, query)
        return Page(_shown(conn, actor, kind, page.rows), page.next, page.total)


def get_item(broker: Broker, actor: Actor, noun: str, id: str) -> dict[str, Any]:
    """Return an item. Raises Denied, and NotFound also for another tenant's."""
    kind = _noun(actor, noun, Level.VIEW)
    if noun == "settings":
        return configure_settings.get(broker, actor, id)
    with broker.db.read() as conn:
        return _shown(conn, actor, kind, [_row(conn, actor, kind, id)])[0]


def create_item(broker: Broker, actor: Actor, noun: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Make an item and return it. Raises Denied, Invalid (every wrong field at once), Conflict."""
    kind = _noun(actor, noun, Level.EDIT)
    if not kind.may_create:
        raise Denied(f"{kind.title} are not made by hand.")
    if not may_make(actor, noun):
        raise Denied(f"Your role is restricted to its pools and centers. It makes no {kind.title.lower()}.")
    values, wrong = validate(kind.form, fields)  # type: ignore[arg-type]
    writer = _WRITERS[noun]
    ready = {} if wrong else writer.prepare(broker, fields, new=True)
    try:
        with _writing(broker) as conn:
            write = Write(broker, conn, actor, kind, broker.new_id(), None, values, ready)
            _refuse(write, writer, wrong)
            now = broker.now()
            common = {"id": write.id, "tenant_id": actor.tenant_id, "version": 1, "created_at": now, "updated_at": now}
            row = {key: value for key, value in common.items() if key in kind.table.c}
            conn.execute(kind.table.insert().values(row | writer.first(write) | writer.row(write)))
            more = writer.after(write)
            _tell(write, "created")
            maker = having_made(actor, noun, write.id)
            return _shown(conn, maker, kind, [_row(conn, maker, kind, write.id)])[0] | more
    except IntegrityError as problem:
        raise _clash(problem) from problem


def update_item(
    broker: Broker, actor: Actor, noun: str, id: str, fields: Mapping[str, Any], version: int | None = None
) -> dict[str, Any]:
    """Change fields of an item; what is not named stays. Raises Conflict when `version` is no longer its version, Invalid, …"""
    kind = _noun(actor, noun, Level.EDIT)
    if noun == "settings":
        return configure_settings.change(broker, actor, id, fields)
    if kind.form is None or noun in MADE_ONCE:
        raise Denied(f"{kind.title} cannot be changed.")
    writer = _WRITERS[noun]
    ready = writer.prepare(broker, fields, new=False)
    try:
        with _writing(broker) as conn:
            old = _row(conn, actor, kind, id)
            if version is not None and kind.is_versioned and version != old.version:
                raise _meanwhile()
            values, wrong = validate(kind.form, merged(writer.form_values(conn, old), fields, kind.form))
            write = Write(broker, conn, actor, kind, id, old, values, ready)
            _refuse(write, writer, wrong)
            _overwrite(write, writer.row(write))
            more = writer.after(write)
            _tell(write, "changed")
            return _shown(conn, actor, kind, [_row(conn, actor, kind, id)])[0] | more
    except IntegrityError as problem:
        raise _clash(problem) from problem


def delete_item(broker: Broker, actor: Actor, noun: str, id: str) -> dict[str, Any]:
    """Delete an item and return what was done, in numbers. Raises Conflict naming what uses it."""
    kind = _noun(actor, noun, Level.EDIT)
    if not kind.may_delete:
        raise Denied(f"{kind.title} cannot be deleted here.")
    writer = _WRITERS[noun]
    with _writing(broker) as conn:
        write = Write(broker, conn, actor, kind, id, _row(conn, actor, kind, id), {}, {})
        users = writer.users(write)
        if users:
            shown = ", ".join(users[:5]) + (f" and {len(users) - 5} more" if len(users) > 5 else "")
            raise Conflict(f"It is in use by {shown}. Change or delete that first.", users=users)
        done = writer.delete(write)
        _tell(write, "deleted")
        return done


def restore_item(broker: Broker, actor: Actor, noun: str, id: str) -> dict[str, Any]:
    """Undo a deletion. Raises NotFound when there is nothing to restore, Conflict when its name was given away meanwhile."""
    kind = _noun(actor, noun, Level.EDIT)
    if "restore" not in kind.actions:
        raise Denied(f"{kind.title} cannot be restored.")
    table = kind.table
    try:
        with _writing(broker) as conn:
            deleted = (table.c.id == id) & reach(kind, actor) & table.c.deleted_at.is_not(None)
            back: dict[str, Any] = {"deleted_at": None, "updated_at": broker.now(), "version": table.c.version + 1}
            if noun == "policies":  # The default mark stays with whoever has it now.
                back["is_default"] = False
            if conn.execute(update(table).where(deleted).values(back)).rowcount != 1:
                raise NotFound("There is nothing to restore. Perhaps somebody did it already.")
            row = _row(conn, actor, kind, id)
            _tell(Write(broker, conn, actor, kind, id, row, {}, {}), "restored")
            return _shown(conn, actor, kind, [row])[0]
    except IntegrityError as problem:
        raise _clash(problem) from problem


@contextmanager
def _writing(broker: Broker) -> Iterator[Connection]:
    """A write transaction, after which this broker decides by what was written at once; others do so within a second."""
    with broker.db.write() as conn:
        yield conn
    broker.snapshots.expire()


def _noun(actor: Actor, name: str, level: Level) -> Noun:
    if name not in NOUNS:
        raise NotFound(f"There is no such thing as {name!r}.")
    noun = NOUNS[name]
    if noun.area and not may_handle(actor, noun.name, noun.area, level):
        wanted = "see" if level is Level.VIEW else "change"
        raise Denied(f"Your role does not let you {wanted} {noun.title.lower()}. Ask an administrator.")
    return noun


def _row(conn: Connection, actor: Actor, noun: Noun, id: str) -> Any:
    key: Any = id
    if noun.name == "events":
        key = int(id) if id.isascii() and id.isdigit() and len(id) < 19 else -1
    row = conn.execute(select(noun.table).where(noun.table.c.id == key, reach(noun, actor), there(noun))).first()
    if row is None:
        raise NotFound(f"There is no such {noun.singular.replace('-', ' ')}. Perhaps it was deleted.")
    return row


def _shown(conn: Connection, actor: Actor, noun: Noun, rows: list[Any]) -> list[dict[str, Any]]:
    writer = _WRITERS.get(noun.name)
    more = writer.show(conn, noun, rows) if writer and rows else {}
    items = [{name: _plain(row._mapping[name]) for name in noun.columns} | more.get(row.id, {}) for row in rows]
    return items if actor.reach is None else [narrowed(actor.reach, noun.name, item) for item in items]


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _refuse(write: Write, writer: Writer, wrong: Mapping[str, str]) -> None:
    """Add what the writer finds to what the form found; raises Invalid when anything is wrong."""
    found = dict(wrong)
    if write.values:
        found = writer.check(write) | found  # What the form says of a field is nearer to what was typed.
    if found:
        number = "One field needs" if len(found) == 1 else f"{len(found)} fields need"
        raise Invalid(f"{number} your attention.", found)


def _overwrite(write: Write, values: dict[str, Any]) -> None:
    table = write.noun.table
    here = table.c.id == write.id
    if "updated_at" in table.c:
        values = values | {"updated_at": write.broker.now()}
    if write.noun.is_versioned:
        values = values | {"version": write.old.version + 1}
        here &= table.c.version == write.old.version
    if write.conn.execute(update(table).where(here).values(values)).rowcount != 1:
        raise _meanwhile()


def _tell(write: Write, what: str) -> None:
    noun = write.noun
    name = write.values.get("name") or write.values.get("login_name")
    if not name and write.old is not None:
        name = write.old._mapping.get("name") or write.old._mapping.get("login_name")
    link = {_LINKS[noun.name]: write.id} if noun.name in _LINKS else {}
    announce(
        write.broker, write.conn, write.actor, f"{noun.singular}.{what}", {"id": write.id, "name": name or "", **link}
    )
    if noun.name in _CONFIGURATION:
        renumber(write.conn)
    follow(write.broker, write.conn, noun.name if what != "deleted" else f"{noun.name}.deleted", write.id)


def _meanwhile() -> Stale:
    return Stale("Somebody else changed this meanwhile. Load it again, then make your change.")


def _clash(problem: IntegrityError) -> Conflict:
    return Conflict("Somebody else took this name at this moment. Choose another one.", detail=str(problem.orig))
