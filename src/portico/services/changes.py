"""What goes with every change an administrator makes: the event, the new configuration number, and what follows from it."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import Connection, insert, update

from portico.domain.access import Actor
from portico.services.broker import Broker
from portico.services.snapshot import CONFIGURATION
from portico.store import events, tables


class Hook(Protocol):
    """What follows from a change, in the change's own transaction (a refill to queue, a membership to rewrite)."""

    def __call__(self, broker: Broker, conn: Connection, noun: str, id: str) -> None:
        """Do it, or queue a job for it. Raises to undo the change."""
        ...


# "pools" → called after a pool is made, changed or restored; "pools.deleted" → after one is deleted. Filled by wiring.
hooks: dict[str, Hook] = {}


def register(occasion: str, hook: Hook) -> None:
    """Have `hook` called on an occasion, which is a noun or "<noun>.deleted". One hook per occasion."""
    hooks[occasion] = hook


def announce(broker: Broker, conn: Connection, actor: Actor, code: str, subject: Mapping[str, Any]) -> None:
    """Record an event about what the actor did. `subject` may hold user_id, desktop_id, pool_id, center_id; the rest are params."""
    links: dict[str, Any] = {
        key: str(subject[key]) for key in ("user_id", "desktop_id", "pool_id", "center_id") if key in subject
    }
    params = {key: value for key, value in subject.items() if key not in links}
    entry = events.Entry(broker.now(), code, actor.tenant_id, actor.login_name, params=params, **links)
    events.add(conn, entry)


def renumber(conn: Connection) -> None:
    """Raise the configuration's number, so that every broker reads it again."""
    versions = tables.versions
    raised = update(versions).where(versions.c.name == CONFIGURATION).values(number=versions.c.number + 1)
    if conn.execute(raised).rowcount == 0:
        conn.execute(insert(versions).values(name=CONFIGURATION, number=1))


def follow(broker: Broker, conn: Connection, occasion: str, id: str) -> None:
    """Do what follows from a change."""
    if occasion in hooks:
        hooks[occasion](broker, conn, occasion.partition(".")[0], id)
