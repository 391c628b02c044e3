"""A second factor: codes of an app by the clock (TOTP, RFC 6238), and ten codes on paper for when the app is lost."""

import hmac
import io
import secrets
from dataclasses import dataclass

import pyotp
import segno
from sqlalchemy import Connection, delete, insert, select, update

from portico.domain.access import Actor, Level
from portico.domain.login import locked_for
from portico.domain.second_factors import factors_of
from portico.errors import Conflict, Denied, Invalid, NotFound, RateLimited
from portico.services.attempts import count_name, lockout_of
from portico.services.broker import Broker
from portico.services.changes import announce
from portico.services.guards import require
from portico.services.sessions import SignedIn, hash_secret
from portico.store import events, users
from portico.store import tables as t

ISSUER = "Portico"
STEP_SECONDS = 30  # RFC 6238, section 5.2
STEPS_AROUND = 1  # that a clock may be off, either way
DIGITS = 6
RECOVERY_CODES, RECOVERY_BYTES = 10, 8
_PLACE = "second_factors.sealed_secret:{}"


@dataclass(frozen=True, slots=True)
class Setup:
    """What an app needs to make codes: the secret to type, the address to read, and that address as a picture (SVG)."""

    secret: str
    uri: str
    picture: str


def refuse_owing(me: SignedIn) -> None:
    """Keep who still owes a code from making a factor of their own instead, which would let them on. Raises Denied."""
    if me.pending == "code":
        raise Denied("Give your code first.")


def begin(broker: Broker, me: SignedIn) -> Setup:
    """Make a secret for an app, or show the one that was made and not confirmed yet. Raises Denied; Conflict when one is in use."""
    refuse_owing(me)
    now, place = broker.now(), _PLACE.format(me.user.id)
    with broker.db.write() as conn:
        row = conn.execute(select(t.second_factors).where(t.second_factors.c.id == me.user.id)).first()
        if row is not None and row.confirmed_at is not None:
            raise Conflict("You have a second factor already. Remove it first.")
        if row is not None:
            secret = broker.vault.open(place, row.sealed_secret)
        else:
            secret = pyotp.random_base32()
            sealed = broker.vault.seal(place, secret)
            values = {
                "id": me.user.id,
                "sealed_secret": sealed,
                "last_step": 0,
                "confirmed_at": None,
                "created_at": now,
            }
            conn.execute(insert(t.second_factors).values(**values))
    uri = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(
        name=me.user.login_name, issuer_name=ISSUER
    )
    picture = io.BytesIO()
    segno.make(uri, error="m").save(
        picture, kind="svg", border=2, omitsize=True, xmldecl=False, svgclass="", lineclass=""
    )
    return Setup(secret, uri, picture.getvalue().decode())


def begin_if_none(broker: Broker, me: SignedIn) -> Setup | None:
    """Make a secret for an app as `begin` does; None when one is in use."""
    try:
        return begin(broker, me)
    except Conflict:
        return None


def confirm(broker: Broker, me: SignedIn, code: str) -> list[str]:
    """Take the factor into use once its app has made a right code; returns the codes for paper, this once. Raises Invalid, Denied."""
    refuse_owing(me)
    now = broker.now()
    with broker.db.write() as conn:
        step = _step_of(broker, conn, me, code, confirmed=False)
        if step is None or not _take_step(conn, me.user.id, step):
            raise Invalid(
                "The code is not right.", {"code": "This code is not right. Look whether the app's clock is."}
            )
        conn.execute(update(t.second_factors).where(t.second_factors.c.id == me.user.id).values(confirmed_at=now))
        conn.execute(update(t.users).where(t.users.c.id == me.user.id).values(second_factor="totp"))
        made = codes_for_paper(broker, conn, me)
        let_on(conn, me)
        tell(broker, conn, me, "user.second_factor_set")
    return made


def codes_for_paper(broker: Broker, conn: Connection, me: SignedIn) -> list[str]:
    """Make new codes for paper; those of before are worth nothing."""
    half = RECOVERY_BYTES // 2
    made = [f"{secrets.token_hex(half)}-{secrets.token_hex(half)}" for _ in range(RECOVERY_CODES)]
    conn.execute(delete(t.recovery_codes).where(t.recovery_codes.c.user_id == me.user.id))
    rows = [
        {"id": broker.new_id(), "user_id": me.user.id, "code_hash": hash_secret(_plain(one)), "used_at": None}
        for one in made
    ]
    conn.execute(insert(t.recovery_codes), rows)
    return made


def key_of(me: SignedIn) -> str:
    """Return the key under which somebody's wrong codes are counted, of whatever factor."""
    return f"factor:{me.user.id}"


def check(broker: Broker, me: SignedIn, code: str, *, leaving: bool = False) -> None:
    """Let somebody on whose password was right: by the app's code or one from paper, each good once. Raises Invalid, RateLimited.

    Where RADIUS alone counts, the app's code does not, but for removing the app (`leaving`).
    """
    now, key = broker.now(), key_of(me)
    by_app = leaving or factors_of(me.role, me.policy).own
    with broker.db.read() as conn:
        seen = lockout_of(None, users.get_counter(conn, users.name_key(key)))
    if seconds := locked_for(seen, now):
        raise RateLimited("Too many tries. Wait a little.", retry_after=seconds)
    with broker.db.write() as conn:
        step = _step_of(broker, conn, me, code, confirmed=True) if by_app else None
        good = _take_step(conn, me.user.id, step) if step is not None else _take_recovery(broker, conn, me, code)
        if good:
            let_on(conn, me)
            users.forget_failures(conn, users.name_key(key))
            return
        count_name(conn, key, seen, now)
        tell(broker, conn, me, "login.code_refused", "warning")
    raise Invalid(
        "The code is not right.",
        {"code": "This code is not right. Wait for the next one, or use a code from your paper."},
    )


