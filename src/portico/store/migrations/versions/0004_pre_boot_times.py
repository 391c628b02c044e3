"""How long machines of an image take to answer."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("images", sa.Column("boot_seconds", sa.Float(), nullable=True))
