"""Log-ins by SAML: answers that serve once, and what ends a session here and there."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Hash, Json, Name, UTCDateTime

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("sessions", sa.Column("sign_on_as", Name, nullable=True))
    op.add_column("sessions", sa.Column("sign_on_kept", Json, nullable=True))
    op.create_table(
        "used_answers",
        sa.Column("key", Hash, primary_key=True),
        sa.Column("until", UTCDateTime, nullable=False),
    )
