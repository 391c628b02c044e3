"""Passkeys (WebAuthn Level 2) as a second factor: made and used by the browser, proven here by the public key alone."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import webauthn
from sqlalchemy import Connection, delete, func, insert, select, update
from webauthn.helpers import bytes_to_base64url
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from portico.domain.second_factors import factors_of
from portico.errors import Conflict, Invalid
from portico.services.broker import Broker
from portico.services.directories import by_redirect
from portico.services.second_factor import codes_for_paper, let_on, refuse_owing, tell
from portico.services.sessions import SignedIn, hash_secret
from portico.store import tables as t

PLACE = "passkey"
SECONDS = 300  # from the question to the answer
MOST = 10  # of one person
MAX_ANSWER = 20_000
_ADD, _ADD_ALONE, _USE = "add", "add alone", "use"
_WRONG = "This passkey was not accepted. Try again, or use a code."


@dataclass(frozen=True, slots=True)
class Passkey:
    """One of a person's passkeys."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None
    alone: bool  # whether it logs in without a password


@dataclass(frozen=True, slots=True)
class Question:
    """What the browser is asked (JSON), and the sealed state that must come back with its answer."""

    options: str
    state: str


@dataclass(frozen=True, slots=True)
class Given:
    """What the browser answers when it has made a passkey, what it is to be called, and whether it logs in alone."""

    answer: str
    name: str = ""
    alone: bool = False


def list_own(broker: Broker, me: SignedIn) -> list[Passkey]:
    """Return somebody's passkeys, oldest first."""
    with broker.db.read() as conn:
        rows = _rows(conn, me)
    return [Passkey(row.id, row.name, row.created_at, row.used_at, bool(row.alone)) for row in rows]


def may_be_alone(broker: Broker, me: SignedIn) -> bool:
    """Tell whether a passkey of somebody may replace the password. People of providers log in there."""
    directory = broker.snapshots.get().directories.get(me.user.directory)
    return me.policy.passkey_log_in and (directory is None or not by_redirect(broker, directory))


def ask_to_add(broker: Broker, me: SignedIn, origin: str, *, alone: bool = False) -> Question:
    """Ask the browser to make a passkey, one that logs in without a password if `alone`. Raises Denied; Conflict when there are too many."""
    refuse_owing(me)
    if alone and not may_be_alone(broker, me):
        raise Conflict("Your policy does not let a passkey replace the password.")
    # Who logs in without a name needs a key that knows it, and that asks who holds it (WebAuthn Level 2, section 6.2.2).
    resident = ResidentKeyRequirement.REQUIRED if alone else ResidentKeyRequirement.PREFERRED
    verified = UserVerificationRequirement.REQUIRED if alone else UserVerificationRequirement.PREFERRED
    with broker.db.read() as conn:
        rows = _rows(conn, me)
    if len(rows) >= MOST:
        raise Conflict(f"You have {MOST} passkeys. Remove one first.")
    asked = webauthn.generate_registration_options(
        rp_id=_host(origin), rp_name="Portico", user_id=me.user.id.encode(), user_name=me.user.login_name,
        user_display_name=me.user.display_name or me.user.login_name, exclude_credentials=_known(rows),
        authenticator_selection=AuthenticatorSelectionCriteria(resident_key=resident, user_verification=verified),
    )  # fmt: skip
    return Question(webauthn.options_to_json(asked), _seal(broker, me, _ADD_ALONE if alone else _ADD, asked.challenge))


def add(broker: Broker, me: SignedIn, origin: str, state: str, given: Given) -> list[str]:
    """Keep a passkey; returns codes for paper when it is the first factor, else none. Raises Invalid, Denied."""
    refuse_owing(me)
    challenge = _unseal(broker, me, _ADD_ALONE if given.alone else _ADD, state)
    try:
        found = webauthn.verify_registration_response(
            credential=given.answer[:MAX_ANSWER],
            expected_challenge=challenge,
            expected_rp_id=_host(origin),
            expected_origin=origin,
            require_user_verification=given.alone,
        )
    except Exception as problem:  # besides its own errors, the library raises whatever it trips over
        raise Invalid("The passkey was not added.", {"passkey": _WRONG}, detail=str(problem)[:200]) from problem
    id = bytes_to_base64url(found.credential_id)
    now = broker.now()
    with broker.db.write() as conn:
        if conn.scalar(
            select(func.count()).select_from(t.passkeys).where(t.passkeys.c.credential_hash == hash_secret(id))
        ):
            raise Invalid("The passkey was not added.", {"passkey": "This passkey is there already."})
        values = {
            "id": broker.new_id(), "user_id": me.user.id, "name": given.name.strip()[:60] or "Passkey", "alone": given.alone, "credential_hash": hash_secret(id),
            "credential_id": id, "public_key": bytes_to_base64url(found.credential_public_key), "sign_count": found.sign_count,
            "created_at": now, "used_at": None,
        }  # fmt: skip
        conn.execute(insert(t.passkeys).values(**values))
        first = (t.users.c.id == me.user.id) & t.users.c.second_factor.is_(None)
        is_first = conn.execute(update(t.users).where(first).values(second_factor="passkey")).rowcount == 1
        made = codes_for_paper(broker, conn, me) if is_first else []
        let_on(conn, me)
        tell(broker, conn, me, "user.passkey_added")
    return made


