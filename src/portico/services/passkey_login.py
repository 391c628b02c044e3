"""Logging in by a passkey alone: the key says whose it is, proves it, and has asked who holds it, so nothing is typed.

Where somebody comes from a directory, that is asked whether it still lets them in, and its rules give role and policy as with a password.
"""

import hashlib
import json
import secrets
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import Connection, select, update
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.structs import UserVerificationRequirement

from portico.domain.directories import LOCAL, DirectoryRecord, Identity
from portico.domain.explain import as_json
from portico.domain.login import step_after_password
from portico.domain.model import Reason, User
from portico.errors import DirectoryError, RateLimited
from portico.ports.directory import TypedName
from portico.services import directory_login, passkeys
from portico.services.attempts import Attempt, Outcome, Refused, arrived, enter, refuse
from portico.services.broker import Broker
from portico.services.directories import by_redirect, gate_of
from portico.services.login import Begun, too_many
from portico.services.sessions import Given
from portico.store import events, users
from portico.store import tables as t

PLACE = "passkey log-in"
SECONDS = 300  # from the question to the answer
WRONG = Reason("login.passkey_wrong")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the browser is asked (JSON), the sealed state that comes back with its answer, and what only this browser keeps."""

    options: str
    state: str
    kept: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: from which origin of ours, the state, the browser's answer (JSON), and what it has kept."""

    origin: str
    state: str
    answer: str
    kept: str


def offered(broker: Broker, tenant_id: str) -> bool:
    """Tell whether anybody of a tenant, or of any ("") at the common page, may log in so."""
    known = broker.snapshots.get().policies.values()
    return any(policy.passkey_log_in for policy in known if tenant_id in ("", policy.tenant_id))


def ask(broker: Broker, origin: str) -> Asked:
    """Ask the browser for any passkey of this site. It is the same for everybody, so it tells of nobody."""
    asked = webauthn.generate_authentication_options(
        rp_id=urlsplit(origin).hostname or "", user_verification=UserVerificationRequirement.REQUIRED
    )
    kept = secrets.token_urlsafe(32)
    state = (_hash(kept), bytes_to_base64url(asked.challenge), broker.now().timestamp())
    return Asked(webauthn.options_to_json(asked), broker.vault.seal(PLACE, json.dumps(state)), kept)


def begin(broker: Broker, wanted: Attempt, given: Answered) -> Begun:
    """Begin to log somebody in. The future holds what came of it, at once for local users."""
    wanted = replace(wanted, passkey=True)
    row: Any = None
    with broker.db.read() as conn:
        crowd = users.get_counter(conn, users.address_key(wanted.client.address))
        outcome: Outcome | None = too_many(broker, crowd)
        key = None if outcome is not None else _find(conn, given.answer)
        row = key and conn.execute(select(t.users).where(t.users.c.id == key.user_id)).first()
    if outcome is None and not _is_proven(broker, wanted, row, key, given):
        outcome = _refuse(broker, wanted, row)
    if outcome is None and row.directory != LOCAL:
        return _by_directory(broker, wanted, row)
    done: Future[Outcome] = Future()
    done.set_result(outcome or _local(broker, wanted, row))
    return Begun(done)


def _find(conn: Connection, answer: str) -> Any:
    try:
        found = passkeys.credential_hash(answer)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    k = t.passkeys.c
    return conn.execute(select(t.passkeys).where(k.credential_hash == found, k.alone.is_(True))).first()


def _is_proven(broker: Broker, wanted: Attempt, row: Any, key: Any, given: Answered) -> bool:
    """Tell whether the answer is one to a question of ours to this browser, by a key whose owner may use this page; it serves once."""
    if row is None or row.deleted_at is not None or wanted.tenant_id not in ("", row.tenant_id):
        return False
    now = broker.now()
    try:
        hashed, challenge, at = json.loads(broker.vault.open(PLACE, given.state[: passkeys.MAX_ANSWER]))
        asked_at = datetime.fromtimestamp(at, UTC)
        held = json.loads(given.answer[: passkeys.MAX_ANSWER])["response"]["userHandle"]
        if not secrets.compare_digest(hashed, _hash(given.kept)) or (now - asked_at).total_seconds() > SECONDS:
            return False
        if base64url_to_bytes(held) != key.user_id.encode():
            return False
        count = passkeys.proven(key, given.answer, base64url_to_bytes(challenge), given.origin, verified=True)
    except Exception:  # besides its own errors, the library raises whatever it trips over
        return False
    with broker.db.write() as conn:
        return passkeys.note_use(conn, key, count, now, asked_at)


