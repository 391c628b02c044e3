"""The realm of the gateway that a token admits."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Word

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("gateway_tokens", sa.Column("realm", Word, nullable=True))
