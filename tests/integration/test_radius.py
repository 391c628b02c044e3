"""RADIUS as a second factor, against a real FreeRADIUS: codes, questions back, phones, dead and forging servers, pages and programs."""

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyotp
import pytest
from sqlalchemy import select
from starlette.testclient import TestClient
from tests.brokers import OTHER, PASSWORD, actor
from tests.doubles.radius import CODE, PIN, SECRET, FreeRadius, free_udp_port
from tests.fleet import CLIENT, Fleet
from tests.integration.test_directory_logins import connect_list
from tests.page_client import ORIGIN, SAME, Page
from tests.serving import quiet, serving

from portico.__main__ import main
from portico.errors import Conflict, Denied, DirectoryError, Invalid, NotFound, RateLimited
from portico.factors.radius import Radius, RadiusSettings
from portico.ports.second_factor import Answer, FactorContext, Unanswered
from portico.services import (
    configure,
    housekeeping,
    login,
    passkeys,
    radius,
    radius_code,
    rotation,
    second_factor,
    sessions,
)
from portico.services.login import LoggedIn
from portico.services.sessions import SignedIn
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S045", "S046")
LOOPBACK = ("127.0.0.0/8",)
DEADLINE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[FreeRadius]:
    made = FreeRadius()
    try:
        yield made.start()
    finally:
        made.wipe()


@pytest.fixture(scope="module")
def forgeable() -> Iterator[FreeRadius]:
    """A server of old: its answers carry no Message-Authenticator, and it answers no Status-Server."""
    made = FreeRadius(signs=False, status=False, demands=False)
    try:
        yield made.start()
    finally:
        made.wipe()


def client(*servers: str, **settings: Any) -> Radius:
    first = {"secret": SECRET, "timeout": 20.0}
    return Radius(RadiusSettings(servers, **{**first, **settings}), FactorContext(LOOPBACK))


# --- the client


def test_codes_are_accepted_refused_and_asked_for_in_two_steps(server: FreeRadius) -> None:
    made = client(server.server)
    assert made.ask("user", CODE).answer is Answer.ACCEPT
    refused = made.ask("user", "000000")
    assert (refused.answer, refused.message) == (Answer.REJECT, "Not this one")
    first = made.ask("otto", PIN)
    assert (first.answer, first.message) == (Answer.CHALLENGE, "Now the <b>code</b> of your token")
    assert made.ask("otto", CODE, first.state).answer is Answer.ACCEPT
    assert made.ask("otto", CODE, b"another").answer is Answer.REJECT


def test_a_check_tells_a_wrong_secret_from_nobody_as_far_as_that_can_be_told(
    server: FreeRadius, forgeable: FreeRadius
) -> None:
    """A server that demands signed questions drops those of another secret: silence, and both are said. Others sign their no by their own."""
    nobody = f"127.0.0.1:{free_udp_port()}"
    good, none = client(server.server, nobody).check()
    assert (good.state, none.state) == ("granted", "missing")
    assert "Nobody listens" in none.remedy
    (silent,) = client(server.server, secret="another secret!!").check()
    assert silent.state == "missing" and "secret differs" in silent.remedy and "nobody is there" in silent.remedy
    (unsigned,) = client(forgeable.server).check()
    assert unsigned.state == "missing" and "Message-Authenticator" in unsigned.remedy
    (allowed,) = client(forgeable.server, message_authenticator=False).check()
    assert allowed.state == "warning"


def test_another_server_is_asked_where_one_is_dead_or_signs_by_another_secret(server: FreeRadius) -> None:
    with mute() as silent:
        made = client(silent.address, f"127.0.0.1:{free_udp_port()}", server.server, timeout=2.0)
        assert made.ask("user", CODE).answer is Answer.ACCEPT
        heard = len(silent.heard)
        assert heard >= 1
        assert made.ask("user", CODE).answer is Answer.ACCEPT  # the dead ones are asked last for a while
        assert len(silent.heard) == heard
        with pytest.raises(DirectoryError) as found:
            client(silent.address, timeout=0.5).ask("user", CODE)
        assert not isinstance(found.value, Unanswered)
    with pytest.raises(DirectoryError):
        client(server.server, secret="another secret!!", timeout=0.5).ask("user", CODE)


