"""Lists of any noun: searched, filtered, sorted, and paged by key, so that rows that come and go move no page."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, false, func, or_, select, true

from portico.domain.access import Actor, may
from portico.errors import Invalid
from portico.services.guards import scope_of
from portico.services.nouns import Noun
from portico.store.scope import within
from portico.store.tables import users
from portico.store.types import UTCDateTime

MAX_LIMIT = 500
MAX_SEARCH = 200


@dataclass(frozen=True, slots=True)
class Query:
    """What to list. `search` understands words and `filter:value`; `sort` is a field, with "-" before it to turn it around."""

    search: str = ""
    filters: Mapping[str, str] = field(default_factory=dict)
    sort: str = ""
    cursor: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """One page: the items, the cursor of the next page (None: this is the last), and how many there are in all."""

    items: list[dict[str, Any]]
    next: str | None
    total: int


@dataclass(frozen=True, slots=True)
class Rows:
    """One page of rows, before they are shown."""

    rows: list[Any]
    next: str | None
    total: int


def reach(noun: Noun, actor: Actor) -> ColumnElement[bool]:
    """Return the condition for the rows of a noun that the actor reaches at all, deleted ones included."""
    columns = noun.table.c
    if actor.reach is not None and noun.reach != "own":
        return within(scope_of(actor), noun.table)
    if noun.reach == "deployment":
        return true()
    if noun.reach == "own":
        whose = columns.user_id == actor.user_id
        if may(actor, "users"):  # programs belong to who handles the users
            programs = select(users.c.id).where(users.c.tenant_id == actor.tenant_id, users.c.service.is_(True))
            whose = or_(whose, columns.user_id.in_(programs))
        return and_(columns.tenant_id == actor.tenant_id, whose, columns.revoked_at.is_(None))
    mine = columns.tenant_id == actor.tenant_id
    shared = noun.reach == "tenant+shared" or (noun.reach == "tenant+deployment" and may(actor, "tenants"))
    return or_(mine, columns.tenant_id.is_(None)) if shared else mine


def there(noun: Noun) -> ColumnElement[bool]:
    """Return the condition for rows that are not deleted."""
    return noun.table.c.deleted_at.is_(None) if "deleted_at" in noun.table.c else true()


def fetch(conn: Connection, actor: Actor, noun: Noun, query: Query) -> Rows:
    """Read one page in two statements. Raises Invalid for a sort, filter, cursor or limit that does not exist."""
    name, down = _sort(noun, query.sort)
    wanted = and_(reach(noun, actor), there(noun), *_conditions(noun, query))
    total = conn.scalar(select(func.count()).select_from(noun.table).where(wanted)) or 0
    statement = _ordered(select(noun.table).where(wanted), noun, name, down)
    if query.cursor:
        statement = statement.where(_after(noun, name, down, query.cursor))
    limit = _limit(query.limit)
    rows = list(conn.execute(statement.limit(limit + 1)))
    more = len(rows) > limit
    rows = rows[:limit]
    return Rows(rows, _cursor(rows[-1], name, down) if more else None, total)


def _sort(noun: Noun, text: str) -> tuple[str, bool]:
    newest_first = noun.sorts[0] in ("id", "created_at")
    name, down = text.removeprefix("-"), text.startswith("-")
    if not text:
        return noun.sorts[0], newest_first
    if name not in noun.sorts:
        raise Invalid("The list cannot be sorted so.", {"sort": f"Choose one of {', '.join(noun.sorts)}."})
    return name, down


def _limit(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid("The page size is out of range.", {"limit": f"Give a number from 1 to {MAX_LIMIT}."})
    return limit


def _conditions(noun: Noun, query: Query) -> list[ColumnElement[bool]]:
    words, filters = _split(noun, query)
    unknown = {
        name: f"Choose one of {', '.join(noun.filters) or 'none'}." for name in filters if name not in noun.filters
    }
    if unknown:
        raise Invalid("The list cannot be filtered so.", unknown)
    found = [noun.filters[name](text) for name, text in filters.items()]
    for word in words:
        columns = [noun.table.c[name] for name in noun.search if name in noun.table.c]
        found.append(or_(false(), *(column.icontains(word, autoescape=True) for column in columns)))
    return found


def _split(noun: Noun, query: Query) -> tuple[list[str], dict[str, str]]:
    """Tell words from filters; what looks like a filter that the noun does not have is a word."""
    words: list[str] = []
    filters = {name: text.replace("\0", "") for name, text in query.filters.items()}
    for part in query.search[:MAX_SEARCH].replace("\0", "").split():
        name, colon, text = part.partition(":")
        if colon and text and name in noun.filters:
            filters.setdefault(name, text)
        else:
            words.append(part)
    return words, filters


def _ordered(statement: Select[Any], noun: Noun, name: str, down: bool) -> Select[Any]:
    keys = [noun.table.c[name], noun.table.c.id]
    return statement.order_by(*(key.desc() if down else key.asc() for key in dict.fromkeys(keys)))


def _cursor(row: Any, name: str, down: bool) -> str:
    value = row._mapping[name]
    data = [name, down, value.isoformat() if isinstance(value, datetime) else value, row._mapping["id"]]
    return urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")


def _after(noun: Noun, name: str, down: bool, cursor: str) -> ColumnElement[bool]:
    column, key = noun.table.c[name], noun.table.c.id
    try:
        was_name, was_down, value, last = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if (was_name, was_down) != (name, down) or type(last) is not (int if noun.name == "events" else str):
            raise ValueError("another list")
        value = datetime.fromisoformat(value) if isinstance(column.type, UTCDateTime) else value
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("no zone")
        if isinstance(value, str) and "\0" in value:
            raise ValueError("no text")
    except (ValueError, TypeError, RecursionError) as problem:
        sentence = "This page is no longer there. Start again from the first one."
        raise Invalid(sentence, {"cursor": sentence}) from problem
    beyond = column < value if down else column > value
    return or_(beyond, and_(column == value, key < last if down else key > last))
