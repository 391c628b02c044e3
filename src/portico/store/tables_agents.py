"""Agents that wait to be admitted, and the keys that admit them. Both hold hashes only."""

from sqlalchemy import Column, ForeignKey, Index, Integer, Table

from portico.store.schema import metadata, tenant, unique_where
from portico.store.types import Hash, Id, Json, Name, UTCDateTime, Word

waiting_agents = Table(
    "waiting_agents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id, ForeignKey("tenants.id")),  # of the desktop that it claims; NULL while no center lists it
    Column("desktop_id", Id, ForeignKey("desktops.id")),
    Column("key_hash", Hash, nullable=False),  # of the agent's own secret, by which it is known again
    Column("instance_id", Name, nullable=False),
    Column("name", Name, nullable=False),  # what it calls its machine
    Column("addresses", Json, nullable=False),
    Column("macs", Json, nullable=False),
    Column("source_address", Word, nullable=False),
    Column("version", Word, nullable=False),
    Column("os_name", Name, nullable=False),
    Column("service", Word, nullable=False),  # how it reaches its cloud's metadata service: a state of agent.route
    Column("state", Word, nullable=False),  # waiting | admitted | refused
    Column("reason", Json),
    Column("created_at", UTCDateTime, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    Index("ix_waiting_agents_desktop", "desktop_id"),
    Index("ix_waiting_agents_tenant", "tenant_id", "state"),
    Index("ix_waiting_agents_source", "source_address"),
    Index("ix_waiting_agents_seen", "seen_at"),
)
Index("uq_waiting_agents_key", waiting_agents.c.key_hash, unique=True)

join_keys = Table(
    "join_keys",
    metadata,
    Column("id", Id, primary_key=True),
    tenant(),
    Column("center_id", Id, ForeignKey("centers.id")),  # NULL: any center of the tenant
    Column("name", Name, nullable=False),
    Column("secret_hash", Hash, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    Column("used_at", UTCDateTime),
    Column("uses", Integer, nullable=False),
    Column("deleted_at", UTCDateTime),
    Index("ix_join_keys_tenant", "tenant_id", "deleted_at"),
)
unique_where("uq_join_keys_secret", join_keys.c.secret_hash, where=join_keys.c.deleted_at.is_(None))