def remove(broker: Broker, me: SignedIn, code: str) -> None:
    """Do without the app again, by a last right code; passkeys stay. Raises Invalid, RateLimited, Denied; Conflict where a factor is demanded."""
    refuse_owing(me)
    with broker.db.read() as conn:
        others = bool(conn.scalar(select(t.passkeys.c.id).where(t.passkeys.c.user_id == me.user.id).limit(1)))
    if not others and (me.role.second_factor_required or me.policy.second_factor_required):
        raise Conflict("A second factor is demanded of you. An administrator can reset it.")
    check(broker, me, code, leaving=True)
    with broker.db.write() as conn:
        if others:
            conn.execute(delete(t.second_factors).where(t.second_factors.c.id == me.user.id))
            conn.execute(update(t.users).where(t.users.c.id == me.user.id).values(second_factor="passkey"))
        else:
            _forget(conn, me.user.id)
        tell(broker, conn, me, "user.second_factor_removed")


def paper(broker: Broker, me: SignedIn) -> list[str]:
    """Make codes for paper for somebody whose codes RADIUS servers check, for when these do not answer. Raises Conflict, Denied."""
    refuse_owing(me)
    if factors_of(me.role, me.policy).radius_id is None:
        raise Conflict("Codes for paper are made with a second factor.")
    with broker.db.write() as conn:
        made = codes_for_paper(broker, conn, me)
        tell(broker, conn, me, "user.paper_codes_made")
    return made


def has_app(broker: Broker, me: SignedIn) -> bool:
    """Tell whether somebody has set up an app."""
    mine = (t.second_factors.c.id == me.user.id) & t.second_factors.c.confirmed_at.is_not(None)
    with broker.db.read() as conn:
        return conn.scalar(select(t.second_factors.c.id).where(mine)) is not None


def reset(broker: Broker, actor: Actor, user_id: str) -> None:
    """Take a lost factor from somebody of the tenant, who sets up a new one where one is demanded. Raises Denied, NotFound."""
    require(actor, "users", Level.EDIT)
    with broker.db.write() as conn:
        mine = (t.users.c.id == user_id) & (t.users.c.tenant_id == actor.tenant_id) & t.users.c.deleted_at.is_(None)
        row = conn.execute(select(t.users).where(mine)).first()
        if row is None:
            raise NotFound("There is no such user.")
        _forget(conn, user_id)
        announce(broker, conn, actor, "user.second_factor_reset", {"user_id": user_id, "user": row.login_name})


def _step_of(broker: Broker, conn: Connection, me: SignedIn, code: str, *, confirmed: bool) -> int | None:
    """Return the step of time whose code this is, of those near now; None for a wrong one."""
    row = conn.execute(select(t.second_factors).where(t.second_factors.c.id == me.user.id)).first()
    if row is None or (row.confirmed_at is not None) is not confirmed:
        return None
    typed = "".join(code.split())
    made = pyotp.TOTP(
        broker.vault.open(_PLACE.format(me.user.id), row.sealed_secret), digits=DIGITS, interval=STEP_SECONDS
    )
    now = int(broker.now().timestamp()) // STEP_SECONDS
    steps = range(now - STEPS_AROUND, now + STEPS_AROUND + 1)
    return next((step for step in steps if hmac.compare_digest(made.generate_otp(step).encode(), typed.encode())), None)


def _take_step(conn: Connection, user_id: str, step: int) -> bool:
    fresh = (t.second_factors.c.id == user_id) & (t.second_factors.c.last_step < step)
    return conn.execute(update(t.second_factors).where(fresh).values(last_step=step)).rowcount == 1


def _take_recovery(broker: Broker, conn: Connection, me: SignedIn, code: str) -> bool:
    codes = t.recovery_codes.c
    unused = (codes.user_id == me.user.id) & (codes.code_hash == hash_secret(_plain(code))) & codes.used_at.is_(None)
    taken = conn.execute(update(t.recovery_codes).where(unused).values(used_at=broker.now())).rowcount == 1
    if taken:
        tell(broker, conn, me, "user.recovery_code_used", "warning")
    return taken


def let_on(conn: Connection, me: SignedIn) -> None:
    """Let this session be good for everything from now on."""
    if me.session_id is not None:
        conn.execute(update(t.sessions).where(t.sessions.c.id == me.session_id).values(pending=None))


def _forget(conn: Connection, user_id: str) -> None:
    conn.execute(delete(t.second_factors).where(t.second_factors.c.id == user_id))
    conn.execute(delete(t.passkeys).where(t.passkeys.c.user_id == user_id))
    conn.execute(delete(t.recovery_codes).where(t.recovery_codes.c.user_id == user_id))
    conn.execute(update(t.users).where(t.users.c.id == user_id).values(second_factor=None))


def _plain(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def tell(broker: Broker, conn: Connection, me: SignedIn, code: str, level: str = "info") -> None:
    """Write down what somebody did about their second factor."""
    entry = events.Entry(broker.now(), code, me.user.tenant_id, me.user.login_name, level, user_id=me.user.id)
    events.add(conn, entry)
