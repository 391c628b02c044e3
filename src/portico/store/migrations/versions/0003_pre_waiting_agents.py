"""Agents that wait to be admitted, the keys that admit them, and the machine that an enrolled agent claims to run on."""

import sqlalchemy as sa
from alembic import op

from portico.store import types

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("agents", sa.Column("instance_id", types.Name, nullable=True))
    op.create_index("ix_desktops_external", "desktops", ["external_id"])
    op.create_table(
        "waiting_agents",
        sa.Column("id", types.Id, nullable=False),
        sa.Column("tenant_id", types.Id, nullable=True),
        sa.Column("desktop_id", types.Id, nullable=True),
        sa.Column("key_hash", types.Hash, nullable=False),
        sa.Column("instance_id", types.Name, nullable=False),
        sa.Column("name", types.Name, nullable=False),
        sa.Column("addresses", types.Json, nullable=False),
        sa.Column("macs", types.Json, nullable=False),
        sa.Column("source_address", types.Word, nullable=False),
        sa.Column("version", types.Word, nullable=False),
        sa.Column("os_name", types.Name, nullable=False),
        sa.Column("service", types.Word, nullable=False),
        sa.Column("state", types.Word, nullable=False),
        sa.Column("reason", types.Json, nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("seen_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_waiting_agents_tenant_id")),
        sa.ForeignKeyConstraint(["desktop_id"], ["desktops.id"], name=op.f("fk_waiting_agents_desktop_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waiting_agents")),
    )
    op.create_index("ix_waiting_agents_desktop", "waiting_agents", ["desktop_id"])
    op.create_index("ix_waiting_agents_tenant", "waiting_agents", ["tenant_id", "state"])
    op.create_index("ix_waiting_agents_source", "waiting_agents", ["source_address"])
    op.create_index("ix_waiting_agents_seen", "waiting_agents", ["seen_at"])
    op.create_index("uq_waiting_agents_key", "waiting_agents", ["key_hash"], unique=True)
    op.create_table(
        "join_keys",
        sa.Column("id", types.Id, nullable=False),
        sa.Column("tenant_id", types.Id, nullable=False),
        sa.Column("center_id", types.Id, nullable=True),
        sa.Column("name", types.Name, nullable=False),
        sa.Column("secret_hash", types.Hash, nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=True),
        sa.Column("used_at", types.UTCDateTime(), nullable=True),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("deleted_at", types.UTCDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_join_keys_tenant_id")),
        sa.ForeignKeyConstraint(["center_id"], ["centers.id"], name=op.f("fk_join_keys_center_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_join_keys")),
    )
    op.create_index("ix_join_keys_tenant", "join_keys", ["tenant_id", "deleted_at"])
    live = sa.text("deleted_at IS NULL")
    op.create_index(
        "uq_join_keys_secret", "join_keys", ["secret_hash"], unique=True,
        sqlite_where=live, postgresql_where=live, mssql_where=live,
    )  # fmt: skip
