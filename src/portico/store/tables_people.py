"""People: users, their log-ins, the sessions and tokens that come of them, and what stops a guesser."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table

from portico.store.schema import RowNumber, metadata
from portico.store.schema import tenant as _tenant
from portico.store.schema import unique_where as _unique_where
from portico.store.types import Hash, Id, Json, Name, Prose, UTCDateTime, Word

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("directory", Word, nullable=False),  # "local", or a directory's id
    Column("subject", Name),  # who they are there, whatever they are called
    Column("login_name", Name, nullable=False),  # folded
    Column("display_name", Name, nullable=False),
    Column("email", Name, nullable=False),
    Column("password_hash", Prose, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("service", Boolean),  # a program's account: it has tokens, and nobody logs in as it
    Column("second_factor", Word),  # "totp", once it was confirmed
    Column("barred", Word),  # by their directory: disabled | gone
    Column("checked_at", UTCDateTime),  # when their directory was last asked about them, but for a log-in
    Column("role_id", Id, ForeignKey("roles.id"), nullable=False),
    Column("policy_id", Id, ForeignKey("policies.id")),
    Column("failed", Integer, nullable=False),
    Column("last_failed_at", UTCDateTime),
    Column("locked_until", UTCDateTime),
    Column("preferences", Json, nullable=False),  # language, zone, theme
    Column("last_login_at", UTCDateTime),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Column("deleted_at", UTCDateTime),
)
_unique_where(
    "uq_users_name", users.c.tenant_id, users.c.directory, users.c.login_name, where=users.c.deleted_at.is_(None)
)

Index("ix_users_login_name", users.c.login_name)
_unique_where(
    "uq_users_subject",
    users.c.directory,
    users.c.subject,
    where=users.c.subject.is_not(None) & users.c.deleted_at.is_(None),
)

sessions = Table(  # portal log-ins and API tokens of people
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("kind", Word, nullable=False),  # web | api
    Column("secret_hash", Hash, nullable=False),
    Column("role_id", Id),  # what a directory's rules gave at this log-in; NULL: the user's own
    Column("policy_id", Id),
    Column("pending", Word),  # code | setup: what is due before it is good for anything else
    Column("sign_on", Name),  # the session at the provider that vouched for it
    Column("sign_on_as", Name),  # by which name the provider knows who it is of
    Column("sign_on_kept", Json),  # what the provider is told when they leave
    Column("granted", Json),  # by which rule, as domain.explain writes it
    Column("client_address", Word, nullable=False),
    Column("client", Json, nullable=False),
    Column("client_id", Id),  # the device that they logged in at, where it has a name to be known by
    Column("created_at", UTCDateTime, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime, nullable=False),
    Column("idle_seconds", Integer, nullable=False),
    Column("ended_at", UTCDateTime),
    Column("end_reason", Word, nullable=False),
    Index("ix_sessions_user", "user_id", "ended_at"),
    Index("ix_sessions_client", "client_id", "created_at"),
)

clients = Table(  # devices at which people have logged in
    "clients",
    metadata,
    Column(
        "id", Id, primary_key=True
    ),  # of the tenant and the name that the device keeps, so that nobody needs to ask for it
    _tenant(),
    Column("name", Name, nullable=False),
    Column("kind", Word, nullable=False),  # web | connect | api
    Column("os", Word, nullable=False),
    Column("os_version", Word, nullable=False),
    Column("maker", Name, nullable=False),
    Column("model", Name, nullable=False),
    Column("macs", Json, nullable=False),
    Column("software", Name, nullable=False),
    Column("address", Word, nullable=False),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),  # who logged in there last
    Column("notes", Prose, nullable=False),
    Column("seen_at", UTCDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
    Column("updated_at", UTCDateTime, nullable=False),
    Index("ix_clients_user", "user_id", "seen_at"),
    Index("ix_clients_tenant", "tenant_id", "seen_at"),
)

used_answers = Table(  # of providers that could be brought a second time
    "used_answers",
    metadata,
    Column("key", Hash, primary_key=True),
    Column("until", UTCDateTime, nullable=False),  # when it would not be taken any more anyway
)

device_logins = Table(  # programs that somebody lets in from a browser (RFC 8628)
    "device_logins",
    metadata,
    Column("id", Id, primary_key=True),  # of the session that it becomes
    Column("secret_hash", Hash, nullable=False),
    Column("user_code", Word, nullable=False),
    Column("client_address", Word, nullable=False),
    Column("client_name", Name, nullable=False),
    Column("client", Json),  # what it says of its device
    Column("state", Word, nullable=False),  # waiting | approved | denied
    Column("created_at", UTCDateTime, nullable=False),
)
_unique_where("uq_device_logins_code", device_logins.c.user_code, where=device_logins.c.state == "waiting")

second_factors = Table(
    "second_factors",
    metadata,
    Column("id", Id, ForeignKey("users.id"), primary_key=True),
    Column("sealed_secret", Prose, nullable=False),
    Column("last_step", Integer, nullable=False),  # of time, whose code was taken: none serves twice
    Column("confirmed_at", UTCDateTime),
    Column("created_at", UTCDateTime, nullable=False),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("code_hash", Hash, nullable=False),
    Column("used_at", UTCDateTime),
    Index("ix_recovery_codes_user", "user_id"),
)

passkeys = Table(  # credentials of WebAuthn: a public key each, so there is nothing to seal
    "passkeys",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("credential_hash", Hash, nullable=False, unique=True),  # its id may be longer than an index takes
    Column("credential_id", Prose, nullable=False),
    Column("public_key", Prose, nullable=False),
    Column("sign_count", RowNumber, nullable=False),
    Column("alone", Boolean),  # made to log in without a password: it says whose it is, and who holds it was verified
    Column("created_at", UTCDateTime, nullable=False),
    Column("used_at", UTCDateTime),
    Index("ix_passkeys_user", "user_id"),
)

radius_tries = Table(  # what became of a code that RADIUS servers were asked about, for the session that waits for it
    "radius_tries",
    metadata,
    Column("id", Id, primary_key=True),  # of the session
    Column("user_id", Id, nullable=False),
    Column("try_id", Id, nullable=False),  # the latest; what comes of an earlier one is history
    Column("state", Word, nullable=False),  # waiting | challenge | refused | unanswered | down | done
    Column("message", Prose, nullable=False),  # of the server
    Column("challenge", Prose, nullable=False),  # its State, in base64: goes back with the next answer
    Column("steps", Integer, nullable=False),  # challenges in a row
    Column("created_at", UTCDateTime, nullable=False),
)
# One at a time for a person: nobody guesses by many at once, and no phone rings twice.
_unique_where("uq_radius_tries_user", radius_tries.c.user_id, where=radius_tries.c.state == "waiting")

waiting_logins = (
    Table(  # log-ins that take longer than a person waits for a page: their outcome, for whoever asks again
        "waiting_logins",
        metadata,
        Column("id", Id, primary_key=True),  # of the session that it becomes
        Column("secret_hash", Hash, nullable=False),
        Column("directory_id", Id, nullable=False),
        Column("broker_id", Id, nullable=False),
        Column("state", Word, nullable=False),  # waiting | done | refused
        Column("reason", Json),
        Column("retry_after", Integer, nullable=False),
        Column("created_at", UTCDateTime, nullable=False),
        Index("ix_waiting_logins_line", "directory_id", "state", "created_at"),
    )
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Id, primary_key=True),
    _tenant(),
    Column("user_id", Id, ForeignKey("users.id"), nullable=False),
    Column("name", Name, nullable=False),
    Column("secret_hash", Hash, nullable=False),
    Column("before_hash", Hash),  # of the secret that it had before, which is good for a while
    Column("before_until", UTCDateTime),
    Column("scopes", Json),  # area → view | edit; NULL: all that its owner may
    Column("networks", Json),  # from which it is good; NULL: from everywhere
    Column("created_at", UTCDateTime, nullable=False),
    Column("expires_at", UTCDateTime),
    Column("used_at", UTCDateTime),
    Column("used_address", Word),
    Column("revoked_at", UTCDateTime),
    Index("ix_api_tokens_user", "user_id"),
)

attempts = (
    Table(  # failed log-ins by client address, and by names that nobody has (so that they lock like those somebody has)
        "attempts",
        metadata,
        Column("key", Hash, primary_key=True),
        Column("failed", Integer, nullable=False),
        Column("window_at", UTCDateTime, nullable=False),
        Column("locked_until", UTCDateTime),
    )
)
