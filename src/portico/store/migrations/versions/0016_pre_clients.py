"""Devices at which people log in; the built-in administrators handle them."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, Prose, UTCDateTime, Word

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "clients",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("kind", Word, nullable=False),
        sa.Column("os", Word, nullable=False),
        sa.Column("os_version", Word, nullable=False),
        sa.Column("maker", Name, nullable=False),
        sa.Column("model", Name, nullable=False),
        sa.Column("macs", Json, nullable=False),
        sa.Column("software", Name, nullable=False),
        sa.Column("address", Word, nullable=False),
        sa.Column("user_id", Id, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("notes", Prose, nullable=False),
        sa.Column("seen_at", UTCDateTime, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
    )
    op.create_index("ix_clients_user", "clients", ["user_id", "seen_at"])
    op.create_index("ix_clients_tenant", "clients", ["tenant_id", "seen_at"])
    op.add_column("sessions", sa.Column("client_id", Id, nullable=True))
    op.create_index("ix_sessions_client", "sessions", ["client_id", "created_at"])
    op.add_column("device_logins", sa.Column("client", Json, nullable=True))
    roles = sa.table("roles", sa.column("id", Id), sa.column("body", Json))
    conn = op.get_bind()
    for row in list(conn.execute(sa.select(roles.c.id, roles.c.body))):
        areas = row.body.get("areas") or {}
        if row.body.get("builtin") and areas.get("sessions") == "edit" and "clients" not in areas:
            body = {**row.body, "areas": {**areas, "clients": "edit"}}
            conn.execute(sa.update(roles).where(roles.c.id == row.id).values(body=body))
