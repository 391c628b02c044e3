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

from portico.errors import Conflict, Invalid
from portico.services.broker import Broker
from portico.services.second_factor import codes_for_paper, let_on, tell
from portico.services.sessions import SignedIn, hash_secret
from portico.store import tables as t

PLACE = "passkey"
SECONDS = 300  # from the question to the answer
MOST = 10  # of one person
MAX_ANSWER = 20_000
_WRONG = "This passkey was not accepted. Try again, or use a code."


@dataclass(frozen=True, slots=True)
class Passkey:
    """One of a person's passkeys."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Question:
    """What the browser is asked (JSON), and the sealed state that must come back with its answer."""

    options: str
    state: str


def list_own(broker: Broker, me: SignedIn) -> list[Passkey]:
    """Return somebody's passkeys, oldest first."""
    with broker.db.read() as conn:
        rows = _rows(conn, me)
    return [Passkey(row.id, row.name, row.created_at, row.used_at) for row in rows]


def ask_to_add(broker: Broker, me: SignedIn, origin: str) -> Question:
    """Ask the browser to make a passkey. Raises Conflict when there are too many."""
    with broker.db.read() as conn:
        rows = _rows(conn, me)
    if len(rows) >= MOST:
        raise Conflict(f"You have {MOST} passkeys. Remove one first.")
    asked = webauthn.generate_registration_options(
        rp_id=_host(origin), rp_name="Portico", user_id=me.user.id.encode(), user_name=me.user.login_name,
        user_display_name=me.user.display_name or me.user.login_name, exclude_credentials=_known(rows),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
    )  # fmt: skip
    return Question(webauthn.options_to_json(asked), _seal(broker, me, "add", asked.challenge))


def add(broker: Broker, me: SignedIn, origin: str, state: str, answer: str, name: str) -> list[str]:
    """Keep a passkey; returns codes for paper when it is the first factor, else none. Raises Invalid."""
    challenge = _unseal(broker, me, "add", state)
    try:
        found = webauthn.verify_registration_response(
            credential=answer[:MAX_ANSWER],
            expected_challenge=challenge,
            expected_rp_id=_host(origin),
            expected_origin=origin,
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
            "id": broker.new_id(), "user_id": me.user.id, "name": name.strip()[:60] or "Passkey", "credential_hash": hash_secret(id),
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
    return Question(webauthn.options_to_json(asked), _seal(broker, me, "use", asked.challenge))


def use(broker: Broker, me: SignedIn, origin: str, state: str, answer: str) -> None:
    """Let somebody on who holds one of their passkeys. Raises Invalid."""
    challenge = _unseal(broker, me, "use", state)
    try:
        id = str(json.loads(answer[:MAX_ANSWER])["id"])
        with broker.db.read() as conn:
            mine = (t.passkeys.c.user_id == me.user.id) & (t.passkeys.c.credential_hash == hash_secret(id))
            row = conn.execute(select(t.passkeys).where(mine)).one()
        found = webauthn.verify_authentication_response(
            credential=answer[:MAX_ANSWER], expected_challenge=challenge, expected_rp_id=_host(origin), expected_origin=origin,
            credential_public_key=_bytes(row.public_key), credential_current_sign_count=row.sign_count,
        )  # fmt: skip
    except Exception as problem:
        raise Invalid("The passkey is not right.", {"passkey": _WRONG}, detail=str(problem)[:200]) from problem
    with broker.db.write() as conn:
        # A counter that somebody else has moved meanwhile means two of the same passkey (WebAuthn 6.1.1).
        same = (t.passkeys.c.id == row.id) & (t.passkeys.c.sign_count == row.sign_count)
        moved = update(t.passkeys).where(same).values(sign_count=found.new_sign_count, used_at=broker.now())
        if conn.execute(moved).rowcount != 1:
            raise Invalid("The passkey is not right.", {"passkey": _WRONG})
        let_on(conn, me)


def remove(broker: Broker, me: SignedIn, id: str) -> None:
    """Forget a passkey. Raises Conflict for the last factor of somebody of whom one is demanded."""
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