def test_an_answer_without_message_authenticator_is_believed_only_where_that_is_switched_off(
    forgeable: FreeRadius,
) -> None:
    with pytest.raises(DirectoryError):
        client(forgeable.server, timeout=0.5).ask("user", CODE)
    assert client(forgeable.server, message_authenticator=False).ask("user", CODE).answer is Answer.ACCEPT


def test_a_request_is_sent_again_with_the_same_bytes_and_forged_answers_are_passed_over() -> None:
    """RFC 5080, section 2.2.1. The forged ones come from the server's own address; the client waits on for a true one."""
    with mute(answers=lambda raw: [b"", bytes((2,)) + raw[1:2] + b"\0\x14" + bytes(16), b"\x02" * 5000]) as forger:
        with pytest.raises(DirectoryError):
            client(forger.address, timeout=4.0).ask("user", CODE)
        asked = [raw for raw in forger.heard if raw[0] == 1]
        assert len(asked) >= 2 and len(set(asked)) == 1


def test_a_server_that_waits_for_a_person_is_not_taken_for_dead(server: FreeRadius) -> None:
    """It answers a Status-Server meanwhile, so that no other one makes the phone ring once more."""
    server.forget()
    with mute() as second:
        with pytest.raises(Unanswered):
            client(server.server, second.address, timeout=1.0).ask("pia", "")
        assert second.heard == []
    server.confirm()
    assert client(server.server).ask("pia", "").answer is Answer.ACCEPT


class Mute:
    """Listens, and answers nothing, or what it is told to."""

    def __init__(self, answers: Callable[[bytes], list[bytes]]) -> None:
        self.heard: list[bytes] = []
        self._answers, self._over = answers, threading.Event()
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._listen)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def _listen(self) -> None:
        while not self._over.is_set():
            try:
                raw, sender = self._socket.recvfrom(5000)
            except TimeoutError:
                continue
            self.heard.append(raw)
            for answer in self._answers(raw):
                self._socket.sendto(answer, sender)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(30)
        self._socket.close()


@contextmanager
def mute(answers: Callable[[bytes], list[bytes]] = lambda raw: []) -> Iterator[Mute]:
    made = Mute(answers)
    made.start()
    try:
        yield made
    finally:
        made.stop()


# --- the log-in


@pytest.fixture
def reaching(fleet: Fleet) -> Fleet:
    """A deployment whose brokers may ask servers on loopback."""
    config = replace(fleet.broker.config, egress_allow=LOOPBACK)
    return replace(fleet, broker=replace(fleet.broker, config=config))


def add(fleet: Fleet, *servers: str, name: str = "Tokens", **fields: Any) -> str:
    made = {"name": name, "servers": list(servers), "secret": SECRET, "timeout_seconds": 20, **fields}
    return str(configure.create_item(fleet.broker, actor(fleet.broker), "radius-servers", made)["id"])


def demand(fleet: Fleet, servers: str | None, *, own: bool = False) -> None:
    fields = {"radius_id": servers, "radius_or_own": own}
    configure.update_item(fleet.broker, actor(fleet.broker), "policies", "policy", fields)
    fleet.broker.snapshots.get(fresh=True)


def halfway(fleet: Fleet, name: str = "user", password: str = PASSWORD) -> tuple[str, SignedIn]:
    found = login.login(fleet.broker, name, password, CLIENT)
    assert isinstance(found, LoggedIn), found
    me = sessions.find(fleet.broker, found.secret, halfway=True)
    assert me is not None and me.pending == "code", me
    assert sessions.find(fleet.broker, found.secret) is None
    return found.secret, me


def give(fleet: Fleet, me: SignedIn, code: str) -> radius_code.Progress:
    assert radius_code.is_asked(fleet.broker, me, code)
    radius_code.begin(fleet.broker, me, code).result(DEADLINE)
    return radius_code.look(fleet.broker, me)


def test_a_log_in_takes_the_password_and_a_code_of_the_servers(reaching: Fleet, server: FreeRadius) -> None:
    demand(reaching, add(reaching, server.server))
    value, me = halfway(reaching)
    wrong = give(reaching, me, "000000")
    assert (wrong.state, wrong.message) == ("refused", "Not this one")
    assert sessions.find(reaching.broker, value) is None
    assert give(reaching, me, CODE).state == "done"
    assert sessions.find(reaching.broker, value) is not None
    with pytest.raises(Conflict):
        radius_code.begin(reaching.broker, replace(me, pending=""), CODE)
    assert "login.code_refused" in reaching.codes()


