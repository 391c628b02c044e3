"""Codes that RADIUS servers check, in several steps where they ask back. Nobody waits for them in a thread of the web server.

One row for each session says what has become of its latest code, so that whoever asks again, at any broker, is told. A person is asked
about once at a time: the lock-out is exact, and no phone rings twice.
"""

import base64
import re
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from portico.domain.login import locked_for
from portico.domain.second_factors import RadiusServers, factors_of
from portico.errors import Conflict, DirectoryError, Invalid, RateLimited
from portico.ports.second_factor import Answer, Reply, Unanswered
from portico.services import second_factor
from portico.services.attempts import count_name, lockout_of
from portico.services.broker import Broker
from portico.services.gates import WAIT_SECONDS
from portico.services.radius import gate_of, name_of
from portico.services.sessions import SignedIn
from portico.store import events, users
from portico.store import radius as store

PATIENCE_SECONDS = 5.0  # until a page tells that it takes longer
STALE = timedelta(seconds=2 * WAIT_SECONDS)  # after which the broker that asked is gone
CHALLENGE = timedelta(minutes=5)  # that somebody may take to answer
MAX_STEPS = 5  # that servers may ask back in a row
_PAPER = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")
WRONG = ("refused", "unanswered")


@dataclass(frozen=True, slots=True)
class Progress:
    """What has become of a code: "", waiting, challenge, refused, unanswered, down or done; and what the server says."""

    state: str = ""
    message: str = ""


def of(broker: Broker, me: SignedIn) -> RadiusServers | None:
    """Return the servers that check somebody's codes. Raises DirectoryError for some that are gone: then nobody else will do."""
    named = factors_of(me.role, me.policy).radius_id
    if named is None:
        return None
    found = broker.snapshots.get().radius_servers.get(named)
    if found is None or found.tenant_id != me.user.tenant_id:
        raise DirectoryError("The server that checks your code is no longer connected. Ask your administrator.")
    return found


def is_asked(broker: Broker, me: SignedIn, code: str, by: str = "") -> bool:
    """Tell whether a code is for RADIUS servers: not one from paper, nor of an app where that counts, unless `by` says "radius"."""
    factors = factors_of(me.role, me.policy)
    if factors.radius_id is None or _PAPER.fullmatch(code.strip().lower()):
        return False
    return by == "radius" or not factors.own or not second_factor.has_app(broker, me)


def begin(broker: Broker, me: SignedIn, code: str) -> "Future[None]":
    """Begin to have a code checked; `look` tells what became of it once the future is done.

    Raises Invalid, RateLimited while somebody is locked out, Conflict while another code of theirs is being checked, DirectoryError.
    """
    servers, session_id = of(broker, me), me.session_id
    if servers is None or session_id is None or me.pending != "code":
        raise Conflict("No code is asked for.")
    now, try_id = broker.now(), broker.new_id()
    with broker.db.write() as conn:
        before = store.get(conn, session_id)
        asked_back = before is not None and before.state == "challenge" and now - before.created_at < CHALLENGE
        if not code and not servers.push and not asked_back:
            raise Invalid("The code is not right.", {"code": "Type the code."})
        steps = before.steps if before is not None and asked_back else 0
        first = {"try_id": try_id, "message": "", "challenge": "", "steps": steps, "created_at": now}
        if not store.begin(conn, session_id, me.user.id, now - STALE, **first):
            raise Conflict("Another code of yours is being checked. Wait for that first.")
        # Looked at once this is the only try: what came of the one before is counted by now.
        if seconds := locked_for(lockout_of(None, users.get_counter(conn, _counter(me))), now):
            raise RateLimited("Too many tries. Wait a little.", retry_after=seconds)
    state = base64.b64decode(before.challenge) if before is not None and asked_back else b""
    done: Future[None] = Future()
    ended = _ended(broker, me, _Try(servers, try_id, steps), done)
    try:
        gate, name = gate_of(broker, servers), name_of(broker, servers, me)
        gate.submit(lambda: gate.driver.ask(name, code, state)).add_done_callback(ended)
    except (DirectoryError, RateLimited) as problem:
        failed: Future[Reply] = Future()
        failed.set_exception(problem)
        ended(failed)
    return done


def look(broker: Broker, me: SignedIn) -> Progress:
    """Tell what has become of a session's latest code."""
    with broker.db.read() as conn:
        row = store.get(conn, me.session_id or "")
    if row is None:
        return Progress()
    if row.state == "waiting" and broker.now() - row.created_at > STALE:
        return Progress("down")
    if row.state == "challenge" and broker.now() - row.created_at > CHALLENGE:
        return Progress()
    return Progress(row.state, row.message)


@dataclass(frozen=True, slots=True)
class _Try:
    servers: RadiusServers
    id: str
    steps: int


def _ended(broker: Broker, me: SignedIn, tried: _Try, done: "Future[None]") -> Callable[["Future[Reply]"], None]:
    def ended(answer: "Future[Reply]") -> None:
        try:
            with broker.db.write() as conn:
                _conclude(broker, conn, me, tried, answer)
            done.set_result(None)
        except BaseException as problem:  # whatever it is, who waits is told
            done.set_exception(problem)

    return ended


def _conclude(broker: Broker, conn: Connection, me: SignedIn, tried: _Try, answer: "Future[Reply]") -> None:
    """Keep what came of a code: let on, count a wrong one, or remember what was asked back."""
    problem = answer.exception()
    reply = answer.result() if problem is None else Reply(Answer.REJECT)
    state = {Answer.ACCEPT: "done", Answer.REJECT: "refused", Answer.CHALLENGE: "challenge"}[reply.answer]
    if isinstance(problem, Unanswered):
        state = "unanswered"
    elif problem is not None and not isinstance(problem, Invalid):
        state = "down"
    steps = tried.steps + 1
    if state == "challenge" and steps > MAX_STEPS:
        state = "refused"
    challenge = base64.b64encode(reply.state).decode() if state == "challenge" else ""
    kept = {"message": reply.message, "challenge": challenge, "steps": steps}
    if not store.conclude(conn, me.session_id or "", tried.id, state=state, created_at=broker.now(), **kept):
        return
    if state == "done":
        second_factor.let_on(conn, me)
        users.forget_failures(conn, _counter(me))
    elif state in WRONG:
        count_name(
            conn, second_factor.key_of(me), lockout_of(None, users.get_counter(conn, _counter(me))), broker.now()
        )
        second_factor.tell(broker, conn, me, "login.code_refused", "warning")
    elif state == "down":
        entry = events.Entry(
            broker.now(), "login.radius_down", me.user.tenant_id, me.user.login_name, "warning",
            params={"id": tried.servers.id, "name": tried.servers.name}, user_id=me.user.id,
        )  # fmt: skip
        events.add(conn, entry)


def _counter(me: SignedIn) -> str:
    return users.name_key(second_factor.key_of(me))
