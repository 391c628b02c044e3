"""What API tokens may do and from where, their rotation, and accounts of programs."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Hash, Json, UTCDateTime, Word

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("api_tokens", sa.Column("scopes", Json, nullable=True))
    op.add_column("api_tokens", sa.Column("networks", Json, nullable=True))
    op.add_column("api_tokens", sa.Column("used_address", Word, nullable=True))
    op.add_column("api_tokens", sa.Column("before_hash", Hash, nullable=True))
    op.add_column("api_tokens", sa.Column("before_until", UTCDateTime, nullable=True))
    op.add_column("users", sa.Column("service", sa.Boolean, nullable=True))
