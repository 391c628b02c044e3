"""Log-ins that take longer than a page should: parked under the key that their session will have, and asked for by it.

The row is for whoever asks again, at any broker. The session itself appears under the same key when the log-in has ended well,
so nothing of a password and no secret stands in the row.
"""

import hmac
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from portico.domain.explain import as_json, from_json
from portico.domain.model import Reason
from portico.services import sessions
from portico.services.attempts import Attempt, Outcome, Refused
from portico.services.broker import Broker
from portico.services.gates import WAIT_SECONDS
from portico.services.sessions import SignedIn
from portico.store import directories as store

PATIENCE_SECONDS = 5.0  # until a page tells that it takes longer (S119)
GRACE_SECONDS = 15.0  # after the limit, until a log-in whose broker is gone counts as ended


@dataclass(frozen=True, slots=True)
class Waiting:
    """It has not ended yet; `position` is the place in the line, 1 is the next one."""

    position: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """It has ended well."""

    me: SignedIn


def park(broker: Broker, wanted: Attempt, directory_id: str, outcome: "Future[Outcome]") -> None:
    """Keep a log-in that is on its way, and how it ends once it has."""
    with broker.db.write() as conn:
        store.park(
            conn, id=wanted.key.id, secret_hash=sessions.hash_secret(wanted.key.secret), directory_id=directory_id,
            broker_id=broker.id, created_at=broker.now(),
        )  # fmt: skip
    outcome.add_done_callback(_conclude(broker, wanted.key.id))


def _conclude(broker: Broker, login_id: str) -> Callable[["Future[Outcome]"], None]:
    def ended(outcome: "Future[Outcome]") -> None:
        state, reason, retry_after = "done", None, 0
        if outcome.cancelled() or outcome.exception() is not None:
            state, reason = "refused", as_json(Reason("login.directory_down"))
        elif isinstance(found := outcome.result(), Refused):
            state, reason, retry_after = "refused", as_json(found.reason), found.retry_after
        with broker.db.write() as conn:
            store.conclude(conn, login_id, state, reason, retry_after)

    return ended


def look(broker: Broker, value: str) -> Arrived | Waiting | Refused:
    """Tell what has become of a log-in by its key. An unknown key looks like one whose time is over."""
    key = sessions.read_key(value)
    me = sessions.find(broker, value, halfway=True) if key else None
    if me is not None:
        return Arrived(me)
    with broker.db.read() as conn:
        row = store.parked(conn, key.id) if key else None
        if row is None or key is None or not hmac.compare_digest(row.secret_hash, sessions.hash_secret(key.secret)):
            return Refused(Reason("login.too_long"))
        oldest = broker.now() - timedelta(seconds=WAIT_SECONDS + GRACE_SECONDS)
        if row.state == "waiting" and row.created_at >= oldest:
            return Waiting(store.ahead(conn, row.directory_id, oldest, row.created_at) + 1)
    # Ended between the two looks, or its broker is gone.
    me = sessions.find(broker, value, halfway=True)
    if me is not None:
        return Arrived(me)
    return _refused(row)


def _refused(row: Any) -> Refused:
    reason = from_json(row.reason) if row.reason else Reason("login.too_long")
    return Refused(reason, row.retry_after)
