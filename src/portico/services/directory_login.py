"""People whom a directory vouches for: asked in order behind its gate, then given a role and a policy by its rules."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from portico import faults
from portico.domain.directories import CHANGE_FIRST, DirectoryRecord, Granted, Identity, Standing, grant
from portico.domain.explain import as_json
from portico.domain.login import as_typed, locked_for, split_name, step_after_password
from portico.domain.model import Client, Reason, Role, User
from portico.errors import DirectoryError, DirectoryRefused, Invalid, RateLimited
from portico.ports.directory import TypedName, Verdict
from portico.ports.sign_on import Vouched
from portico.services import scim
from portico.services.attempts import (
    MAX_NAME,
    Attempt,
    Facts,
    Outcome,
    Refused,
    arrived,
    count_name,
    enter,
    locked,
    lockout_of,
    password_changed,
    refuse,
)
from portico.services.broker import Broker
from portico.services.directories import answer_of, by_redirect, gate_of
from portico.services.gates import TooLong
from portico.services.sessions import Given, SignedIn
from portico.store import directories as store
from portico.store import events, users

# What a directory says of somebody whose password was right.
_TOLD = {
    Standing.DISABLED: "login.disabled", Standing.EXPIRED: "login.expired", Standing.MUST_CHANGE: "login.expired",
    Standing.ACCOUNT_EXPIRED: "login.account_expired", Standing.HOURS: "login.hours", Standing.WORKSTATION: "login.workstation",
    Standing.SECOND_FACTOR: "login.second_factor_there",
}  # fmt: skip
NAME_LONGEST = 150  # what is kept of a login name; a mark may follow it when the name was given to somebody else


@dataclass(slots=True)
class _Asking:
    """One log-in on its way through the directories."""

    broker: Broker
    wanted: Attempt
    facts: Facts
    done: "Future[Outcome]" = field(default_factory=Future)
    trouble: DirectoryError | RateLimited | None = None  # of one that could not be asked


def ask(broker: Broker, wanted: Attempt, facts: Facts) -> "Future[Outcome]":
    """Ask the directories, one after the other, until one knows the name. Only that one is shown the password."""
    asking = _Asking(broker, wanted, facts)
    _ask_next(asking, 0)
    return asking.done


def _ask_next(asking: _Asking, place: int) -> None:
    """Stand in the line of a directory. What cannot be asked is passed over: its users alone are hurt."""
    try:
        while place < len(asking.facts.asked):
            directory = asking.facts.asked[place]
            if (seconds := _locked(asking, directory)) > 0:
                asking.done.set_result(locked(seconds))
                return
            try:
                answer = _submit(asking, directory)
            except (DirectoryError, RateLimited) as problem:
                asking.trouble = problem
                place += 1
                continue
            answer.add_done_callback(_then(asking, place))
            return
        asking.done.set_result(_nobody(asking))
    except BaseException as problem:  # whatever it is, who waits is told
        asking.done.set_exception(problem)


def _submit(asking: _Asking, directory: DirectoryRecord) -> "Future[Verdict]":
    gate = gate_of(asking.broker, directory)
    user, whole = as_typed(asking.wanted.name)
    password = asking.wanted.password
    return gate.submit(lambda: gate.driver.authenticate(TypedName(user, whole), password))


def _then(asking: _Asking, place: int) -> Callable[["Future[Verdict]"], None]:
    def answered(answer: "Future[Verdict]") -> None:
        problem = answer.exception()
        if isinstance(problem, DirectoryError | RateLimited):
            asking.trouble = problem
            _ask_next(asking, place + 1)
        elif problem is not None:
            asking.done.set_exception(problem)
        elif answer.result().standing is Standing.UNKNOWN:
            _ask_next(asking, place + 1)
        else:
            try:
                asking.done.set_result(_conclude(asking, asking.facts.asked[place], answer.result()))
            except BaseException as unexpected:
                asking.done.set_exception(unexpected)

    return answered


def _key(asking: _Asking, directory: DirectoryRecord) -> str:
    return f"{directory.id}:{asking.facts.login_name}"


def _locked(asking: _Asking, directory: DirectoryRecord) -> int:
    counter = asking.facts.counters.get(users.name_key(_key(asking, directory)))
    return locked_for(lockout_of(None, counter), asking.broker.now())


def _nobody(asking: _Asking) -> Refused:
    """Refuse a name that no directory knows; if one of them could not be asked, say that instead."""
    if isinstance(asking.trouble, TooLong):
        return Refused(Reason("login.too_long"))
    if asking.trouble is not None:
        seconds = max(1, round(asking.trouble.retry_after))
        return Refused(Reason("login.directory_down", {"seconds": seconds}), seconds)
    return _failed(asking, asking.facts.asked[0], Verdict(Standing.UNKNOWN))


def _failed(asking: _Asking, directory: DirectoryRecord, verdict: Verdict) -> Refused:
    """Count a wrong password, or a name that nobody has, and write it down; both look the same."""
    broker, wanted, now = asking.broker, asking.wanted, asking.broker.now()
    key = _key(asking, directory)
    with broker.db.write() as conn:
        after = count_name(conn, key, lockout_of(None, asking.facts.counters.get(users.name_key(key))), now)
        users.note_address_failure(conn, wanted.client.address, now)
        known = Reason(f"login.{verdict.standing}", {"directory": directory.name})
        entry = events.Entry(
            now, "login.refused", directory.tenant_id, asking.facts.login_name, "warning",
            params={"address": wanted.client.address, "failed": after.failed}, reason=as_json(known),
        )  # fmt: skip
        events.add(conn, entry)
    seconds = locked_for(after, now)
    return locked(seconds) if seconds else Refused(Reason("login.wrong"))


def _conclude(asking: _Asking, directory: DirectoryRecord, verdict: Verdict) -> Outcome:
    if verdict.identity is None:
        return _failed(asking, directory, verdict)
    someone = User("", directory.tenant_id, _login_name(verdict.identity), "", verdict.identity.display_name)
    changes = gate_of(asking.broker, directory).driver.changes_passwords
    change_first = verdict.standing in CHANGE_FIRST
    if verdict.standing is not Standing.OK and not (change_first and changes):
        return refuse(
            asking.broker, asking.wanted, Reason(_TOLD[verdict.standing], {"directory": directory.name}), someone
        )
    outcome = welcome(asking.broker, asking.wanted, directory, verdict.identity, must_change=change_first)
    key = users.name_key(_key(asking, directory))
    if key in asking.facts.counters and not isinstance(outcome, Refused):
        with asking.broker.db.write() as conn:
            users.forget_failures(conn, key)
    return outcome


def welcome(
    broker: Broker,
    wanted: Attempt,
    directory: DirectoryRecord,
    identity: Identity,
    *,
    must_change: bool = False,
    vouched: Vouched | None = None,
) -> Outcome:
    """Let in whom a directory vouches for, by its rules: at most four statements."""
    someone = User("", directory.tenant_id, _login_name(identity), "", identity.display_name)
    if directory.provisioned:
        with broker.db.read() as conn:
            known = scim.enrich(conn, directory, identity)
        if isinstance(known, Reason):
            return refuse(broker, wanted, known, someone)
        identity = known
    decided = decide(broker, directory, identity, wanted.client, wanted.key.kind)
    if isinstance(decided, Reason):
        return refuse(broker, wanted, decided, someone)
    granted, role = decided
    policy = broker.snapshots.get().policy_of(directory.tenant_id, granted.policy_id)
    if wanted.passkey and not policy.passkey_log_in:
        return refuse(broker, wanted, Reason("login.passkey_off"), someone)
    said = {
        "login_name": _login_name(identity), "display_name": identity.display_name[:MAX_NAME], "email": identity.email[:MAX_NAME],
        "role_id": role.id, "policy_id": granted.policy_id, "must_change_password": must_change,
    }  # fmt: skip

    def admit(conn: Connection) -> tuple[Any, User, Given]:
        row = _known(broker, conn, directory, identity, said)
        user = users.record(row)
        due = step_after_password(user, role, policy, passkey=wanted.passkey)
        given = Given(policy, role.id, as_json(granted.reason), vouched, due)
        if not user.disabled:
            enter(broker, conn, wanted, user, given)
        return row, user, given

    faults.point("login.before_commit")
    try:
        with broker.db.write() as conn:
            row, user, given = admit(conn)
    except IntegrityError:  # the name is somebody else's, or they log in twice at this moment
        with broker.db.write() as conn:
            _give_way(broker, conn, directory, identity, _login_name(identity))
            row, user, given = admit(conn)
    faults.point("login.after_commit")
    if user.disabled:
        return refuse(broker, wanted, Reason("login.disabled"), user)
    return arrived(broker, wanted, user, role, given, row.preferences)


def decide(
    broker: Broker, directory: DirectoryRecord, identity: Identity, client: Client, kind: str = "web"
) -> tuple[Granted, Role] | Reason:
    """Return what the rules give, and the role; or why it is nothing."""
    snapshot = broker.snapshots.get()
    where = snapshot.location_of(directory.tenant_id, client)
    granted = grant(directory, identity, where.id if where else None)
    if isinstance(granted, Reason):
        return granted
    role = snapshot.roles.get(granted.role_id) or broker.snapshots.get(fresh=True).roles.get(granted.role_id)
    if role is None or role.tenant_id != directory.tenant_id:
        return Reason("login.no_role", {"directory": directory.name}, (granted.reason,))
    if not role.may_log_in or (kind == "api" and not role.may_use_api):
        return Reason("login.not_allowed", {}, (granted.reason,))
    return granted, role


def _login_name(identity: Identity) -> str:
    return split_name(identity.login_name)[0][:NAME_LONGEST] or identity.subject[:NAME_LONGEST]


def _known(
    broker: Broker, conn: Connection, directory: DirectoryRecord, identity: Identity, said: dict[str, Any]
) -> Any:
    """Return the user's row, made at their first log-in, with what the directory and the rules say now."""
    now = broker.now()
    row = store.find(conn, directory.id, identity.subject[:MAX_NAME])
    if row is None:
        added = {"id": broker.new_id(), "tenant_id": directory.tenant_id, "directory": directory.id}
        return _Row(None, store.add(conn, now, subject=identity.subject[:MAX_NAME], **added, **said))
    # Who was barred because the directory said no is let in again because it says yes; an administrator's no stays.
    lifted = {"barred": None, "disabled": False} if row.barred else {}
    values = {**said, **lifted, "last_login_at": now}
    store.change(conn, row.id, **values)
    return _Row(row, values)


