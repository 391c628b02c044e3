"""Letting a program in from a browser: it shows a code, somebody who is logged in types it and says yes (RFC 8628).

However people log in, by a provider, with a second factor, over a slow directory, programs need to know nothing of it.
"""

import hmac
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.domain.directories import LOCAL
from portico.domain.login import locked_for
from portico.domain.model import Client, Reason
from portico.errors import Denied, NotFound, RateLimited, Unavailable
from portico.services import clients, sessions
from portico.services.attempts import MAX_ADDRESS, Refused, count_name, lockout_of
from portico.services.broker import Broker
from portico.services.sessions import Given, Key, SignedIn
from portico.store import events, users
from portico.store import tables as t

LETTERS = "BCDFGHJKLMNPQRSTVWXZ"  # no vowels, so that no words come about (RFC 8628, section 6.1)
LENGTH = 8
MINUTES = 10
INTERVAL_SECONDS = 3
AT_A_TIME = 10  # of one address


@dataclass(frozen=True, slots=True)
class Begun:
    """What a program tells its user, and the key by which it asks what has become of it."""

    key: Key
    user_code: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A program that asks to be let in."""

    id: str
    user_code: str
    client_name: str
    client_address: str


def begin(broker: Broker, client: Client) -> Begun:
    """Make a code for a program. Raises RateLimited when too many of an address wait."""
    key, now = sessions.new_key(broker, "api"), broker.now()
    d = t.device_logins.c
    values = {
        "id": key.id, "secret_hash": sessions.hash_secret(key.secret), "client_address": client.address[:MAX_ADDRESS],
        "client_name": client.name[:100], "client": clients.kept(client), "state": "waiting", "created_at": now,
    }  # fmt: skip
    for _ in range(3):
        code = "".join(secrets.choice(LETTERS) for _ in range(LENGTH))
        try:
            with broker.db.write() as conn:
                conn.execute(delete(t.device_logins).where(d.created_at < now - timedelta(minutes=MINUTES)))
                mine = select(func.count()).where(d.client_address == values["client_address"], d.state == "waiting")
                if (conn.scalar(mine) or 0) >= AT_A_TIME:
                    raise RateLimited("Too many programs of your address wait to be let in.", retry_after=60)
                conn.execute(insert(t.device_logins).values(user_code=code, **values))
            return Begun(key, f"{code[:4]}-{code[4:]}")
        except IntegrityError:
            continue
    raise Unavailable("No code could be made. Try again.")


def find(broker: Broker, me: SignedIn, user_code: str) -> Asked:
    """Return the program that shows a code. Raises NotFound for a wrong one, RateLimited for many of them."""
    key, now = f"device:{me.user.id}", broker.now()
    typed = "".join(letter for letter in user_code.upper() if letter in LETTERS)[:LENGTH]
    d = t.device_logins.c
    with broker.db.read() as conn:
        seen = lockout_of(None, users.get_counter(conn, users.name_key(key)))
        if seconds := locked_for(seen, now):
            raise RateLimited("Too many wrong codes. Wait a little.", retry_after=seconds)
        fresh = d.created_at >= now - timedelta(minutes=MINUTES)
        row = conn.execute(select(t.device_logins).where(d.user_code == typed, d.state == "waiting", fresh)).first()
    if row is None:
        with broker.db.write() as conn:
            count_name(conn, key, seen, now)
        raise NotFound("No program shows this code, or not any more. Look at it again.")
    return Asked(row.id, f"{typed[:4]}-{typed[4:]}", row.client_name, row.client_address)


def decide(broker: Broker, me: SignedIn, user_code: str, *, approve: bool) -> None:
    """Let the program in as oneself, with the role and the policy of this session, or keep it out. Raises NotFound, Denied."""
    if approve and not me.role.may_use_api:
        raise Denied("Your role does not allow the API. Ask an administrator.")
    asked = find(broker, me, user_code)
    state, d = "approved" if approve else "denied", t.device_logins.c
    with broker.db.write() as conn:
        row = conn.execute(select(t.device_logins).where(d.id == asked.id)).first()
        waits = (d.id == asked.id) & (d.state == "waiting")
        if row is None or conn.execute(update(t.device_logins).where(waits).values(state=state)).rowcount != 1:
            raise NotFound("Somebody has answered already.")
        if approve:
            given = Given(me.policy, None if me.user.directory == LOCAL else me.role.id)
            client = replace(clients.read(row.client or {}, asked.client_address), name=asked.client_name)
            sessions.open_session(broker, conn, me.user, client, Key(row.id, "", "api", row.secret_hash), given)
            clients.saw(broker, conn, me.user, client)
        params = {"address": asked.client_address, "program": asked.client_name}
        code = "login.program_let_in" if approve else "login.program_kept_out"
        entry = events.Entry(
            broker.now(), code, me.user.tenant_id, me.user.login_name, params=params, user_id=me.user.id
        )
        events.add(conn, entry)


def look(broker: Broker, value: str) -> SignedIn | Refused | None:
    """Tell what has become of a program's request; None while nobody has answered."""
    key, now, d = sessions.read_key(value), broker.now(), t.device_logins.c
    me = sessions.find(broker, value) if key else None
    if me is not None or key is None:
        return me or Refused(Reason("login.too_long"))
    with broker.db.read() as conn:
        row = conn.execute(select(t.device_logins).where(d.id == key.id)).first()
    if row is None or not hmac.compare_digest(row.secret_hash, sessions.hash_secret(key.secret)):
        return Refused(Reason("login.too_long"))
    if row.state == "waiting" and row.created_at >= now - timedelta(minutes=MINUTES):
        return None
    if row.state == "approved":  # between the two looks
        return sessions.find(broker, value) or Refused(Reason("login.too_long"))
    return Refused(Reason("login.denied" if row.state == "denied" else "login.too_long"))