def _hash(kept: str) -> str:
    return hashlib.sha256(kept.encode("utf-8", "replace")).hexdigest()


def _refuse(broker: Broker, wanted: Attempt, row: Any) -> Refused:
    """Count a failure of the address and write it down; whatever was wrong looks the same."""
    now = broker.now()
    with broker.db.write() as conn:
        users.note_address_failure(conn, wanted.client.address, now)
        entry = events.Entry(
            now, "login.passkey_refused", row.tenant_id if row else None, row.login_name if row else "", "warning",
            params={"address": wanted.client.address}, reason=as_json(WRONG), user_id=row.id if row else None,
        )  # fmt: skip
        events.add(conn, entry)
    return Refused(WRONG)


def _local(broker: Broker, wanted: Attempt, row: Any) -> Outcome:
    """Let a local user in. A lock after wrong passwords keeps out who guesses them, and a passkey is not guessed."""
    user, snapshot = users.record(row), broker.snapshots.get()
    if user.disabled:
        return refuse(broker, wanted, Reason("login.disabled"), user)
    role = snapshot.roles.get(user.role_id) or broker.snapshots.get(fresh=True).roles[user.role_id]
    if not role.may_log_in:
        return refuse(broker, wanted, Reason("login.not_allowed"), user)
    policy = snapshot.policy_of(user.tenant_id, user.policy_id)
    if not policy.passkey_log_in:
        return refuse(broker, wanted, Reason("login.passkey_off"), user)
    given = Given(policy, pending=step_after_password(user, role, policy, passkey=True))
    with broker.db.write() as conn:
        enter(broker, conn, wanted, user, given)
        conn.execute(update(t.users).where(t.users.c.id == user.id).values(last_login_at=broker.now()))
    return arrived(broker, wanted, user, role, given, row.preferences)


def _by_directory(broker: Broker, wanted: Attempt, row: Any) -> Begun:
    """Ask the directory, behind its gate, whether it still lets somebody in, and who they are there."""
    user, done = users.record(row), Future[Outcome]()
    directory = broker.snapshots.get().directories.get(row.directory)
    if directory is None or not directory.active or by_redirect(broker, directory):
        done.set_result(refuse(broker, wanted, Reason("login.passkey_off"), user))
        return Begun(done)
    try:
        gate = gate_of(broker, directory)
        gate.submit(lambda: _known(gate.driver, row)).add_done_callback(_then(broker, wanted, directory, user, done))
    except (DirectoryError, RateLimited) as problem:
        done.set_result(_down(problem))
    return Begun(done, directory.id)


def _known(driver: Any, row: Any) -> Identity | None:
    """Return who somebody is in a directory; None for who is gone, may not log in there, or has got another's name."""
    name = row.login_name
    seen = driver.look([name]).get(name)
    if seen is None or seen.subject != row.subject:
        return None
    found: Identity | None = driver.describe(TypedName(name, name))
    return found if found is not None and found.subject == row.subject else None


def _then(
    broker: Broker, wanted: Attempt, directory: DirectoryRecord, user: User, done: "Future[Outcome]"
) -> Callable[["Future[Identity | None]"], None]:
    def answered(answer: "Future[Identity | None]") -> None:
        try:
            problem = answer.exception()
            if isinstance(problem, DirectoryError | RateLimited):
                done.set_result(_down(problem))
            elif (identity := answer.result()) is None:
                reason = Reason("login.disabled", {"directory": directory.name})
                done.set_result(refuse(broker, wanted, reason, user))
            else:
                done.set_result(directory_login.welcome(broker, wanted, directory, identity))
        except BaseException as unexpected:  # whatever it is, who waits is told
            done.set_exception(unexpected)

    return answered


def _down(problem: DirectoryError | RateLimited) -> Refused:
    seconds = max(1, round(problem.retry_after))
    return Refused(Reason("login.directory_down", {"seconds": seconds}), seconds)