def ask_to_use(broker: Broker, me: SignedIn, origin: str) -> Question | None:
    """Ask the browser for a passkey of somebody; None when they have none."""
    with broker.db.read() as conn:
        rows = _rows(conn, me)
    if not rows:
        return None
    asked = webauthn.generate_authentication_options(
        rp_id=_host(origin), allow_credentials=_known(rows), user_verification=UserVerificationRequirement.PREFERRED
    )
    return Question(webauthn.options_to_json(asked), _seal(broker, me, _USE, asked.challenge))


def use(broker: Broker, me: SignedIn, origin: str, state: str, answer: str) -> None:
    """Let somebody on who holds one of their passkeys. Raises Invalid."""
    if not factors_of(me.role, me.policy).own:
        raise Invalid("A passkey is not enough.", {"passkey": "Your policy asks for the code of a RADIUS server."})
    challenge = _unseal(broker, me, _USE, state)
    try:
        with broker.db.read() as conn:
            mine = (t.passkeys.c.user_id == me.user.id) & (t.passkeys.c.credential_hash == credential_hash(answer))
            row = conn.execute(select(t.passkeys).where(mine)).one()
        count = proven(row, answer, challenge, origin)
    except Exception as problem:
        raise Invalid("The passkey is not right.", {"passkey": _WRONG}, detail=str(problem)[:200]) from problem
    with broker.db.write() as conn:
        if not note_use(conn, row, count, broker.now()):
            raise Invalid("The passkey is not right.", {"passkey": _WRONG})
        let_on(conn, me)


def credential_hash(answer: str) -> str:
    """Return by what a passkey is found, out of a browser's answer. Raises ValueError, KeyError, TypeError, RecursionError."""
    return hash_secret(str(json.loads(answer[:MAX_ANSWER])["id"]))


def proven(row: Any, answer: str, challenge: bytes, origin: str, *, verified: bool = False) -> int:
    """Verify a browser's answer (WebAuthn Level 2, section 7.2), and return the new counter; `verified`: also who holds it was asked.

    Besides its own errors, the library raises whatever it trips over.
    """
    found = webauthn.verify_authentication_response(
        credential=answer[:MAX_ANSWER], expected_challenge=challenge, expected_rp_id=_host(origin), expected_origin=origin,
        credential_public_key=_bytes(row.public_key), credential_current_sign_count=row.sign_count, require_user_verification=verified,
    )  # fmt: skip
    return found.new_sign_count


def note_use(conn: Connection, row: Any, count: int, now: datetime, asked_at: datetime | None = None) -> bool:
    """Keep that a passkey was used. False when it was meanwhile, or since the question was asked: each answer serves once.

    A counter that somebody else has moved means two of the same passkey (section 6.1.1).
    """
    k = t.passkeys.c
    same = (k.id == row.id) & (k.sign_count == row.sign_count)
    if asked_at is not None:
        same &= k.used_at.is_(None) | (k.used_at < asked_at)
    return conn.execute(update(t.passkeys).where(same).values(sign_count=count, used_at=now)).rowcount == 1


def remove(broker: Broker, me: SignedIn, id: str) -> None:
    """Forget a passkey. Raises Denied; Conflict for the last factor of somebody of whom one is demanded."""
    refuse_owing(me)
    demanded = me.role.second_factor_required or me.policy.second_factor_required
    with broker.db.write() as conn:
        mine = (t.passkeys.c.id == id) & (t.passkeys.c.user_id == me.user.id)
        others = conn.scalar(
            select(func.count())
            .select_from(t.passkeys)
            .where(t.passkeys.c.user_id == me.user.id, t.passkeys.c.id != id)
        )
        app = conn.execute(
            select(t.second_factors.c.id).where(
                t.second_factors.c.id == me.user.id, t.second_factors.c.confirmed_at.is_not(None)
            )
        ).first()
        if not others and app is None and demanded:
            raise Conflict("A second factor is demanded of you, and this is the last one.")
        if conn.execute(delete(t.passkeys).where(mine)).rowcount != 1:
            return
        if not others and app is None:
            conn.execute(delete(t.recovery_codes).where(t.recovery_codes.c.user_id == me.user.id))
            conn.execute(update(t.users).where(t.users.c.id == me.user.id).values(second_factor=None))
        tell(broker, conn, me, "user.passkey_removed")


def _rows(conn: Connection, me: SignedIn) -> Sequence[Any]:
    return conn.execute(
        select(t.passkeys).where(t.passkeys.c.user_id == me.user.id).order_by(t.passkeys.c.created_at)
    ).all()


def _known(rows: Sequence[Any]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=_bytes(row.credential_id)) for row in rows]


def _host(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _seal(broker: Broker, me: SignedIn, what: str, challenge: bytes) -> str:
    """Bind a question to the session that asked it, its purpose and its time."""
    values = (what, me.session_id, bytes_to_base64url(challenge), broker.now().timestamp())
    return broker.vault.seal(PLACE, json.dumps(values))


def _unseal(broker: Broker, me: SignedIn, what: str, state: str) -> bytes:
    """Return the challenge of a question of this session. Raises Invalid."""
    try:
        purpose, session_id, challenge, at = json.loads(broker.vault.open(PLACE, state[:MAX_ANSWER]))
    except (Invalid, ValueError) as problem:
        raise Invalid("The passkey is not right.", {"passkey": _WRONG}) from problem
    if (purpose, session_id) != (what, me.session_id) or broker.now().timestamp() - at > SECONDS:
        raise Invalid("The passkey is not right.", {"passkey": "This took too long. Try again."})
    return _bytes(challenge)
