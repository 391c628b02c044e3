"""What a provider has provisioned of people and groups (SCIM 2.0), for a directory."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Table

from portico.store.schema import metadata
from portico.store.schema import tenant as _tenant
from portico.store.types import Id, Json, Name, UTCDateTime

scim_users = Table(
    "scim_users",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("directory_id", Id, ForeignKey("directories.id"), nullable=False),
    Column("user_name", Name, nullable=False),  # folded, as log-ins compare it
    Column("external_id", Name, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("body", Json, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("uq_scim_users_name", "directory_id", "user_name", unique=True),
)

scim_groups = Table(
    "scim_groups",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("directory_id", Id, ForeignKey("directories.id"), nullable=False),
    Column("display_name", Name, nullable=False),
    Column("external_id", Name, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("uq_scim_groups_name", "directory_id", "display_name", unique=True),
)

scim_members = Table(
    "scim_members",
    metadata,
    Column("group_id", Id, ForeignKey("scim_groups.id"), primary_key=True),
    Column("user_id", Id, ForeignKey("scim_users.id"), primary_key=True),
    Index("ix_scim_members_user", "user_id"),
)
