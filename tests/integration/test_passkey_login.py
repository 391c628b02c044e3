"""Log-in by a passkey alone: who may, what is proven, what a directory says of it, and what nobody learns from a refusal."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient
from tests.brokers import OTHER, PASSWORD, TENANT, actor
from tests.contract.test_directory import LINES
from tests.fleet import CLIENT, Fleet
from tests.integration.test_directory_logins import connect_list
from tests.integration.test_passkeys import PRESENT, VERIFIED, Authenticator
from tests.page_client import SAME
from webauthn.helpers import bytes_to_base64url as b64

from doubles.slapd import BASE, Slapd
from portico.directories.listed import Listed
from portico.domain.model import Client
from portico.errors import Conflict, DirectoryError, Invalid
from portico.services import attempts, configure, login, passkey_login, passkeys, sessions
from portico.services.attempts import Outcome
from portico.services.login import LoggedIn, Refused
from portico.services.passkey_login import Answered, Asked
from portico.services.passkeys import Given
from portico.services.sessions import SignedIn
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S045", "S047")
ORIGIN = "https://portico.test"


class Key(Authenticator):
    """A key that says whose it is."""

    def answer(self, options: str, user_id: str, origin: str = ORIGIN, flags: int = PRESENT | VERIFIED) -> str:
        made: dict[str, Any] = json.loads(self.use(options, origin, flags))
        made["response"]["userHandle"] = b64(user_id.encode())
        return json.dumps(made)


def allow(fleet: Fleet, allowed: bool = True, **fields: Any) -> None:
    wanted = {"passkey_log_in": allowed, **fields}
    configure.update_item(fleet.broker, actor(fleet.broker), "policies", "policy", wanted)
    fleet.broker.snapshots.get(fresh=True)


def by_password(fleet: Fleet, name: str = "user", password: str = PASSWORD) -> SignedIn:
    found = login.login(fleet.broker, name, password, CLIENT)
    assert isinstance(found, LoggedIn), found
    me = sessions.find(fleet.broker, found.secret, halfway=True)
    assert me is not None
    return me


def make_key(fleet: Fleet, me: SignedIn, *, alone: bool = True) -> Key:
    key = Key()
    asked = passkeys.ask_to_add(fleet.broker, me, ORIGIN, alone=alone)
    passkeys.add(fleet.broker, me, ORIGIN, asked.state, Given(key.make(asked.options), "Ring", alone))
    fleet.clock.forward(1)
    return key


def enter(fleet: Fleet, key: Key, user_id: str = "user", asked: Asked | None = None, **changed: Any) -> Outcome:
    tenant, client = changed.pop("tenant", ""), changed.pop("client", CLIENT)
    fleet.clock.forward(1)  # a question counts that was asked after the last answer
    asked = asked or passkey_login.ask(fleet.broker, ORIGIN)
    given = {"origin": ORIGIN, "state": asked.state, "kept": asked.kept, "answer": ""} | changed
    given["answer"] = given["answer"] or key.answer(asked.options, user_id)
    wanted = attempts.attempt(fleet.broker, "", "", client, tenant_id=tenant)
    return passkey_login.begin(fleet.broker, wanted, Answered(**given)).outcome.result(60)


def entered(fleet: Fleet, key: Key, user_id: str = "user") -> SignedIn:
    found = enter(fleet, key, user_id)
    assert isinstance(found, LoggedIn), found
    assert sessions.find(fleet.broker, found.secret, halfway=True) is not None
    return found.me


def reason(found: Outcome) -> str:
    assert isinstance(found, Refused)
    return found.reason.code


def test_a_passkey_alone_lets_in_and_is_a_second_factor_at_once(fleet: Fleet) -> None:
    allow(fleet, second_factor_required=True)
    key = make_key(fleet, by_password(fleet))
    assert by_password(fleet).pending == "code"
    me = entered(fleet, key)
    assert (me.user.id, me.pending, me.role.name, me.policy.name) == ("user", "", "User", "Default")
    event = [row for row in fleet.rows(t.events) if row.code == "login.ok"][-1]
    assert event.params["by"] == "passkey"
    assert fleet.row(t.users, "user").last_login_at == fleet.clock()
    (one,) = passkeys.list_own(fleet.broker, me)
    assert one.alone


def test_it_is_off_until_a_policy_says_so_and_again_when_it_no_longer_does(fleet: Fleet) -> None:
    assert not passkey_login.offered(fleet.broker, TENANT)
    with pytest.raises(Conflict):
        passkeys.ask_to_add(fleet.broker, by_password(fleet), ORIGIN, alone=True)
    allow(fleet)
    assert passkey_login.offered(fleet.broker, TENANT) and passkey_login.offered(fleet.broker, "")
    assert not passkey_login.offered(fleet.broker, OTHER)
    key = make_key(fleet, by_password(fleet))
    allow(fleet, False)
    assert reason(enter(fleet, key)) == "login.passkey_off"


def test_only_a_passkey_that_was_made_for_it_logs_in_alone(fleet: Fleet) -> None:
    """One must want it, by a question that asks for a key that knows whose it is and who holds it."""
    allow(fleet)
    me = by_password(fleet)
    key = make_key(fleet, me, alone=False)
    assert reason(enter(fleet, key)) == "login.passkey_wrong"
    asked = passkeys.ask_to_add(fleet.broker, me, ORIGIN, alone=True)
    wanted = json.loads(asked.options)["authenticatorSelection"]
    assert (wanted["residentKey"], wanted["userVerification"]) == ("required", "required")
    plain = passkeys.ask_to_add(fleet.broker, me, ORIGIN)
    with pytest.raises(Invalid):  # a question for the one is none for the other
        passkeys.add(fleet.broker, me, ORIGIN, plain.state, Given(Key().make(plain.options), "", True))


Changes = dict[str, Any]


def _another_key(fleet: Fleet, key: Key, asked: Asked) -> Changes:
    thief = Key()
    thief.id = key.id
    return {"answer": thief.answer(asked.options, "user")}


def _replayed(fleet: Fleet, key: Key, asked: Asked) -> Changes:
    good = key.answer(asked.options, "user")
    assert isinstance(enter(fleet, key, asked=asked, answer=good), LoggedIn)
    fleet.change(t.passkeys, fleet.rows(t.passkeys)[0].id, sign_count=0)  # as of a key that counts nothing
    return {"answer": good}


def _too_late(fleet: Fleet, key: Key, asked: Asked) -> Changes:
    fleet.clock.forward(minutes=6)
    return {}


# What proves nothing: name → what is sent otherwise.
WRONG: dict[str, Callable[[Fleet, Key, Asked], Changes]] = {
    "another key": _another_key,
    "replayed": _replayed,
    "too late": _too_late,
    "origin": lambda fleet, key, asked: {"answer": key.answer(asked.options, "user", "https://p0rtico.test")},
    "unverified": lambda fleet, key, asked: {"answer": key.answer(asked.options, "user", flags=PRESENT)},
    "another browser": lambda fleet, key, asked: {"kept": passkey_login.ask(fleet.broker, ORIGIN).kept},
    "no browser": lambda fleet, key, asked: {"kept": ""},
    "of somebody else": lambda fleet, key, asked: {"answer": key.answer(asked.options, "admin")},
    "nobody": lambda fleet, key, asked: {"answer": Key().answer(asked.options, "user")},
    "no owner": lambda fleet, key, asked: {"answer": key.use(asked.options)},
    "nonsense": lambda fleet, key, asked: {"answer": "{}"},
    "deep": lambda fleet, key, asked: {"answer": "[" * 19_000},
    "a number": lambda fleet, key, asked: {"answer": "1"},
    "state": lambda fleet, key, asked: {"state": "v1.000001.nonsense"},
    "the other tenant's page": lambda fleet, key, asked: {"tenant": OTHER},
}


@pytest.mark.parametrize("what", WRONG)
def test_what_proves_nothing_lets_nobody_in_and_all_of_it_looks_the_same(fleet: Fleet, what: str) -> None:
    allow(fleet)
    key = make_key(fleet, by_password(fleet))
    asked = passkey_login.ask(fleet.broker, ORIGIN)
    changed = WRONG[what](fleet, key, asked)
    before = len(fleet.rows(t.sessions))
    assert enter(fleet, key, asked=asked, **changed) == Refused(passkey_login.WRONG)
    assert len(fleet.rows(t.sessions)) == before
    assert "login.passkey_refused" in fleet.codes()


def test_failures_count_against_the_address_and_nobody_is_locked_out(fleet: Fleet) -> None:
    allow(fleet)
    key = make_key(fleet, by_password(fleet))
    asked = passkey_login.ask(fleet.broker, ORIGIN)
    for _ in range(login.ADDRESS_LIMIT):
        wanted = attempts.attempt(fleet.broker, "", "", CLIENT)
        tried = Answered(ORIGIN, asked.state, Key().answer(asked.options, "user"), asked.kept)
        passkey_login.begin(fleet.broker, wanted, tried).outcome.result(60)
    assert reason(enter(fleet, key)) == "login.rate_limited"
    assert isinstance(enter(fleet, key, client=Client("198.51.100.9")), LoggedIn)


def test_a_lock_after_wrong_passwords_does_not_keep_the_holder_of_a_passkey_out(fleet: Fleet) -> None:
    allow(fleet)
    key = make_key(fleet, by_password(fleet))
    for _ in range(5):
        login.login(fleet.broker, "user", "wrong", Client("198.51.100.9"))
    assert reason(login.login(fleet.broker, "user", PASSWORD, CLIENT)) == "login.locked"
    entered(fleet, key)
    assert fleet.row(t.users, "user").locked_until is not None


def test_who_is_disabled_or_may_not_log_in_stays_out(fleet: Fleet) -> None:
    allow(fleet)
    key = make_key(fleet, by_password(fleet))
    fleet.change(t.users, "user", disabled=True)
    assert reason(enter(fleet, key)) == "login.disabled"
    fleet.change(t.users, "user", disabled=False)
    fleet.change(t.roles, "role-user", body={"areas": {}, "may_log_in": False})
    assert reason(enter(fleet, key)) == "login.not_allowed"
    fleet.change(t.roles, "role-user", body={"areas": {}})
    fleet.change(t.users, "user", deleted_at=fleet.clock())
    assert reason(enter(fleet, key)) == "login.passkey_wrong"


def test_where_radius_alone_counts_a_passkey_replaces_the_password_and_not_the_code(fleet: Fleet) -> None:
    made = {"name": "Tokens", "servers": ["radius.test"], "secret": "a-shared-secret-of-tests"}
    servers = configure.create_item(fleet.broker, actor(fleet.broker), "radius-servers", made)["id"]
    allow(fleet)
    key = make_key(fleet, by_password(fleet))
    allow(fleet, radius_id=servers)
    assert entered(fleet, key).pending == "code"
    allow(fleet, radius_id=servers, radius_or_own=True)
    assert entered(fleet, key).pending == ""


# --- people of directories


class Down(Listed):
    """A list whose server has gone away."""

    gone = False

    def look(self, login_names: Any) -> Any:
        if Down.gone:
            raise DirectoryError("This directory does not answer.")
        return super().look(login_names)


@pytest.fixture
def listed(fleet: Fleet) -> str:
    allow(fleet)
    return connect_list(fleet)


def ada(fleet: Fleet) -> tuple[Key, str]:
    me = by_password(fleet, "ada@list.test", "Passw0rd-ada")
    return make_key(fleet, me), me.user.id


def test_a_directory_gives_role_and_policy_by_its_rules_of_now(fleet: Fleet, listed: str) -> None:
    key, ada_id = ada(fleet)
    assert entered(fleet, key, ada_id).role.name == "User"
    rules = [{"attribute": "group", "text": "Engineers", "role_id": "role-admin"}]
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"rules": rules})
    fleet.broker.snapshots.get(fresh=True)
    assert entered(fleet, key, ada_id).role.name == "Administrator"
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"rules": []})
    fleet.broker.snapshots.get(fresh=True)
    assert reason(enter(fleet, key, ada_id)) == "login.no_role"


@pytest.mark.parametrize("what", ["disabled", "gone", "another"])
def test_whom_the_directory_does_not_let_in_stays_out(fleet: Fleet, listed: str, what: str) -> None:
    key, ada_id = ada(fleet)
    line = next(text for text in LINES.splitlines() if text.startswith("ada:"))
    people = {
        "disabled": LINES.replace(line, "ada:!:Ada List:ada@list.test:Engineers"),
        "gone": LINES.replace(line, ""),
    }
    if what == "another":  # whose name it is now
        with fleet.broker.db.write() as conn:
            conn.execute(update(t.users).where(t.users.c.id == ada_id).values(subject="somebody before"))
    else:
        settings = {"settings": {"people": people[what]}}
        configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, settings)
        fleet.broker.snapshots.get(fresh=True)
    assert reason(enter(fleet, key, ada_id)) == "login.disabled"


def test_a_directory_that_cannot_be_asked_lets_nobody_in_and_one_that_is_off_neither(fleet: Fleet, listed: str) -> None:
    key, ada_id = ada(fleet)
    fleet.broker.directory_drivers["list"] = Down  # type: ignore[index]
    try:
        configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"connections": 2})
        fleet.broker.snapshots.get(fresh=True)
        Down.gone = True
        for _ in range(4):  # the gate is closed after three
            assert reason(enter(fleet, key, ada_id)) == "login.directory_down"
    finally:
        Down.gone = False
        fleet.broker.directory_drivers["list"] = Listed  # type: ignore[index]
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"active": False})
    fleet.broker.snapshots.get(fresh=True)
    assert reason(enter(fleet, key, ada_id)) == "login.passkey_off"


def test_people_of_providers_log_in_there(fleet: Fleet, listed: str) -> None:
    me = by_password(fleet, "ada@list.test", "Passw0rd-ada")
    key = make_key(fleet, me)
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.directories).where(t.directories.c.id == listed).values(kind="oidc"))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)
    with pytest.raises(Conflict):
        passkeys.ask_to_add(fleet.broker, me, ORIGIN, alone=True)
    assert reason(enter(fleet, key, me.user.id)) == "login.passkey_off"


# --- pages


def test_the_page_offers_it_only_where_a_policy_does(fleet: Fleet) -> None:
    with TestClient(create_app(fleet.broker), base_url="https://localhost:8443", follow_redirects=False) as browser:
        assert "Log in with a passkey" not in browser.get("/login").text
        allow(fleet)
        assert "Log in with a passkey" in browser.get("/login").text
        asked = browser.post("/login/alone/options", headers=SAME)
        assert "allowCredentials" not in asked.json()["options"] or asked.json()["options"]["allowCredentials"] == []
        assert asked.json()["options"]["userVerification"] == "required"
        assert browser.post("/login/alone/options", headers={"origin": "https://elsewhere.test"}).status_code == 403
        form = {"state": asked.json()["state"], "credential": "{}", "next": "/account", "path": ""}
        refused = browser.post("/login/alone", data=form, headers=SAME)
        assert refused.status_code == 401 and "This passkey does not let you in" in refused.text
        assert browser.post("/login/alone", data={**form, "path": "nowhere"}, headers=SAME).status_code == 404


# --- a real directory


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    made = Slapd()
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.mark.capability("S043")
def test_openldap_is_asked_at_each_log_in_by_a_passkey(fleet: Fleet, slapd: Slapd) -> None:
    """Its nested groups give the role; who is locked there stays out, and while it is away nobody comes in by it."""
    allow(fleet)
    broker = replace(fleet.broker, config=replace(fleet.broker.config, egress_allow=("127.0.0.0/8",)))
    fleet = replace(fleet, broker=broker)
    rules = [{"attribute": "group", "text": "VDI-Users", "role_id": "role-user"}]
    made = {"name": "Open", "kind": "ldap", "domains": ["open.test"], "settings": dict(slapd.settings), "rules": rules}
    configure.create_item(broker, actor(broker), "directories", made)
    broker.snapshots.get(fresh=True)
    me = by_password(fleet, "alice@open.test", slapd.password("alice"))
    key = make_key(fleet, me)
    assert entered(fleet, key, me.user.id).role.name == "User"
    entry = f"dn: uid=alice,ou=People,{BASE}\nchangetype: modify\n"
    slapd.modify(f"{entry}replace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n")
    try:
        assert reason(enter(fleet, key, me.user.id)) == "login.disabled"
    finally:
        slapd.modify(f"{entry}delete: pwdAccountLockedTime\n")
    entered(fleet, key, me.user.id)
    slapd.stop()
    try:
        assert reason(enter(fleet, key, me.user.id)) == "login.directory_down"
    finally:
        slapd.up()
    entered(fleet, key, me.user.id)
