"""Logging in: facts, one proof, one transaction. Unknown, wrong and locked look and last the same for names nobody has.

A local user's password is compared here. Everybody else is asked about in a directory, behind its own gate, and whoever waits
there holds no thread: `begin` answers with a future.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from portico.domain.directories import LOCAL, DirectoryRecord, to_ask
from portico.domain.login import split_name
from portico.domain.model import Client, Reason
from portico.services import directory_login, local_login
from portico.services.attempts import MAX_NAME, Attempt, Facts, Outcome, attempt
from portico.services.attempts import LoggedIn as LoggedIn
from portico.services.attempts import Refused as Refused
from portico.services.broker import Broker
from portico.services.directories import by_redirect
from portico.services.guards import require_oneself
from portico.services.sessions import SignedIn
from portico.store import users

ADDRESS_LIMIT = 30  # failures a minute from one address


@dataclass(frozen=True, slots=True)
class Begun:
    """A log-in on its way, and before which directory it stands first ("": it is decided here)."""

    outcome: "Future[Outcome]"
    line: str = ""


def login(broker: Broker, name: str, password: str, client: Client, *, kind: str = "web") -> Outcome:
    """Log somebody in, and wait for it as long as it takes. At most six statements."""
    return begin(broker, attempt(broker, name, password, client, kind)).outcome.result()


def begin(broker: Broker, wanted: Attempt) -> Begun:
    """Begin to log somebody in. The future holds what came of it, at once for local users."""
    found = facts(broker, wanted)
    outcome: Outcome | None = too_many(broker, found.counters.get(users.address_key(wanted.client.address)))
    if outcome is None and (found.row is not None or not found.asked):
        outcome = local_login.log_in(broker, wanted, found)
    if outcome is None:
        return Begun(directory_login.ask(broker, wanted, found), found.asked[0].id)
    done: Future[Outcome] = Future()
    done.set_result(outcome)
    return Begun(done)


def facts(broker: Broker, wanted: Attempt) -> Facts:
    """Read who may be meant and who has failed before: two statements, for unknown names too."""
    name, domain = split_name(wanted.name)
    name = name[:MAX_NAME]
    asked = _asked(broker, wanted, domain)
    keys = [users.address_key(wanted.client.address), users.name_key(name)]
    keys += [users.name_key(f"{directory.id}:{name}") for directory in asked]
    with broker.db.read() as conn:
        row, counters = users.login_facts(conn, name, keys)
    if row is not None and not _is_meant(wanted, row, domain, asked):
        row = None
    return Facts(name, asked, row, dict(counters))


def _asked(broker: Broker, wanted: Attempt, domain: str) -> tuple[DirectoryRecord, ...]:
    """Return the directories to ask. At the common page, bare names belong to the people of the first tenant."""
    snapshot = broker.snapshots.get()
    if wanted.directory_id == LOCAL or domain == LOCAL:
        return ()
    tenant = wanted.tenant_id or ("" if domain or wanted.directory_id else snapshot.home)
    mine = (one for one in snapshot.directories.values() if not tenant or one.tenant_id == tenant)
    known = [one for one in mine if not by_redirect(broker, one)]
    return tuple(to_ask(known, domain, wanted.directory_id))


def _is_meant(wanted: Attempt, row: Any, domain: str, asked: tuple[DirectoryRecord, ...]) -> bool:
    """Tell whether the local user is meant, and not somebody of that name elsewhere."""
    if wanted.tenant_id and row.tenant_id != wanted.tenant_id:
        return False
    return not (asked and (domain or wanted.directory_id))


def too_many(broker: Broker, crowd: Any) -> Refused | None:
    """Refuse an address from which too many have failed within a minute; `crowd` is its counter."""
    if crowd is None or crowd.failed < ADDRESS_LIMIT:
        return None
    wait = timedelta(seconds=users.ADDRESS_WINDOW_SECONDS) - (broker.now() - crowd.window_at)
    seconds = int(wait.total_seconds()) + 1
    return Refused(Reason("login.rate_limited", {"seconds": seconds}), seconds) if wait > timedelta() else None


def change_password(broker: Broker, me: SignedIn, old: str, new: str) -> None:
    """Set one's own password, where one is kept, and end one's other sessions. Raises Invalid naming the field `old` or `new`."""
    require_oneself(me)
    change = local_login.change_password if me.user.directory == LOCAL else directory_login.change_password
    change(broker, me, old, new)
