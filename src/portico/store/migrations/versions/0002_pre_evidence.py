"""What tells late reports and busy names apart: an agent's past boots, names unique only while a desktop is asked for."""

import sqlalchemy as sa
from alembic import op

from portico.store import types

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("outbox") as outbox:  # "gateway:" and an id are longer than a word
        outbox.alter_column("target", type_=types.Name, existing_type=types.Word, existing_nullable=False)
    op.add_column("agents", sa.Column("past_boots", types.Json, nullable=True))
    op.create_index("ix_events_pool", "events", ["pool_id", "code", "at"])
    op.drop_index("uq_desktops_name", table_name="desktops")
    asked_for = sa.text("stage IN ('intent', 'creating')")
    op.create_index(
        "uq_desktops_name",
        "desktops",
        ["center_id", "name"],
        unique=True,
        sqlite_where=asked_for,
        postgresql_where=asked_for,
        mssql_where=asked_for,
    )
