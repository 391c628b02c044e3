"""What the account of a session may do on the desktop."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Json

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("connections", sa.Column("rights", Json, nullable=True))
