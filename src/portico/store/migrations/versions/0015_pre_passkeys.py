"""Passkeys as a second factor."""

import sqlalchemy as sa
from alembic import op

from portico.store.schema import RowNumber
from portico.store.types import Hash, Id, Name, Prose, UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "passkeys",
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("credential_hash", Hash, nullable=False, unique=True),
        sa.Column("credential_id", Prose, nullable=False),
        sa.Column("public_key", Prose, nullable=False),
        sa.Column("sign_count", RowNumber, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("used_at", UTCDateTime, nullable=True),
    )
    op.create_index("ix_passkeys_user", "passkeys", ["user_id"])
