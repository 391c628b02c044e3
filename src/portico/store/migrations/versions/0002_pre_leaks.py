"""What a cloud holds for us and no desktop needs."""

import sqlalchemy as sa
from alembic import op

from portico.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "leaks",
        sa.Column("id", types.Id, nullable=False),
        sa.Column("tenant_id", types.Id, nullable=False),
        sa.Column("center_id", types.Id, nullable=False),
        sa.Column("kind", types.Word, nullable=False),
        sa.Column("external_id", types.Name, nullable=False),
        sa.Column("name", types.Name, nullable=False),
        sa.Column("desktop_id", types.Name, nullable=True),
        sa.Column("machine_id", types.Name, nullable=True),
        sa.Column("reason", types.Json, nullable=False),
        sa.Column("state", types.Word, nullable=False),
        sa.Column("made_at", types.UTCDateTime(), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("seen_at", types.UTCDateTime(), nullable=False),
        sa.Column("decided_by", types.Name, nullable=False),
        sa.Column("deleted_at", types.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["center_id"], ["centers.id"], name=op.f("fk_leaks_center_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_leaks_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leaks")),
    )
    op.create_index("ix_leaks_tenant", "leaks", ["tenant_id", "state"], unique=False)
    op.create_index(
        "uq_leaks_external",
        "leaks",
        ["center_id", "kind", "external_id"],
        unique=True,
        sqlite_where=sa.text("deleted_at IS NULL"),
        postgresql_where=sa.text("deleted_at IS NULL"),
        mssql_where=sa.text("deleted_at IS NULL"),
    )
