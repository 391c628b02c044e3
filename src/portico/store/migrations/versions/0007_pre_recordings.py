"""Recordings of sessions."""

import sqlalchemy as sa
from alembic import op

from portico.store.schema import RowNumber
from portico.store.types import Hash, Id, Json, Name, UTCDateTime, Word

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "recordings",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("user_name", Name, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("desktop_id", Id, nullable=False),
        sa.Column("connection_id", Id, nullable=False),
        sa.Column("protocol", Word, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("bytes", RowNumber, nullable=False),
        sa.Column("sha256", Hash, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("finished_at", UTCDateTime, nullable=True),
    )
    op.create_index("ix_recordings_tenant", "recordings", ["tenant_id", "created_at"])
    roles = sa.table("roles", sa.column("id", Id), sa.column("body", Json))
    conn = op.get_bind()
    for role in conn.execute(sa.select(roles.c.id, roles.c.body)).all():
        areas = role.body.get("areas", {})
        if role.body.get("builtin") and "sessions" in areas:  # who reached everything still does
            body = {**role.body, "areas": {**areas, "recordings": areas["sessions"]}}
            conn.execute(roles.update().where(roles.c.id == role.id).values(body=body))