def test_a_challenge_is_answered_by_the_session_that_was_asked(reaching: Fleet, server: FreeRadius) -> None:
    demand(reaching, add(reaching, server.server))
    reaching.user("otto")
    value, me = halfway(reaching, "otto")
    _, other = halfway(reaching, "otto")
    asked = give(reaching, me, PIN)
    assert (asked.state, asked.message) == ("challenge", "Now the <b>code</b> of your token")
    assert give(reaching, other, CODE).state == "refused"  # it was asked nothing yet
    assert give(reaching, me, CODE).state == "done"
    assert sessions.find(reaching.broker, value) is not None
    _, late = halfway(reaching, "otto")
    give(reaching, late, PIN)
    reaching.clock.forward(minutes=6)
    assert radius_code.look(reaching.broker, late).state == ""
    assert give(reaching, late, CODE).state == "refused"


def test_codes_are_not_guessed_one_after_the_other_nor_all_at_once(reaching: Fleet, server: FreeRadius) -> None:
    demand(reaching, add(reaching, server.server))
    tries = [halfway(reaching)[1] for _ in range(8)]

    def guess(me: SignedIn) -> str:
        try:
            return give(reaching, me, "000000").state
        except (RateLimited, Conflict) as problem:
            return type(problem).__name__

    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(guess, tries))
    found = [*first, *(guess(tries[0]) for _ in range(8))]
    assert found.count("refused") == 5  # then the person is locked out, whichever session asks
    assert set(found) <= {"refused", "RateLimited", "Conflict"}
    with pytest.raises(RateLimited):
        give(reaching, tries[0], CODE)
    with pytest.raises(RateLimited):  # the codes on paper are counted with them
        second_factor.check(reaching.broker, tries[0], "00000000-00000000")
    reaching.clock.forward(61)
    assert give(reaching, tries[0], CODE).state == "done"


def test_where_the_servers_are_dead_a_code_from_paper_lets_in_and_nobody_is_locked(
    reaching: Fleet, server: FreeRadius
) -> None:
    good = add(reaching, server.server)
    demand(reaching, good)
    value, me = halfway(reaching)
    give(reaching, me, CODE)
    ready = sessions.find(reaching.broker, value)
    assert ready is not None
    codes = second_factor.paper(reaching.broker, ready)
    dead = add(reaching, f"127.0.0.1:{free_udp_port()}", name="Dead")
    demand(reaching, dead)
    value, me = halfway(reaching)
    for _ in range(7):
        assert give(reaching, me, CODE).state == "down"
    health = housekeeping.health(reaching.broker)
    assert health.ok and health.parts["RADIUS servers"] == "no answer from Dead"
    assert not radius_code.is_asked(reaching.broker, me, codes[0].upper())
    second_factor.check(reaching.broker, me, codes[0].upper())
    assert sessions.find(reaching.broker, value) is not None
    assert "login.radius_down" in reaching.codes()
    demand(reaching, good)  # the others' servers were never touched by it
    assert give(reaching, halfway(reaching)[1], CODE).state == "done"
    with pytest.raises(Conflict):  # who gives no codes there makes none for paper so
        second_factor.paper(reaching.broker, replace(ready, policy=replace(ready.policy, radius_id=None)))


def test_an_app_counts_only_where_that_was_said(reaching: Fleet, server: FreeRadius) -> None:
    me = login.login(reaching.broker, "user", PASSWORD, CLIENT)
    assert isinstance(me, LoggedIn)
    secret = second_factor.begin(reaching.broker, me.me).secret
    second_factor.confirm(reaching.broker, me.me, pyotp.TOTP(secret).at(reaching.clock()))
    servers = add(reaching, server.server)
    demand(reaching, servers)
    reaching.clock.forward(60)
    _, me_halfway = halfway(reaching)
    assert radius_code.is_asked(reaching.broker, me_halfway, pyotp.TOTP(secret).at(reaching.clock()))
    with pytest.raises(Invalid):
        second_factor.check(reaching.broker, me_halfway, pyotp.TOTP(secret).at(reaching.clock()))
    with pytest.raises(Invalid):
        passkeys.use(reaching.broker, me_halfway, ORIGIN, "", "{}")
    demand(reaching, servers, own=True)
    value, me_halfway = halfway(reaching)
    assert not radius_code.is_asked(reaching.broker, me_halfway, CODE)
    assert radius_code.is_asked(reaching.broker, me_halfway, CODE, by="radius")
    reaching.clock.forward(60)
    second_factor.check(reaching.broker, me_halfway, pyotp.TOTP(secret).at(reaching.clock()))
    assert sessions.find(reaching.broker, value) is not None


