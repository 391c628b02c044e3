"""Alembic's environment: the engine comes from store.migrate, the target from store.tables."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import JSON, Engine

from portico.store import tables, types


def _same_type(_context: Any, _inspected: Any, _metadata: Any, inspected: Any, wanted: Any) -> bool | None:
    # Our own types differ by database on purpose; JSON and JSONB are the same to us.
    return False if isinstance(wanted, types.UTCDateTime | JSON) else None


def _name(kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our own types by their names, so that migrations read like the schema."""
    if kind != "type":
        return False
    if isinstance(item, types.UTCDateTime):
        return "types.UTCDateTime()"
    names = {
        "Json": types.Json,
        "Prose": types.Prose,
        "Name": types.Name,
        "Id": types.Id,
        "Word": types.Word,
        "Hash": types.Hash,
    }
    found: str | Literal[False] = next(
        (f"types.{name}" for name, ours in names.items() if repr(item) == repr(ours)), False
    )
    return found


def run(engine: Engine) -> None:
    """Run the migrations in one transaction."""
    with engine.begin() as connection:
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            compare_type=_same_type,
            render_as_batch=False,
            user_module_prefix="types.",
            render_item=_name,
        )
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["engine"])
