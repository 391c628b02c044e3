"""Ports of gateways that lead to desktops."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id, Json, UTCDateTime, Word

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "forwards",
        sa.Column("connection_id", Id, sa.ForeignKey("connections.id"), primary_key=True),
        sa.Column("gateway_id", Id, nullable=True),
        sa.Column("boot_id", Id, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("reason", Word, nullable=False),
        sa.Column("ports", Json, nullable=False),
        sa.Column("asked_at", UTCDateTime, nullable=True),
    )
    op.create_index("ix_forwards_gateway", "forwards", ["gateway_id", "state"])
