"""Sessions that somebody else joins."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, UTCDateTime, Word

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "shadows",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("connection_id", Id, nullable=False),
        sa.Column("desktop_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("helper_id", Id, nullable=False),
        sa.Column("helper_name", Name, nullable=False),
        sa.Column("mode", Word, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("reason", Word, nullable=False),
        sa.Column("asked_at", UTCDateTime, nullable=False),
        sa.Column("opened_at", UTCDateTime, nullable=True),
        sa.Column("expires_at", UTCDateTime, nullable=False),
    )
    op.create_index("ix_shadows_connection", "shadows", ["connection_id", "state"])
    op.create_index("ix_shadows_tenant", "shadows", ["tenant_id", "asked_at"])
    op.add_column("connections", sa.Column("entry", Id, nullable=True))
    roles = sa.table("roles", sa.column("id", Id), sa.column("body", Json))
    conn = op.get_bind()
    for role in conn.execute(sa.select(roles.c.id, roles.c.body)).all():
        areas = role.body.get("areas", {})
        if role.body.get("builtin") and "sessions" in areas:  # who reached everything still does
            body = {**role.body, "areas": {**areas, "shadowing": areas["sessions"]}}
            conn.execute(roles.update().where(roles.c.id == role.id).values(body=body))
