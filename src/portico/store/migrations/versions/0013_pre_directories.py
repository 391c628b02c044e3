"""Directories, who people are in them, log-ins that wait, and log-in pages of tenants."""

import sqlalchemy as sa
from alembic import op

from portico.store.types import Hash, Id, Json, Name, Prose, UTCDateTime, Word

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "directories",
        sa.Column("id", Id, primary_key=True),
        sa.Column("tenant_id", Id, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("name", Name, nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
        sa.Column("updated_at", UTCDateTime, nullable=False),
        sa.Column("deleted_at", UTCDateTime, nullable=True),
        sa.Column("kind", Word, nullable=False),
        sa.Column("sealed_secrets", Prose, nullable=True),
    )
    _unique("uq_directories_name", "directories", ["tenant_id", "name"], "deleted_at IS NULL")
    op.add_column("users", sa.Column("subject", Name, nullable=True))
    op.add_column("users", sa.Column("second_factor", Word, nullable=True))
    op.add_column("sessions", sa.Column("pending", Word, nullable=True))
    op.add_column("users", sa.Column("barred", Word, nullable=True))
    op.add_column("users", sa.Column("checked_at", UTCDateTime, nullable=True))
    op.create_index("ix_users_login_name", "users", ["login_name"])
    _unique("uq_users_subject", "users", ["directory", "subject"], "subject IS NOT NULL AND deleted_at IS NULL")
    op.add_column("sessions", sa.Column("role_id", Id, nullable=True))
    op.add_column("sessions", sa.Column("sign_on", Name, nullable=True))
    op.add_column("sessions", sa.Column("granted", Json, nullable=True))
    op.add_column("tenants", sa.Column("path", Word, nullable=True))
    op.add_column("tenants", sa.Column("hosts", Json, nullable=True))
    op.create_table(
        "device_logins",
        sa.Column("id", Id, primary_key=True),
        sa.Column("secret_hash", Hash, nullable=False),
        sa.Column("user_code", Word, nullable=False),
        sa.Column("client_address", Word, nullable=False),
        sa.Column("client_name", Name, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
    )
    _unique("uq_device_logins_code", "device_logins", ["user_code"], "state = 'waiting'")
    op.create_table(
        "second_factors",
        sa.Column("id", Id, sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("sealed_secret", Prose, nullable=False),
        sa.Column("last_step", sa.Integer, nullable=False),
        sa.Column("confirmed_at", UTCDateTime, nullable=True),
        sa.Column("created_at", UTCDateTime, nullable=False),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", Id, primary_key=True),
        sa.Column("user_id", Id, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("code_hash", Hash, nullable=False),
        sa.Column("used_at", UTCDateTime, nullable=True),
    )
    op.create_index("ix_recovery_codes_user", "recovery_codes", ["user_id"])
    op.create_table(
        "waiting_logins",
        sa.Column("id", Id, primary_key=True),
        sa.Column("secret_hash", Hash, nullable=False),
        sa.Column("directory_id", Id, nullable=False),
        sa.Column("broker_id", Id, nullable=False),
        sa.Column("state", Word, nullable=False),
        sa.Column("reason", Json, nullable=True),
        sa.Column("retry_after", sa.Integer, nullable=False),
        sa.Column("created_at", UTCDateTime, nullable=False),
    )
    op.create_index("ix_waiting_logins_line", "waiting_logins", ["directory_id", "state", "created_at"])


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    there = sa.text(where)
    op.create_index(name, table, columns, unique=True, sqlite_where=there, postgresql_where=there, mssql_where=there)
