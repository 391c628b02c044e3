"""People and groups that a provider has provisioned."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, Name, UTCDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "scim_users",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("directory_id", Id, sa.ForeignKey("directories.id"), nullable=False),
        sa.Column("user_name", Name, nullable=False),
        sa.Column("external_id", Name, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
    )
    op.create_index("uq_scim_users_name", "scim_users", ["directory_id", "user_name"], unique=True)
    op.create_table(
        "scim_groups",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("directory_id", Id, sa.ForeignKey("directories.id"), nullable=False),
        sa.Column("display_name", Name, nullable=False),
        sa.Column("external_id", Name, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
    )
    op.create_index("uq_scim_groups_name", "scim_groups", ["directory_id", "display_name"], unique=True)
    op.create_table(
        "scim_members",
        sa.Column("group_id", Id, sa.ForeignKey("scim_groups.id"), primary_key=True),
        sa.Column("user_id", Id, sa.ForeignKey("scim_users.id"), primary_key=True),
    )
    op.create_index("ix_scim_members_user", "scim_members", ["user_id"])
