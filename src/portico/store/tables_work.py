"""The tables of the deployment's own work: settings, keys, the work queue, the audit trail, brokers, gateways, leaks."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table

from portico.store.schema import RowNumber, metadata, tenant, unique_where
from portico.store.types import Hash, Id, Json, Name, Prose, UTCDateTime, Word

settings = Table(
    "settings",
    metadata,
    Column("scope", Id, primary_key=True),  # a tenant's id, or "system"
    Column("name", Word, primary_key=True),
    Column("value", Json),
    Column("updated_at", UTCDateTime, nullable=False),
)

versions = Table(  # a number that rises with every change of what brokers keep in memory
    "versions",
    metadata,
    Column("name", Word, primary_key=True),
    Column("number", Integer, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Id, primary_key=True),  # also the `kid`
    Column("purpose", Word, nullable=False),  # tickets | ca | ssh_user_ca | cookies
    Column("public", Prose, nullable=False),
    Column("sealed_private", Prose, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("retired_at", UTCDateTime),  # verifies still, signs no more
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id),  # None: the deployment's own
    Column("kind", Word, nullable=False),
    Column("version", Integer, nullable=False),
    Column("payload", Json, nullable=False),
    Column("lane", Name, nullable=False),
    Column("waiting_key", Name, nullable=False),
    Column("state", Word, nullable=False),  # queued | running | done | failed | cancelled
    Column("run_at", UTCDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("broker_id", Id),
    Column("lease_until", UTCDateTime),
    Column("error", Prose, nullable=False),
    Column("reason", Json),
    Column("created_at", UTCDateTime, nullable=False),
    Column("started_at", UTCDateTime),
    Column("finished_at", UTCDateTime),
    Index("ix_jobs_due", "state", "run_at"),
)
unique_where("uq_jobs_lane", jobs.c.lane, where=jobs.c.state == "running")
unique_where("uq_jobs_waiting", jobs.c.waiting_key, where=jobs.c.state == "queued")

events = Table(
    "events",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("tenant_id", Id),
    Column("at", UTCDateTime, nullable=False),
    Column("level", Word, nullable=False),  # info | warning | error
    Column("code", Word, nullable=False),  # desktop.assigned
    Column("params", Json, nullable=False),
    Column("reason", Json),
    Column("actor", Name, nullable=False),
    Column("user_id", Id),
    Column("desktop_id", Id),
    Column("pool_id", Id),
    Column("center_id", Id),
    Column("correlation", Word, nullable=False),
    Index("ix_events_tenant_at", "tenant_id", "id"),
    Index("ix_events_desktop", "desktop_id", "id"),
    Index("ix_events_user", "user_id", "id"),
    Index("ix_events_at", "at"),
    Index("ix_events_pool", "pool_id", "code", "at"),
)

brokers = Table(
    "brokers",
    metadata,
    Column("id", Id, primary_key=True),
    Column("hostname", Name, nullable=False),
    Column("version", Word, nullable=False),
    Column("started_at", UTCDateTime, nullable=False),
    Column("heartbeat_at", UTCDateTime, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("stopped_at", UTCDateTime),
)

gateway_groups = Table(
    "gateway_groups",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id),  # None: of the deployment
    Column("name", Name, nullable=False, unique=True),
    Column("body", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
)

gateways = Table(
    "gateways",
    metadata,
    Column("id", Id, primary_key=True),
    Column("tenant_id", Id),  # None: serves all tenants
    Column("name", Name, nullable=False, unique=True),
    Column("group_id", Id),  # None: in none
    Column("realm", Word, nullable=False),
    Column("public_url", Name, nullable=False),
    Column("bearer_hash", Hash, nullable=False, unique=True),
    Column("version", Word, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("load", Json, nullable=False),
    Column("boot_id", Word, nullable=False),
    Column("sequence", RowNumber, nullable=False),
    Column("heartbeat_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
)

gateway_tokens = Table(
    "gateway_tokens",
    metadata,
    Column("token_hash", Hash, primary_key=True),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Column("realm", Word),  # of the gateway that enrols with it
)

outbox = Table(  # what a broker wants of an agent or a gateway, until it is taken
    "outbox",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("target", Hash, nullable=False),  # agent:<id> | gateway:<id>
    Column("message", Json, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("taken_at", UTCDateTime),
    Column("answer", Json),
    Column("answered_at", UTCDateTime),
    Index("ix_outbox_target", "target", "id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("user_id", Id, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("request_hash", Hash, nullable=False),
    Column("answer", Json),
    Column("created_at", UTCDateTime, nullable=False),
)

leaks = Table(  # what a cloud holds for us and no desktop needs
    "leaks",
    metadata,
    Column("id", Id, primary_key=True),
    tenant(),
    Column("center_id", Id, ForeignKey("centers.id"), nullable=False),
    Column("kind", Word, nullable=False),  # machine | volume | port | floating ip
    Column("external_id", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("desktop_id", Name),  # the tag on it, which may be of no desktop that we know
    Column("machine_id", Name),  # the machine that it hangs on
    Column("reason", Json, nullable=False),
    Column("state", Word, nullable=False),  # open | kept | removing
    Column("made_at", UTCDateTime),  # in the cloud, where it tells
    Column("created_at", UTCDateTime, nullable=False),  # found
    Column("seen_at", UTCDateTime, nullable=False),
    Column("decided_by", Name, nullable=False),
    Column("deleted_at", UTCDateTime),  # it is no leak any more: gone, adopted, or needed after all
)
unique_where(
    "uq_leaks_external", leaks.c.center_id, leaks.c.kind, leaks.c.external_id, where=leaks.c.deleted_at.is_(None)
)
Index("ix_leaks_tenant", leaks.c.tenant_id, leaks.c.state)

shadows = Table(  # somebody joins the session of somebody else, to watch or to help
    "shadows",
    metadata,
    Column("id", Id, primary_key=True),
    tenant(),
    Column("connection_id", Id, nullable=False),
    Column("desktop_id", Id, nullable=False),
    Column("user_id", Id, nullable=False),  # whose session it is
    Column("helper_id", Id, nullable=False),
    Column("helper_name", Name, nullable=False),
    Column("mode", Word, nullable=False),  # view | control
    Column("state", Word, nullable=False),  # asked | agreed | declined | open | ended
    Column("reason", Word, nullable=False),
    Column("asked_at", UTCDateTime, nullable=False),
    Column("opened_at", UTCDateTime),
    Column("expires_at", UTCDateTime, nullable=False),  # of the question, of the way in, of the visit: by the state
    Index("ix_shadows_connection", "connection_id", "state"),
    Index("ix_shadows_tenant", "tenant_id", "asked_at"),
)
