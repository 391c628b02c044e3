"""The one schema. Every configuration and fleet table carries tenant_id; every time is UTC; no server defaults.

Configuration (pools, policies, plans, roles, centers) keeps what an administrator edits in `body`, the JSON of its record in
domain.model; columns beside it are what the broker itself changes or searches by.
"""

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, Table

from portico.store.schema import RowNumber
from portico.store.schema import configuration as _configuration
from portico.store.schema import metadata as metadata
from portico.store.schema import tenant as _tenant
from portico.store.schema import unique_where as _unique_where
from portico.store.tables_agents import join_keys as join_keys
from portico.store.tables_agents import waiting_agents as waiting_agents
from portico.store.tables_people import api_tokens as api_tokens
from portico.store.tables_people import attempts as attempts
from portico.store.tables_people import clients as clients
from portico.store.tables_people import device_logins as device_logins
from portico.store.tables_people import passkeys as passkeys
from portico.store.tables_people import radius_tries as radius_tries
from portico.store.tables_people import recovery_codes as recovery_codes
from portico.store.tables_people import second_factors as second_factors
from portico.store.tables_people import sessions as sessions
from portico.store.tables_people import used_answers as used_answers
from portico.store.tables_people import users as users
from portico.store.tables_people import waiting_logins as waiting_logins
from portico.store.tables_scim import scim_groups as scim_groups
from portico.store.tables_scim import scim_members as scim_members
from portico.store.tables_scim import scim_users as scim_users
from portico.store.tables_work import brokers as brokers
from portico.store.tables_work import events as events
from portico.store.tables_work import gateway_groups as gateway_groups
from portico.store.tables_work import gateway_tokens as gateway_tokens
from portico.store.tables_work import gateways as gateways
from portico.store.tables_work import idempotency as idempotency
from portico.store.tables_work import jobs as jobs
from portico.store.tables_work import keys as keys
from portico.store.tables_work import leaks as leaks
from portico.store.tables_work import outbox as outbox
from portico.store.tables_work import settings as settings
from portico.store.tables_work import shadows as shadows
from portico.store.tables_work import versions as versions
from portico.store.types import Hash, Id, Json, Name, Prose, UTCDateTime, Word

tenants = Table(
    "tenants",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Name, nullable=False, unique=True),
    Column("path", Word),  # of its log-in page, below /t/
    Column("hosts", Json),  # names at which its log-in page is the first one
    Column("created_at", UTCDateTime, nullable=False),
)

directories = _configuration("directories", Column("kind", Word, nullable=False), Column("sealed_secrets", Prose))

radius_servers = _configuration("radius_servers", Column("sealed_secret", Prose, nullable=False))

centers = _configuration(
    "centers",
    Column("kind", Word, nullable=False),
    Column("sealed_secrets", Prose),
    Column("status", Word, nullable=False),  # new | online | offline
    Column("status_reason", Prose, nullable=False),
    Column("scanned_at", UTCDateTime),
    Column("full_pass_at", UTCDateTime),
    Column("pass_number", Integer, nullable=False),  # complete passes so far
)