def test_the_role_may_demand_it_and_names_are_sent_as_the_server_knows_them(
    reaching: Fleet, server: FreeRadius
) -> None:
    connect_list(reaching)
    servers = add(reaching, server.server, send_name="with_domain")
    role = {"name": "Careful", "radius_id": servers}
    role_id = configure.create_item(reaching.broker, actor(reaching.broker), "roles", role)["id"]
    rules = {"rules": [], "default_role_id": role_id}
    directory = next(iter(reaching.broker.snapshots.get(fresh=True).directories))
    configure.update_item(reaching.broker, actor(reaching.broker), "directories", directory, rules)
    reaching.broker.snapshots.get(fresh=True)
    _, me = halfway(reaching, "ada@list.test", "Passw0rd-ada")  # FreeRADIUS knows ada@list.test
    assert give(reaching, me, CODE).state == "done"
    configure.update_item(
        reaching.broker, actor(reaching.broker), "radius-servers", servers, {"send_name": "login_name"}
    )
    reaching.broker.snapshots.get(fresh=True)
    assert give(reaching, halfway(reaching, "ada@list.test", "Passw0rd-ada")[1], CODE).state == "refused"


# --- the noun


def test_the_secret_is_sealed_never_shown_and_typed_again_for_other_servers(
    reaching: Fleet, server: FreeRadius
) -> None:
    broker, me = reaching.broker, actor(reaching.broker)
    servers = add(reaching, server.server)
    shown = configure.get_item(broker, me, "radius-servers", servers)
    assert SECRET not in str(shown) and "secret" not in shown
    assert SECRET not in str(reaching.row(t.radius_servers, servers))
    changed = configure.update_item(broker, me, "radius-servers", servers, {"timeout_seconds": 30})
    assert changed["timeout_seconds"] == 30
    with pytest.raises(Invalid) as refused:
        configure.update_item(broker, me, "radius-servers", servers, {"servers": ["203.0.113.9"]})
    assert set(refused.value.fields) == {"secret"}
    rotation.rotate(broker)
    assert radius.check(broker, me, servers)[0].state == "granted"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"servers": []}, "servers"), ({"servers": ["a b"]}, "servers"), ({"servers": ["host:0"]}, "servers"),
        ({"servers": ["host:99999999999"]}, "servers"), ({"servers": ["[::1"]}, "servers"), ({"servers": ["x"] * 1 + [f"h{n}" for n in range(9)]}, "servers"),
        ({"secret": "short"}, "secret"), ({"secret": None}, "secret"), ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 91}, "timeout_seconds"), ({"send_name": "dn"}, "send_name"), ({"name": ""}, "name"),
    ],
)  # fmt: skip
def test_bad_input_names_the_field(reaching: Fleet, fields: dict[str, Any], wrong: str) -> None:
    made = {"name": "Tokens", "servers": ["radius.test"], "secret": SECRET, **fields}
    with pytest.raises(Invalid) as refused:
        configure.create_item(reaching.broker, actor(reaching.broker), "radius-servers", made)
    assert set(refused.value.fields) == {wrong}


def test_servers_belong_to_a_tenant_and_stay_while_they_are_named(reaching: Fleet, server: FreeRadius) -> None:
    broker = reaching.broker
    servers, foreign = add(reaching, server.server), actor(broker, "admin2")
    assert foreign.tenant_id == OTHER
    with pytest.raises(NotFound):
        configure.get_item(broker, foreign, "radius-servers", servers)
    with pytest.raises(NotFound):
        radius.check(broker, foreign, servers)
    with pytest.raises(Denied):
        radius.check(broker, actor(broker, "user"), servers)
    with pytest.raises(Denied):
        configure.list_items(broker, actor(broker, "user"), "radius-servers", configure.Query())
    with pytest.raises(Invalid):
        configure.update_item(broker, foreign, "policies", "policy2", {"radius_id": servers})
    demand(reaching, servers)
    with pytest.raises(Conflict):
        configure.delete_item(broker, actor(broker), "radius-servers", servers)
    demand(reaching, None)
    configure.delete_item(broker, actor(broker), "radius-servers", servers)


# --- pages and programs


