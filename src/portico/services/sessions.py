"""Log-in sessions: a cookie or bearer names the session and proves it by a secret, of which only the hash is kept."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, cast

from portico import logs
from portico.domain.access import Actor, held_to, reach_of
from portico.domain.directories import LOCAL
from portico.domain.model import Client, Policy, Role, User
from portico.errors import Invalid, NotFound
from portico.ports.sign_on import Vouched
from portico.services import clients
from portico.services.broker import Broker
from portico.store import events, users
from portico.store import sessions as store
from portico.store.scope import Tenant
from portico.wire.networks import is_within, networks

log = logs.get(__name__)
COOKIE = "__Host-portico"
TOUCH_SECONDS = 60  # how often a sign of life is written down
LANGUAGES = ("en", "de")
_ID = re.compile(r"[0-9a-f-]{36}")
NOWHERE = Client("")
THEMES = ("system", "light", "dark")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whoever a request comes from. `csrf` is derived from the session's secret and lives as long."""

    session_id: str | None
    user: User
    actor: Actor
    role: Role
    policy: Policy
    client_address: str
    expires_at: datetime
    csrf: str
    preferences: Mapping[str, str]
    client: Client = NOWHERE  # the device at which they logged in
    pending: str = ""  # code | setup: what is due before they may do anything else
    scopes: Mapping[str, str] | None = None  # of the API token, None: all that its owner may


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One of a user's own sessions."""

    id: str
    created_at: datetime
    seen_at: datetime
    client_address: str
    kind: str
    current: bool


def hash_secret(secret: str) -> str:
    """Return what is kept of a random secret."""
    return sha256(secret.encode()).hexdigest()


def csrf_of(value: str) -> str:
    """Return the token that forms carry, derived from the cookie's secret."""
    secret = value.rpartition(".")[2]
    return hmac.new(secret.encode(), b"csrf", sha256).hexdigest()


def tenant_of(me: SignedIn) -> Tenant:
    """Return the scope of whoever is signed in."""
    return Tenant(me.user.tenant_id)


@dataclass(frozen=True, slots=True)
class Key:
    """What a session will be known by. It is made before anybody has logged in, so that who must wait can ask by it."""

    id: str
    secret: str
    kind: str = "web"  # web | api: of the session
    hashed: str = ""  # where the secret is known to its holder alone: what is kept of it

    @property
    def value(self) -> str:
        """What the cookie or the bearer holds."""
        return f"{self.id}.{self.secret}"

    @property
    def kept(self) -> str:
        """What is kept of the secret."""
        return self.hashed or hash_secret(self.secret)


def new_key(broker: Broker, kind: str) -> Key:
    """Make a key that nobody can guess."""
    return Key(broker.new_id(), secrets.token_urlsafe(32), kind)


def read_key(value: str) -> Key | None:
    """Read a cookie's or bearer's value; None when it is none."""
    session_id, _, secret = value.partition(".")
    return Key(session_id, secret) if _ID.fullmatch(session_id) and secret and secret.isascii() else None


@dataclass(frozen=True, slots=True)
class Given:
    """What a log-in gives. `role_id` is None for local users, whose own role counts as it is at any time."""

    policy: Policy
    role_id: str | None = None
    reason: Mapping[str, Any] | None = None
    vouched: Vouched | None = None  # by a provider
    pending: str = ""  # code | setup


def open_session(broker: Broker, conn: Any, user: User, client: Client, key: Key, given: Given) -> None:
    """Insert a session for a user."""
    now, policy, there = broker.now(), given.policy, given.vouched
    store.add(
        conn,
        id=key.id,
        tenant_id=user.tenant_id,
        user_id=user.id,
        kind=key.kind,
        secret_hash=key.kept,
        role_id=given.role_id,
        policy_id=policy.id,
        sign_on=(there.session[:200] or None) if there else None,
        sign_on_as=(there.name[:200] or None) if there else None,
        sign_on_kept=(dict(there.kept) or None) if there else None,
        pending=given.pending or None,
        granted=given.reason,
        client_address=client.address,
        client=clients.kept(client),
        client_id=clients.id_of(user.tenant_id, client.device),
        created_at=now,
        seen_at=now,
        expires_at=_ends(now + timedelta(hours=policy.session_hours), there),
        idle_seconds=policy.session_idle_minutes * 60,
    )


def _ends(by_policy: datetime, there: Vouched | None) -> datetime:
    if there is None or there.ends is None:
        return by_policy
    return min(by_policy, datetime.fromtimestamp(there.ends, UTC))


def find(broker: Broker, cookie: str, *, halfway: bool = False) -> SignedIn | None:
    """Return whose session a cookie's or bearer's value is, while it lasts: one statement, a write once a minute.

    One for which a second factor is still due is found only where that is what is asked for (`halfway`).
    """
    key = read_key(cookie)
    if key is None:
        return None
    with broker.db.read() as conn:
        row = store.find(conn, key.id)
    now = broker.now()
    if row is None or not hmac.compare_digest(row.secret_hash, hash_secret(key.secret)):
        return None
    if row.pending and not halfway:
        return None
    if row.ended_at is not None or row.expires_at <= now or now - row.seen_at > timedelta(seconds=row.idle_seconds):
        return None
    me = _signed_in(broker, row, row.id, key.secret, row.client_address, row.expires_at)
    if me is not None and now - row.seen_at > timedelta(seconds=TOUCH_SECONDS):
        with broker.db.write() as conn:
            store.touch(conn, row.id, now)
    return me


