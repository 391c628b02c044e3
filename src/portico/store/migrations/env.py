"""Alembic's environment: the engine comes from store.migrate, the target from store.tables."""

from typing import Any

from alembic import context
from sqlalchemy import JSON, Engine

from portico.store import tables, types


def _same_type(_context: Any, _inspected: Any, _metadata: Any, inspected: Any, wanted: Any) -> bool | None:
    # Our own types differ by database on purpose; JSON and JSONB are the same to us.
    return False if isinstance(wanted, types.UTCDateTime | JSON) else None


def run(engine: Engine) -> None:
    """Run the migrations in one transaction."""
    with engine.begin() as connection:
        context.configure(
            connection=connection,
            target_metadata=tables.metadata,
            compare_type=_same_type,
            render_as_batch=False,
            user_module_prefix="types.",
        )
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["engine"])
