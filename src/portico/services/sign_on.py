"""People whom a provider vouches for: sent there by their browser, let in by the rules when they come back."""

import base64
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import select, update

from portico.domain.directories import DirectoryRecord
from portico.errors import DirectoryError, DirectoryRefused, Invalid, NotFound
from portico.ports.sign_on import Departure, Ended, Vouched
from portico.services import directory_login
from portico.services.attempts import Attempt, Outcome
from portico.services.broker import Broker
from portico.services.directories import answer_of, by_redirect, gate_of
from portico.services.sessions import SignedIn
from portico.store import directories as store
from portico.store import tables as t

PLACE = "sign-on"
RETURN_PATH = "/login/back"
ENDED_PATH = "/login/ended"
POST_PATH = "/login/saml/{}/acs"  # where an answer comes to that is a form
MAX_AGE = timedelta(minutes=15)  # that somebody may take at the provider
MAX_TOKEN = 20_000


@dataclass(frozen=True, slots=True)
class Way:
    """A log-in that is on its way over a provider; sealed, it waits at the browser."""

    directory_id: str
    back: str
    next: str
    path: str  # of the tenant's page it began at
    kept: Mapping[str, str]
    at: float


def offered(broker: Broker, tenant_id: str) -> list[DirectoryRecord]:
    """Return the providers of a tenant, in order."""
    known = broker.snapshots.get().directories.values()
    mine = [one for one in known if one.tenant_id == tenant_id and one.active and by_redirect(broker, one)]
    return sorted(mine, key=lambda one: (one.position, one.name.casefold(), one.id))


def way_back(broker: Broker, directory_id: str) -> str:
    """Return the path that a provider sends the browser back to. Raises NotFound."""
    kind = provider(broker, directory_id).kind
    by_post = getattr(broker.directory_drivers[kind], "by_post", False)
    return POST_PATH.format(directory_id) if by_post else RETURN_PATH


def begin(broker: Broker, directory_id: str, back: str) -> "Future[Departure]":
    """Ask where to send the browser. Raises NotFound, DirectoryError."""
    gate = gate_of(broker, provider(broker, directory_id))
    return gate.submit(lambda: gate.driver.begin(back))


def seal(broker: Broker, way: Way) -> str:
    """Return what the browser keeps meanwhile and cannot read or change."""
    values = (way.directory_id, way.back, way.next, way.path, dict(way.kept), way.at)
    return broker.vault.seal(PLACE, json.dumps(values))


def unseal(broker: Broker, sealed: str) -> Way:
    """Read what the browser kept. Raises Invalid when it kept nothing of ours, or for too long."""
    begin_again = "This log-in took too long, or began in another browser. Begin again."
    try:
        directory_id, back, next_page, path, kept, at = json.loads(broker.vault.open(PLACE, sealed))
    except (Invalid, ValueError) as problem:
        raise Invalid(begin_again) from problem
    if broker.now().timestamp() - at > MAX_AGE.total_seconds():
        raise Invalid(begin_again)
    return Way(directory_id, back, next_page, path, kept, at)


def finish(broker: Broker, way: Way, answer: Mapping[str, str]) -> "Future[Vouched]":
    """Let the provider's answer be checked. Raises NotFound, DirectoryError."""
    gate = gate_of(broker, provider(broker, way.directory_id))
    return gate.submit(lambda: gate.driver.finish(way.back, way.kept, answer))


def welcome(broker: Broker, way: Way, wanted: Attempt, vouched: Vouched) -> Outcome:
    """Let in whom the provider vouches for, by the directory's rules. Raises DirectoryRefused for an answer that has served."""
    directory = provider(broker, way.directory_id)
    if vouched.once:
        key = hashlib.sha256(f"{directory.id}:{vouched.once}".encode()).hexdigest()
        with broker.db.write() as conn:
            first = store.use_answer(conn, key, datetime.fromtimestamp(vouched.until, UTC))
        if not first:
            raise DirectoryRefused("This answer has served already. Begin again.")
    return directory_login.welcome(broker, wanted, directory, vouched.identity, vouched=vouched)


def leave(broker: Broker, me: SignedIn, back: str) -> "Future[str] | None":
    """Ask where the browser goes to end the session at the provider; None for people of no provider."""
    directory = broker.snapshots.get().directories.get(me.user.directory)
    if directory is None or not by_redirect(broker, directory):
        return None
    with broker.db.read() as conn:
        kept = conn.scalar(select(t.sessions.c.sign_on_kept).where(t.sessions.c.id == me.session_id)) or {}
    try:
        gate = gate_of(broker, directory)
        return gate.submit(lambda: str(gate.driver.leave(back, kept)))
    except DirectoryError:
        return None


def ended(broker: Broker, here: str, token: str) -> int:
    """End the sessions of whom a provider has logged out; returns how many. Raises DirectoryRefused for a forged notice."""
    issuer = _issuer(token)
    for directory in broker.snapshots.get().directories.values():
        if not by_redirect(broker, directory) or str(directory.settings.get("issuer", "")).rstrip("/") != issuer:
            continue
        gate = gate_of(broker, directory)
        try:
            told: Ended = answer_of(gate.submit(partial(gate.driver.ended, here, {"logout_token": token})))
        except DirectoryRefused:
            continue  # another directory of the same provider may be meant
        return end(broker, directory, told)
    raise DirectoryRefused("This is no notice of a provider that we know.")


def end(broker: Broker, directory: DirectoryRecord, told: Ended) -> int:
    """End the sessions that a trusted notice names; returns how many. One that names nobody ends none."""
    if not (told.subject or told.name or told.sessions):
        return 0
    people = select(t.users.c.id).where(t.users.c.directory == directory.id)
    if told.subject:
        people = people.where(t.users.c.subject == told.subject[:200])
    theirs = t.sessions.c.user_id.in_(people) & t.sessions.c.ended_at.is_(None)
    if told.name:
        theirs &= t.sessions.c.sign_on_as == told.name[:200]
    if told.sessions:
        theirs &= t.sessions.c.sign_on.in_([one[:200] for one in told.sessions])
    with broker.db.write() as conn:
        done = update(t.sessions).where(theirs).values(ended_at=broker.now(), end_reason="logged out at the provider")
        return conn.execute(done).rowcount


def _issuer(token: str) -> str:
    """Return who a token says it is of; whether that is true is found out by its signature."""
    try:
        body = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims["iss"]).rstrip("/")
    except (IndexError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise DirectoryRefused("This is no notice.") from problem


def provider(broker: Broker, directory_id: str) -> DirectoryRecord:
    """Return an active directory whose people log in at a provider. Raises NotFound."""
    directory = broker.snapshots.get().directories.get(directory_id)
    if directory is None or not directory.active or not by_redirect(broker, directory):
        raise NotFound("There is no such way to log in.")
    return directory