@pytest.fixture
def browser(reaching: Fleet) -> Iterator[TestClient]:
    with TestClient(create_app(reaching.broker), base_url=ORIGIN, follow_redirects=False) as made:
        yield made


def log_in(browser: TestClient, name: str = "user") -> str:
    """Log in by the page, and return the token of the form that asks for the code."""
    went = browser.post("/login", data={"username": name, "password": PASSWORD, "next": "/account"}, headers=SAME)
    assert went.headers["location"] == "/login/code?next=%2Faccount"
    return Page(browser.get("/login/code?next=%2Faccount").text).field("csrf")


def type_code(browser: TestClient, csrf: str, code: str) -> Any:
    return browser.post(
        "/login/code", data={"csrf": csrf, "code": code, "next": "/account", "by": "radius"}, headers=SAME
    )


def test_the_pages_ask_as_often_as_the_server_does(reaching: Fleet, server: FreeRadius, browser: TestClient) -> None:
    demand(reaching, add(reaching, server.server))
    reaching.user("otto")
    csrf = log_in(browser, "otto")
    asked = type_code(browser, csrf, PIN)
    assert asked.status_code == 200 and "Now the &lt;b&gt;code&lt;/b&gt; of your token" in asked.text
    assert "Now the" in browser.get("/login/code").text  # also after a reload
    wrong = type_code(browser, csrf, "000000")
    assert wrong.status_code == 422 and "This code is not right" in wrong.text and "Not this one" in wrong.text
    type_code(browser, csrf, PIN)
    right = type_code(browser, csrf, CODE)
    assert (right.status_code, right.headers["location"]) == (303, "/account")
    paper = browser.post(
        "/second-factor/paper", data={"csrf": Page(browser.get("/second-factor").text).field("csrf")}, headers=SAME
    )
    assert paper.status_code == 200 and paper.text.count("<li>") >= 10
    assert browser.post("/second-factor/paper", data={}, headers=SAME).status_code == 403


def test_a_phone_that_takes_its_time_holds_no_page(reaching: Fleet, server: FreeRadius, browser: TestClient) -> None:
    server.forget()
    demand(reaching, add(reaching, server.server, push=True, timeout_seconds=60))
    reaching.user("pia")
    csrf = log_in(browser, "pia")
    waits = type_code(browser, csrf, "")
    assert waits.status_code == 202 and "Your log-in is being checked" in waits.text
    assert type_code(browser, csrf, "").status_code == 409  # the phone rings once
    assert browser.get("/login/code?waited=1").status_code == 202
    server.confirm()
    until = time.monotonic() + DEADLINE
    while (page := browser.get("/login/code?waited=1&next=/account")).status_code == 202:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (page.status_code, page.headers["location"]) == (303, "/account")
    assert browser.get("/account").status_code == 200


def test_the_page_lets_somebody_with_an_app_choose_where_both_count(
    reaching: Fleet, server: FreeRadius, browser: TestClient
) -> None:
    found = login.login(reaching.broker, "user", PASSWORD, CLIENT)
    assert isinstance(found, LoggedIn)
    secret = second_factor.begin(reaching.broker, found.me).secret
    second_factor.confirm(reaching.broker, found.me, pyotp.TOTP(secret).at(reaching.clock()))
    servers = add(reaching, server.server)
    demand(reaching, servers, own=True)
    csrf = log_in(browser)
    assert "It is a code of Tokens" in browser.get("/login/code").text
    form = {"csrf": csrf, "code": CODE, "next": "/account"}
    assert browser.post("/login/code", data=form, headers=SAME).status_code == 422  # taken for the app's
    assert type_code(browser, csrf, CODE).status_code == 303
    assert "Read this with your app" not in browser.get("/second-factor").text
    demand(reaching, servers)
    shown = browser.get("/second-factor").text
    assert "Make codes for paper" in shown and "Add a passkey" not in shown
    assert "A log-in takes a code of your token." in browser.get("/account").text


def test_an_empty_code_is_sent_only_where_the_phone_is_asked(
    reaching: Fleet, server: FreeRadius, browser: TestClient
) -> None:
    demand(reaching, add(reaching, server.server))
    refused = type_code(browser, log_in(browser), "")
    assert refused.status_code == 422 and "Type the code." in refused.text


