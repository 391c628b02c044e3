"""Passkeys, with an authenticator made of a key pair: what is proven lets on, and nothing else does."""

import hashlib
import json
import secrets
import struct
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, actor
from tests.fleet import CLIENT, Fleet
from tests.page_client import ORIGIN as LOCALHOST
from tests.page_client import SAME, Page
from webauthn.helpers import bytes_to_base64url as b64

from portico.errors import Conflict, Denied, Invalid
from portico.services import configure, login, passkeys, second_factor, sessions
from portico.services.login import LoggedIn
from portico.services.passkeys import Given
from portico.services.sessions import SignedIn
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S045")
ORIGIN = "https://portico.test"
PRESENT, VERIFIED, NEW = 0x01, 0x04, 0x40


class Authenticator:
    """A key that makes and uses one credential, as a security key does."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = secrets.token_bytes(32)
        self.count = 0

    def make(self, options: str, origin: str = ORIGIN) -> str:
        numbers = self.key.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        held = b"\0" * 16 + struct.pack(">H", 32) + self.id + public
        data = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._data(PRESENT | VERIFIED | NEW) + held})
        return self._answer(
            {"clientDataJSON": b64(self._client("webauthn.create", options, origin)), "attestationObject": b64(data)}
        )

    def use(self, options: str, origin: str = ORIGIN, flags: int = PRESENT | VERIFIED) -> str:
        self.count += 1
        client, data = self._client("webauthn.get", options, origin), self._data(flags)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        )

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(b"portico.test").digest() + bytes([flags]) + struct.pack(">I", self.count)

    def _client(self, kind: str, options: str, origin: str) -> bytes:
        said = {"type": kind, "challenge": json.loads(options)["challenge"], "origin": origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _answer(self, response: dict[str, Any]) -> str:
        return json.dumps({"id": b64(self.id), "rawId": b64(self.id), "type": "public-key", "response": response})


def enter(fleet: Fleet) -> tuple[str, SignedIn]:
    found = login.login(fleet.broker, "user", PASSWORD, CLIENT)
    assert isinstance(found, LoggedIn)
    me = sessions.find(fleet.broker, found.secret, halfway=True)
    assert me is not None
    return found.secret, me


def with_passkey(fleet: Fleet) -> tuple[Authenticator, list[str]]:
    key, (_, me) = Authenticator(), enter(fleet)
    asked = passkeys.ask_to_add(fleet.broker, me, ORIGIN)
    return key, passkeys.add(fleet.broker, me, ORIGIN, asked.state, Given(key.make(asked.options), "Ring"))


def question(fleet: Fleet, me: SignedIn) -> passkeys.Question:
    asked = passkeys.ask_to_use(fleet.broker, me, ORIGIN)
    assert asked is not None
    return asked


def ready(fleet: Fleet, key: Authenticator) -> SignedIn:
    """Log in with the password and the passkey."""
    value, me = enter(fleet)
    asked = question(fleet, me)
    passkeys.use(fleet.broker, me, ORIGIN, asked.state, key.use(asked.options))
    found = sessions.find(fleet.broker, value)
    assert found is not None
    return found


def test_a_passkey_stands_in_for_the_code(fleet: Fleet) -> None:
    key, codes = with_passkey(fleet)
    assert len(codes) == 10
    value, me = enter(fleet)
    assert me.pending == "code"
    asked = question(fleet, me)
    passkeys.use(fleet.broker, me, ORIGIN, asked.state, key.use(asked.options))
    ready = sessions.find(fleet.broker, value)
    assert ready is not None
    (one,) = passkeys.list_own(fleet.broker, ready)
    assert (one.name, one.used_at is not None) == ("Ring", True)
    _, other = enter(fleet)
    second_factor.check(fleet.broker, other, codes[0])  # a code from paper will do as well


@pytest.mark.parametrize(
    "what",
    ["origin", "another key", "replayed", "of another session", "too late", "counter", "nonsense", "absent", "state"],
)
def test_what_proves_nothing_lets_nobody_on(fleet: Fleet, what: str) -> None:
    key, _ = with_passkey(fleet)
    value, me = enter(fleet)
    asked = question(fleet, me)
    state, answer = asked.state, key.use(asked.options)
    if what == "origin":
        answer = key.use(asked.options, "https://p0rtico.test")
    elif what == "another key":
        thief = Authenticator()
        thief.id = key.id
        answer = thief.use(asked.options)
    elif what == "replayed":
        passkeys.use(fleet.broker, me, ORIGIN, state, answer)
        value, me = enter(fleet)
    elif what == "of another session":
        state = question(fleet, enter(fleet)[1]).state
    elif what == "too late":
        fleet.clock.forward(minutes=6)
    elif what == "counter":
        for _ in range(3):
            answer = key.use(asked.options)
        passkeys.use(fleet.broker, me, ORIGIN, state, answer)
        value, me = enter(fleet)
        asked = question(fleet, me)
        key.count = 1  # a copy that lags behind
        state, answer = asked.state, key.use(asked.options)
    elif what == "nonsense":
        answer = json.dumps({"id": "x", "response": []})
    elif what == "absent":
        answer = key.use(asked.options, flags=0)
    elif what == "state":
        state = "v1.000001.nonsense"
    with pytest.raises(Invalid):
        passkeys.use(fleet.broker, me, ORIGIN, state, answer)
    assert sessions.find(fleet.broker, value) is None


def test_the_same_passkey_is_not_added_twice_nor_a_foreign_one(fleet: Fleet) -> None:
    key, _ = with_passkey(fleet)
    me = ready(fleet, key)
    asked = passkeys.ask_to_add(fleet.broker, me, ORIGIN)
    assert b64(key.id) in asked.options  # the browser is told which there are
    for answer in (
        key.make(asked.options),
        Authenticator().make(asked.options, "https://p0rtico.test"),
        "{}",
        "",
        "x" * 50_000,
    ):
        with pytest.raises(Invalid):
            passkeys.add(fleet.broker, me, ORIGIN, asked.state, Given(answer))
    used = question(fleet, me)
    with pytest.raises(Invalid):  # a question to use is none to add
        passkeys.add(fleet.broker, me, ORIGIN, used.state, Given(Authenticator().make(used.options)))


def test_the_last_factor_goes_only_where_none_is_demanded(fleet: Fleet) -> None:
    key, _ = with_passkey(fleet)
    me = ready(fleet, key)
    (one,) = passkeys.list_own(fleet.broker, me)
    configure.update_item(fleet.broker, actor(fleet.broker), "policies", "policy", {"second_factor_required": True})
    fleet.broker.snapshots.get(fresh=True)
    with pytest.raises(Conflict):
        passkeys.remove(fleet.broker, ready(fleet, key), one.id)
    configure.update_item(fleet.broker, actor(fleet.broker), "policies", "policy", {"second_factor_required": False})
    fleet.broker.snapshots.get(fresh=True)
    passkeys.remove(fleet.broker, ready(fleet, key), one.id)
    assert enter(fleet)[1].pending == ""
    with fleet.broker.db.read() as conn:
        assert conn.execute(select(t.recovery_codes)).all() == []


def test_nobody_removes_or_uses_anothers(fleet: Fleet) -> None:
    with_passkey(fleet)
    (one,) = passkeys.list_own(fleet.broker, enter(fleet)[1])
    other = login.login(fleet.broker, "admin", PASSWORD, CLIENT)
    assert isinstance(other, LoggedIn)
    assert passkeys.ask_to_use(fleet.broker, other.me, ORIGIN) is None
    passkeys.remove(fleet.broker, other.me, one.id)
    assert len(passkeys.list_own(fleet.broker, enter(fleet)[1])) == 1


def test_who_owes_a_code_sets_up_nothing_instead(fleet: Fleet) -> None:
    """Else the password alone would be enough: a new app or passkey would let its maker on."""
    with_passkey(fleet)
    with TestClient(create_app(fleet.broker), base_url=LOCALHOST, follow_redirects=False) as browser:
        browser.post("/login", data={"username": "user", "password": PASSWORD}, headers=SAME)
        form = {"csrf": Page(browser.get("/login/code").text).field("csrf"), "code": "000000"}
        for path in (
            "/second-factor",
            "/second-factor/remove",
            "/second-factor/paper",
            "/second-factor/passkey/options",
        ):
            answer = browser.post(path, data=form, headers=SAME)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login/code"), path
    value, me = enter(fleet)
    asked = passkeys.ask_to_add(fleet.broker, replace(me, pending=""), ORIGIN)
    (one,) = passkeys.list_own(fleet.broker, me)
    made = Given(Authenticator().make(asked.options))
    for attempt in (
        lambda: second_factor.begin(fleet.broker, me),
        lambda: second_factor.confirm(fleet.broker, me, "000000"),
        lambda: second_factor.paper(fleet.broker, me),
        lambda: passkeys.ask_to_add(fleet.broker, me, ORIGIN),
        lambda: passkeys.add(fleet.broker, me, ORIGIN, asked.state, made),
        lambda: passkeys.remove(fleet.broker, me, one.id),
    ):
        with pytest.raises(Denied):
            attempt()
    assert sessions.find(fleet.broker, value) is None
