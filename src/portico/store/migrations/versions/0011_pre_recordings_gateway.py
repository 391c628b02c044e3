"""Which gateway makes a recording, so that no other one can send it."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Id

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("recordings", sa.Column("gateway_id", Id, nullable=True))