def test_a_dead_server_is_told_as_such(reaching: Fleet, browser: TestClient) -> None:
    demand(reaching, add(reaching, f"127.0.0.1:{free_udp_port()}"))
    answer = type_code(browser, log_in(browser), CODE)
    assert answer.status_code == 503 and "code from your paper" in answer.text


def test_programs_are_asked_in_the_same_steps(reaching: Fleet, server: FreeRadius, browser: TestClient) -> None:
    server.forget()
    demand(reaching, add(reaching, server.server, push=True, timeout_seconds=60))
    for name in ("otto", "pia"):
        reaching.user(name)
    first = browser.post("/api/v1/login", json={"username": "otto", "password": PASSWORD}).json()
    assert first["code"] is True
    key = {"login": first["login"]}
    asked = browser.post("/api/v1/login/code", json={**key, "code": PIN})
    assert asked.status_code == 202 and asked.json()["message"] == "Now the <b>code</b> of your token"
    assert browser.post("/api/v1/login/waiting", json=key).json()["message"] == "Now the <b>code</b> of your token"
    wrong = browser.post("/api/v1/login/code", json={**key, "code": "000000"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["field"] == "code"
    browser.post("/api/v1/login/code", json={**key, "code": PIN})
    right = browser.post("/api/v1/login/code", json={**key, "code": CODE})
    assert right.status_code == 200
    assert browser.get("/api/v1/me", headers={"Authorization": f"Bearer {right.json()['token']}"}).status_code == 200

    key = {"login": browser.post("/api/v1/login", json={"username": "pia", "password": PASSWORD}).json()["login"]}
    waits = browser.post("/api/v1/login/code", json={**key, "code": ""})
    assert waits.status_code == 202 and waits.json()["waiting"] is True
    assert browser.get("/api/v1/me", headers={"Authorization": f"Bearer {key['login']}"}).status_code == 401
    server.confirm()
    until = time.monotonic() + DEADLINE
    while (seen := browser.post("/api/v1/login/waiting", json=key)).status_code == 202:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert seen.status_code == 200 and seen.json()["token"] == key["login"]


def test_a_broker_that_dies_meanwhile_keeps_nobody_waiting(reaching: Fleet) -> None:
    with mute() as silent:
        demand(reaching, add(reaching, silent.address, timeout_seconds=2))
        _, me = halfway(reaching)
        running = radius_code.begin(reaching.broker, me, CODE)
        with pytest.raises(Conflict):
            radius_code.begin(reaching.broker, me, CODE)
        reaching.clock.forward(minutes=5)  # as if nobody had come back to it
        assert radius_code.look(reaching.broker, me).state == "down"
        again = radius_code.begin(reaching.broker, me, CODE)
        running.result(DEADLINE)
        with reaching.broker.db.read() as conn:  # what comes of the earlier one is history
            assert conn.scalar(select(t.radius_tries.c.state)) in ("waiting", "down")
        again.result(DEADLINE)
        assert radius_code.look(reaching.broker, me).state == "down"
    reaching.clock.forward(days=2)
    assert housekeeping.purge(reaching.broker)["RADIUS tries"] == 1


class Typing(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_command_line_adds_servers_tries_them_and_asks_for_the_code(
    reaching: Fleet,
    server: FreeRadius,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("PORTICO_TOKEN", "PORTICO_CA", "PORTICO_CA_FINGERPRINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    log_in_as = ("login", "--password-file", str(password), "--username")
    reaching.user("otto")
    with quiet(), serving(reaching.broker) as url:
        monkeypatch.setenv("PORTICO_URL", url)
        assert main([*log_in_as, "admin"]) == 0
        made = ("--name", "Tokens", "--servers", server.server, "--secret", SECRET)
        assert main(["radius-server", "create", *made]) == 0
        capsys.readouterr()
        assert main(["radius-server", "check", "Tokens", "-f", "json"]) == 0
        assert "granted" in capsys.readouterr().out
        assert main(["radius-server", "show", "Tokens", "-f", "json"]) == 0
        shown = capsys.readouterr().out
        assert server.server in shown and SECRET not in shown
        assert main(["policy", "set", "Default", "--radius_id", "Tokens"]) == 0
        reaching.broker.snapshots.get(fresh=True)
        monkeypatch.setattr("sys.stdin", Typing(f"{PIN}\n{CODE}\n"))
        assert main([*log_in_as, "otto"]) == 0
        said = capsys.readouterr()
        assert "Now the <b>code</b> of your token" in said.err and "as otto" in said.out