images = Table(
    "images",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("center_id", Id, ForeignKey("centers.id"), nullable=False),
    Column("external_id", Name, nullable=False),
    Column("name", Name, nullable=False),
    Column("os_family", Word, nullable=False),
    Column("min_disk_gib", Integer, nullable=False),
    Column("min_ram_mib", Integer, nullable=False),
    Column("visibility", Word, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    Column("deleted_at", UTCDateTime),
    Column("boot_seconds", Float),  # how long a machine of it takes to answer, once one did
    Index("uq_images_external", "center_id", "external_id", unique=True),
)

desktops = Table(
    "desktops",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("center_id", Id, ForeignKey("centers.id"), nullable=False),
    Column("external_id", Name),
    Column("name", Name, nullable=False),
    Column("display_name", Name, nullable=False),
    Column("notes", Prose, nullable=False),
    Column("status", Word, nullable=False),
    Column("power", Word, nullable=False),
    Column("agent", Word, nullable=False),
    Column("session", Word, nullable=False),
    Column("stage", Word, nullable=False),
    Column("stage_reason", Prose, nullable=False),
    Column("stage_at", UTCDateTime, nullable=False),
    Column("image_id", Name),  # the center's own id of the image
    Column("os_family", Word, nullable=False),
    Column("address", Word),
    Column("public_address", Word),
    Column("realm", Word, nullable=False),
    Column("protocols", Json, nullable=False),
    Column("ssh_host_keys", Json, nullable=False),
    Column("login_user", Name, nullable=False),
    Column("tags", Json, nullable=False),
    Column("deletable", Boolean, nullable=False),
    Column("start_unavailable", Boolean, nullable=False),
    Column("maintenance", Boolean, nullable=False),
    Column("max_sessions", Integer, nullable=False),
    Column("free_seats", Integer, nullable=False),  # kept beside the seats in the same transaction
    Column("used_seats", Integer, nullable=False),
    Column("built_for_pool", Id),
    Column("spec", Json),  # what to create, recorded before it is asked for
    Column("deadline_at", UTCDateTime),
    Column("missing_passes", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("last_user_id", Id),
    Column("last_offered_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("deleted_at", UTCDateTime),
)
_unique_where(
    "uq_desktops_external", desktops.c.center_id, desktops.c.external_id, where=desktops.c.external_id.is_not(None)
)
# Two brokers never intend the same name at once. Afterwards the cloud's word counts, also when somebody renames a machine.
_unique_where(
    "uq_desktops_name", desktops.c.center_id, desktops.c.name, where=desktops.c.stage.in_(("intent", "creating"))
)
Index("ix_desktops_tenant", desktops.c.tenant_id, desktops.c.status, desktops.c.name)
Index("ix_desktops_built_for_pool", desktops.c.built_for_pool)
Index("ix_desktops_last_user", desktops.c.last_user_id)
Index("ix_desktops_stage", desktops.c.stage)
Index("ix_desktops_external", desktops.c.external_id)

agents = Table(
    "agents",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("desktop_id", Id, ForeignKey("desktops.id"), nullable=False, unique=True),
    Column("bearer_hash", Hash),
    Column("token_hash", Hash),  # the one-time enrolment token; NULL once used
    Column("token_expires_at", UTCDateTime),
    Column("sealed_token", Prose),  # until the machine is asked for, so that a retry hands over the same one
    Column("version", Word, nullable=False),
    Column("port", Integer, nullable=False),
    Column("boot_id", Word, nullable=False),
    Column("sequence", RowNumber, nullable=False),
    Column("seen_at", UTCDateTime),
    Column("enrolled_at", UTCDateTime),
    Column("instance_id", Name),  # the machine that it says it runs on, until inventory confirms it
    Column("past_boots", Json),  # the last boots before this one: what comes of them now comes late
)
_unique_where("uq_agents_bearer_hash", agents.c.bearer_hash, where=agents.c.bearer_hash.is_not(None))
_unique_where("uq_agents_token_hash", agents.c.token_hash, where=agents.c.token_hash.is_not(None))

pools = _configuration(
    "pools",
    Column("next_sequence", Integer, nullable=False),
    Column("build_epoch", Integer, nullable=False),
    Column("failures_in_row", Integer, nullable=False),
    Column("stopped_reason", Prose, nullable=False),
    Column("paused_until", UTCDateTime),
    Column("counts", Json, nullable=False),
    Column("counted_at", UTCDateTime),
)

pool_members = Table(  # a cache that can be rebuilt from the pools' rules
    "pool_members",
    metadata,
    Column("pool_id", Id, ForeignKey("pools.id"), primary_key=True),
    Column("desktop_id", Id, ForeignKey("desktops.id"), primary_key=True),
    Column("free", Boolean, nullable=False),  # available, ready, with a free seat: what an offer may be made from
    Index("ix_pool_members_free", "pool_id", "free", "desktop_id"),
    Index("ix_pool_members_desktop", "desktop_id"),
)

pool_history = Table(
    "pool_history",
    metadata,
    Column("pool_id", Id, ForeignKey("pools.id"), primary_key=True),
    Column("at", UTCDateTime, primary_key=True),
    Column("counts", Json, nullable=False),
)

policies = _configuration("policies", Column("is_default", Boolean, nullable=False))
protocol_plans = _configuration("protocol_plans")
power_plans = _configuration("power_plans")
locations = _configuration("locations")
release_plans = _configuration("release_plans")
roles = _configuration("roles")

pool_assignments = Table(
    "pool_assignments",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("policy_id", Id, ForeignKey("policies.id"), nullable=False),
    Column("pool_id", Id, ForeignKey("pools.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("body", Json, nullable=False),
    Column("deleted_at", UTCDateTime),
    Index("ix_pool_assignments_policy", "policy_id"),
)

seats = Table(
    "seats",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("desktop_id", Id, ForeignKey("desktops.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("assignment_id", Id),
    Column("retired", Boolean, nullable=False),
    Index("uq_seats_ordinal", "desktop_id", "ordinal", unique=True),
)
_unique_where("uq_seats_assignment", seats.c.assignment_id, where=seats.c.assignment_id.is_not(None))

assignments = Table(
    "assignments",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("desktop_id", Id, ForeignKey("desktops.id"), nullable=False),
    Column("seat_id", Id, ForeignKey("seats.id"), nullable=False),
    Column("mode", Word, nullable=False),
    Column("state", Word, nullable=False),
    Column("claim_key", Name),  # (user, pool assignment, ordinal) while live, NULL afterwards
    Column("policy_id", Id),
    Column("pool_id", Id),
    Column("pool_assignment_id", Id),
    Column("ordinal", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("evidence", Boolean, nullable=False),  # positive evidence that the user's session has ended
    Column("reason", Json),  # why this desktop, as domain.explain writes it
    Column("assigned_at", UTCDateTime, nullable=False),
    Column("connected_at", UTCDateTime),
    Column("disconnected_at", UTCDateTime),
    Column("logged_out_at", UTCDateTime),
    Column("released_at", UTCDateTime),
    Column("release_reason", Json),
    Index("ix_assignments_user", "user_id", "released_at"),
    Index("ix_assignments_desktop", "desktop_id", "released_at"),
)
_unique_where("uq_assignments_claim", assignments.c.claim_key, where=assignments.c.claim_key.is_not(None))

connections = Table(  # one try of a client to reach its assignment
    "connections",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("assignment_id", Id, ForeignKey("assignments.id"), nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("session_id", Id, nullable=False),
    Column("protocol", Word, nullable=False),
    Column("state", Word, nullable=False),  # waiting | ready | open | closed | failed
    Column("gateway_id", Id),
    Column("entry", Id),  # the latest coming in: what a gateway tells of an earlier one is history
    Column("client_address", Word, nullable=False),
    Column("rights", Json),  # on the desktop, of the role by which it was opened
    Column("created_at", UTCDateTime, nullable=False),
    Column("opened_at", UTCDateTime),
    Column("closed_at", UTCDateTime),
    Column("close_reason", Word, nullable=False),
    Column("bytes_in", RowNumber, nullable=False),
    Column("bytes_out", RowNumber, nullable=False),
    Index("ix_connections_assignment", "assignment_id", "closed_at"),
    Index("ix_connections_session", "session_id"),
)

forwards = Table(  # ports of a gateway that lead to a connection's desktop
    "forwards",
    metadata,
    Column("connection_id", Id, ForeignKey("connections.id"), primary_key=True),
    Column("gateway_id", Id),
    Column("boot_id", Id, nullable=False),  # the life of the gateway in which it listens
    Column("state", Word, nullable=False),  # direct | wanted | asked | open | failed | closed
    Column("reason", Word, nullable=False),
    Column("ports", Json, nullable=False),  # [[the desktop's, the gateway's]]
    Column("asked_at", UTCDateTime),
    Index("ix_forwards_gateway", "gateway_id", "state"),
)

recordings = Table(  # what was seen of a session, sealed in a file of the same id
    "recordings",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("name", Name, nullable=False),  # of the desktop
    Column("user_name", Name, nullable=False),
    Column("user_id", Id, nullable=False),
    Column("desktop_id", Id, nullable=False),
    Column("connection_id", Id, nullable=False),
    Column("gateway_id", Id),  # whose recording it is; None: of a time when that was not kept
    Column("protocol", Word, nullable=False),
    Column("state", Word, nullable=False),  # expected | complete | cut off
    Column("bytes", RowNumber, nullable=False),
    Column("sha256", Hash, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("finished_at", UTCDateTime),
    Index("ix_recordings_tenant", "tenant_id", "created_at"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("jti", Id, primary_key=True),
    Column("connection_id", Id, ForeignKey("connections.id"), nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("redeemed_at", UTCDateTime),
    Column("redeemed_by", Id),
    Column("redeemed_from", Word),
)