def by_bearer(broker: Broker, bearer: str, address: str = "") -> SignedIn | None:
    """Return who a bearer token, shown by a client at an address, stands for: an API session's, or an API token's ("pt.")."""
    if not bearer.startswith("pt."):
        return find(broker, bearer)
    _, _, rest = bearer.partition(".")
    token_id, _, secret = rest.partition(".")
    if not _ID.fullmatch(token_id) or not secret.isascii():
        return None
    with broker.db.read() as conn:
        row = store.find_token(conn, token_id)
    now = broker.now()
    if row is None or not _is_secret_of(row, hash_secret(secret), now):
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.networks and not is_within(address, networks(row.networks)):
        log.warning("token shown from elsewhere", token=row.id, address=address)
        return None
    me = _signed_in(broker, row, None, secret, address, row.expires_at or now + timedelta(hours=1))
    if me is None or not me.role.may_use_api:
        return None
    if row.used_at is None or now - row.used_at > timedelta(seconds=TOUCH_SECONDS):
        with broker.db.write() as conn:
            store.touch_token(conn, row.id, now, address[:40])
    return me if row.scopes is None else _scoped(me, row.scopes)


def _is_secret_of(row: Any, hashed: str, now: datetime) -> bool:
    """Tell whether a secret is a token's: its own, or for a while the one before."""
    if hmac.compare_digest(row.secret_hash, hashed):
        return True
    lasts = row.before_hash is not None and row.before_until is not None and row.before_until > now
    return lasts and hmac.compare_digest(row.before_hash, hashed)


def _scoped(me: SignedIn, scopes: Mapping[str, str]) -> SignedIn:
    role = held_to(me.role, scopes)
    return replace(me, role=role, scopes=scopes, actor=replace(me.actor, role=role, scoped=True))


def _signed_in(
    broker: Broker, row: Any, session_id: str | None, secret: str, address: str, expires_at: datetime
) -> SignedIn | None:
    user = users.record(cast(Any, _UserColumns(row)))
    if user.disabled or row.u_deleted_at is not None:
        return None
    snapshot = broker.snapshots.get()
    if (
        user.directory not in (LOCAL, *snapshot.directories)
        and user.directory not in broker.snapshots.get(fresh=True).directories
    ):
        return None  # nobody vouches for them any more
    own = getattr(row, "role_id", None)  # given by a directory's rules at this log-in
    role_id, policy_id = (own, row.policy_id) if own else (user.role_id, user.policy_id)
    role = snapshot.roles.get(role_id) or broker.snapshots.get(fresh=True).roles.get(role_id)
    if role is None:  # it was deleted: who has it logs in again
        return None
    return SignedIn(
        session_id=session_id,
        user=user,
        actor=Actor(user.id, user.login_name, user.tenant_id, role, session_id, within=reach_of(role, snapshot.pools)),
        role=role,
        policy=snapshot.policy_of(user.tenant_id, policy_id),
        client_address=address,
        expires_at=expires_at,
        csrf=csrf_of(secret),
        preferences=row.u_preferences or {},
        client=clients.read(getattr(row, "client", None) or {}, address),
        pending=getattr(row, "pending", None) or "",
    )


class _UserColumns:
    """A row's user columns (prefix `u_`), readable as a row of users."""

    def __init__(self, row: Any) -> None:
        self._row = row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, f"u_{name}")


def end(broker: Broker, me: SignedIn, reason: str = "logged out") -> None:
    """End the session that a request came with."""
    if me.session_id is not None:
        end_one(broker, me, me.session_id, reason)


def end_one(broker: Broker, me: SignedIn, session_id: str, reason: str = "ended by its user") -> None:
    """End one of the user's own sessions. Raises NotFound when it is somebody else's or has ended."""
    now = broker.now()
    with broker.db.write() as conn:
        if not store.end(conn, session_id, me.user.id, now, reason):
            raise NotFound("This session has ended already.")
        entry = events.Entry(now, "session.ended", me.user.tenant_id, me.user.login_name, user_id=me.user.id)
        events.add(conn, entry)


def list_own(broker: Broker, me: SignedIn) -> list[SessionLine]:
    """Return the user's open sessions, newest first."""
    with broker.db.read() as conn:
        rows = store.list_open(conn, me.user.id, broker.now())
    return [
        SessionLine(row.id, row.created_at, row.seen_at, row.client_address, row.kind, row.id == me.session_id)
        for row in rows
    ]


def set_preferences(broker: Broker, me: SignedIn, wanted: Mapping[str, str]) -> None:
    """Keep language, time zone and theme. Raises Invalid naming the field."""
    wrong = {}
    if wanted.get("language", "en") not in LANGUAGES:
        wrong["language"] = f"Choose one of: {', '.join(LANGUAGES)}."
    if wanted.get("theme", "system") not in THEMES:
        wrong["theme"] = f"Choose one of: {', '.join(THEMES)}."
    if len(wanted.get("zone", "")) > 60:
        wrong["zone"] = "Choose a time zone of the list."
    if wrong:
        raise Invalid("Some choices cannot be used.", wrong)
    keep = {key: value for key, value in wanted.items() if key in ("language", "zone", "theme")}
    with broker.db.write() as conn:
        users.set_preferences(conn, me.user.id, {**me.preferences, **keep}, broker.now())
