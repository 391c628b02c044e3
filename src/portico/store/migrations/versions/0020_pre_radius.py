"""RADIUS servers as a second factor, and passkeys that log in without a password."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, Prose, UTCDateTime, Word

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "radius_servers",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("deleted_at", UTCDateTime, nullable=True),
        sa.Column("sealed_secret", Prose, nullable=False),
    )
    _unique("uq_radius_servers_name", "radius_servers", ["tenant_id", "name"], "deleted_at IS NULL")
    op.create_table(
        "radius_tries",
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("try_id", Id, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("message", Prose, nullable=False),
        sa.Column("challenge", Prose, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
    )
    _unique("uq_radius_tries_user", "radius_tries", ["user_id"], "state = 'waiting'")
    op.add_column("passkeys", sa.Column("alone", sa.Boolean, nullable=True))


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    there = sa.text(where)
    op.create_index(name, table, columns, unique=True, sqlite_where=there, postgresql_where=there, mssql_where=there)