def _give_way(broker: Broker, conn: Connection, directory: DirectoryRecord, identity: Identity, name: str) -> None:
    """Rename who had the name before: it was given to somebody else, who must not come to their desktops."""
    before = store.same_name(conn, directory.tenant_id, directory.id, name)
    if before is None or before.subject == identity.subject[:MAX_NAME]:
        return
    renamed = f"{name}~{before.id[-8:]}"
    store.change(conn, before.id, login_name=renamed, barred="gone", disabled=True)
    entry = events.Entry(
        broker.now(), "user.replaced", directory.tenant_id, level="warning", user_id=before.id,
        params={"name": name, "renamed": renamed, "directory": directory.name},
    )  # fmt: skip
    events.add(conn, entry)


class _Row:
    """A row as it stands after it was written, readable as a row: saves reading it again."""

    def __init__(self, row: Any, values: dict[str, Any]) -> None:
        self._row, self._values = row, values

    def __getattr__(self, name: str) -> Any:
        return self._values[name] if name in self._values else getattr(self._row, name)


def change_password(broker: Broker, me: SignedIn, old: str, new: str) -> None:
    """Change a password where it is kept. Raises Invalid naming the field, DirectoryError when nobody answers."""
    directory = broker.snapshots.get().directories.get(me.user.directory)
    if directory is None:
        raise Invalid(
            "The password was not changed.", {"form": "Your directory is no longer connected. Ask your administrator."}
        )
    if by_redirect(broker, directory):
        raise Invalid("The password was not changed.", {"form": "Change it where you log in: it is not kept here."})
    if not new or not old:
        raise Invalid("The password was not changed.", {"new" if old else "old": "Fill this in."})
    key = f"{directory.id}:{me.user.login_name}"
    now = broker.now()
    with broker.db.read() as conn:
        seen = lockout_of(None, users.get_counter(conn, users.name_key(key)))
    if locked_for(seen, now):
        raise Invalid("Too many tries.", {"old": "Wait some minutes, then try again."})
    gate = gate_of(broker, directory)
    name = TypedName(me.user.login_name, me.user.login_name)
    try:
        verdict: Verdict = answer_of(gate.submit(lambda: gate.driver.change_password(name, old, new)))
    except DirectoryRefused as problem:
        raise Invalid("The password was not changed.", {"new": problem.sentence}) from problem
    if verdict.standing is not Standing.OK:
        with broker.db.write() as conn:
            count_name(conn, key, seen, now)
        raise Invalid("The password was not changed.", {"old": "This is not your password."})
    with broker.db.write() as conn:
        store.change(conn, me.user.id, must_change_password=False, updated_at=now)
        password_changed(broker, conn, me)
