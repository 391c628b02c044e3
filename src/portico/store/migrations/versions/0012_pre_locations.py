"""Locations: named sets of clients."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, UTCDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "locations",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("deleted_at", UTCDateTime, nullable=True),
    )
    there = sa.text("deleted_at IS NULL")
    op.create_index(
        "uq_locations_name", "locations", ["tenant_id", "name"], unique=True,
        sqlite_where=there, postgresql_where=there, mssql_where=there,
    )  # fmt: skip
