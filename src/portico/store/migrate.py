"""Bringing a database to this version's schema: Alembic's migrations, additive first (pre_), destructive later (post_)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import func, select

from portico.store.engine import Database

LOCK = 0x506F727469636F  # "Portico": the number of our advisory lock on PostgreSQL
HERE = Path(__file__).parent / "migrations"


def _config(db: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["engine"] = db.engine
    return config


def upgrade(db: Database) -> None:
    """Apply the migrations that are missing; of brokers that start at once, one does it and the others wait."""
    if db.url.get_backend_name() != "postgresql":
        command.upgrade(_config(db), "head")
        return
    with db.engine.connect() as conn:
        conn.execute(select(func.pg_advisory_lock(LOCK)))
        try:
            command.upgrade(_config(db), "head")
        finally:
            conn.execute(select(func.pg_advisory_unlock(LOCK)))


def pending(db: Database) -> list[str]:
    """Return the ids of the migrations that are missing, oldest first."""
    script = ScriptDirectory.from_config(_config(db))
    with db.engine.connect() as conn:
        current = MigrationContext.configure(conn).get_current_revision()
    return [step.revision for step in reversed(list(script.iterate_revisions("head", current or "base")))]


def write_next(db: Database, message: str) -> None:
    """Write the migration from the database's schema to that of store.tables, to be read and edited before it is used."""
    command.revision(
        _config(db), message=message, autogenerate=True, rev_id=f"{len(list(HERE.glob('versions/0*.py'))) + 1:04d}"
    )
