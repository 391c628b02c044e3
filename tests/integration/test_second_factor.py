"""The second factor: set up, asked for, each code good once, lost and reset; what it stands before is out of reach until then."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import OTHER, PASSWORD, TENANT, actor
from tests.fleet import CLIENT, Fleet
from tests.integration.test_directory_logins import connect_list
from tests.page_client import ORIGIN, SAME, Page

from portico.errors import Conflict, Invalid, NotFound, RateLimited
from portico.services import configure, login, second_factor, sessions
from portico.services.login import LoggedIn, Refused
from portico.services.sessions import SignedIn
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S045")


def enter(fleet: Fleet, name: str = "user", password: str = PASSWORD) -> LoggedIn:
    found = login.login(fleet.broker, name, password, CLIENT)
    assert isinstance(found, LoggedIn), found
    return found


def code(fleet: Fleet, secret: str, steps: int = 0) -> str:
    """The code of an app, whose clock may be off by some steps."""
    return pyotp.TOTP(secret).at(fleet.clock() + timedelta(seconds=30 * steps))


def with_factor(fleet: Fleet, name: str = "user", password: str = PASSWORD) -> tuple[str, list[str]]:
    """Set a factor up; returns the secret and the codes for paper."""
    me = enter(fleet, name, password).me
    setup = second_factor.begin(fleet.broker, me)
    codes = second_factor.confirm(fleet.broker, me, code(fleet, setup.secret))
    fleet.clock.forward(60)
    return setup.secret, codes


def halfway(fleet: Fleet) -> tuple[str, SignedIn]:
    found = enter(fleet)
    me = sessions.find(fleet.broker, found.secret, halfway=True)
    assert me is not None and me.pending == "code"
    assert sessions.find(fleet.broker, found.secret) is None
    return found.secret, me


def demand(fleet: Fleet) -> None:
    configure.update_item(fleet.broker, actor(fleet.broker), "policies", "policy", {"second_factor_required": True})
    fleet.broker.snapshots.get(fresh=True)


def test_a_log_in_takes_the_password_and_a_code(fleet: Fleet) -> None:
    secret, codes = with_factor(fleet)
    assert len(set(codes)) == 10
    value, me = halfway(fleet)
    second_factor.check(fleet.broker, me, f" {code(fleet, secret)[:3]} {code(fleet, secret)[3:]} ")
    assert sessions.find(fleet.broker, value) is not None


def test_each_code_serves_once_also_to_two_at_a_time(fleet: Fleet) -> None:
    """RFC 6238, section 5.2: the second who comes with the same code is refused, at whichever broker."""
    secret, codes = with_factor(fleet)
    for typed in (code(fleet, secret), codes[0]):
        tries = [halfway(fleet)[1] for _ in range(4)]

        def one(me: SignedIn, typed: str = typed) -> bool:
            try:
                second_factor.check(fleet.broker, me, typed)
                return True
            except (Invalid, RateLimited):
                return False

        with ThreadPoolExecutor(4) as pool:
            assert sum(pool.map(one, tries)) == 1
        fleet.clock.forward(3600)


@pytest.mark.parametrize(("steps", "good"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_off_by_one_step(fleet: Fleet, steps: int, good: bool) -> None:
    secret, _ = with_factor(fleet)
    fleet.clock.forward(300)
    value, me = halfway(fleet)
    if good:
        second_factor.check(fleet.broker, me, code(fleet, secret, steps))
    else:
        with pytest.raises(Invalid):
            second_factor.check(fleet.broker, me, code(fleet, secret, steps))
    assert (sessions.find(fleet.broker, value) is not None) is good


def test_codes_cannot_be_guessed(fleet: Fleet) -> None:
    secret, _ = with_factor(fleet)
    _, me = halfway(fleet)
    for typed in ("000000", "", "x" * 60, "１２３４５６", "\0"):
        with pytest.raises(Invalid):
            second_factor.check(fleet.broker, me, typed)
    with pytest.raises(RateLimited):
        second_factor.check(fleet.broker, me, code(fleet, secret))  # the right one waits as well
    fleet.clock.forward(61)
    second_factor.check(fleet.broker, me, code(fleet, secret))


def test_a_wrong_first_code_takes_nothing_into_use(fleet: Fleet) -> None:
    me = enter(fleet).me
    first = second_factor.begin(fleet.broker, me)
    with pytest.raises(Invalid):
        second_factor.confirm(fleet.broker, me, "000000")
    assert second_factor.begin(fleet.broker, me).secret == first.secret  # the page shows the same one again
    assert enter(fleet).me.pending == ""
    with fleet.broker.db.read() as conn:
        row = conn.execute(select(t.second_factors)).one()
    assert first.secret not in row.sealed_secret


def test_where_it_is_demanded_it_is_set_up_first(fleet: Fleet) -> None:
    demand(fleet)
    found = enter(fleet)
    assert found.me.pending == "setup"
    assert sessions.find(fleet.broker, found.secret) is None
    me = sessions.find(fleet.broker, found.secret, halfway=True)
    assert me is not None
    setup = second_factor.begin(fleet.broker, me)
    second_factor.confirm(fleet.broker, me, code(fleet, setup.secret))
    ready = sessions.find(fleet.broker, found.secret)
    assert ready is not None
    with pytest.raises(Conflict):
        second_factor.remove(fleet.broker, ready, code(fleet, setup.secret))


def test_people_of_directories_have_one_too(fleet: Fleet) -> None:
    connect_list(fleet)
    with_factor(fleet, "ada@list.test", "Passw0rd-ada")
    assert enter(fleet, "ada@list.test", "Passw0rd-ada").me.pending == "code"


def test_it_is_removed_by_its_owner_and_reset_by_an_administrator_of_the_tenant(fleet: Fleet) -> None:
    secret, codes = with_factor(fleet)
    value, me = halfway(fleet)
    second_factor.check(fleet.broker, me, codes[3])
    ready = sessions.find(fleet.broker, value)
    assert ready is not None
    with pytest.raises(Invalid):
        second_factor.remove(fleet.broker, ready, "000000")
    second_factor.remove(fleet.broker, ready, code(fleet, secret))
    assert enter(fleet).me.pending == ""
    with_factor(fleet)
    with pytest.raises(NotFound):
        second_factor.reset(fleet.broker, actor(fleet.broker, "admin2"), "user")
    second_factor.reset(fleet.broker, actor(fleet.broker), "user")
    assert enter(fleet).me.pending == ""
    with fleet.broker.db.read() as conn:
        assert conn.execute(select(t.recovery_codes)).all() == []
    assert {TENANT, OTHER}


# --- pages and programs


@pytest.fixture
def browser(fleet: Fleet) -> TestClient:
    return TestClient(create_app(fleet.broker), base_url=ORIGIN, follow_redirects=False)


def log_in(browser: TestClient, path: str = "/account") -> Any:
    return browser.post("/login", data={"username": "user", "password": PASSWORD, "next": path}, headers=SAME)


def test_the_pages_of_a_log_in_with_a_code(fleet: Fleet, browser: TestClient) -> None:
    """Nothing is reached halfway, neither pages nor the API nor the live channel; a right code leads on to where one wanted."""
    secret, _ = with_factor(fleet)
    went = log_in(browser)
    assert went.headers["location"] == "/login/code?next=%2Faccount"
    for path in ("/", "/account", "/admin", "/password", "/second-factor"):
        assert browser.get(path).headers["location"] == "/login/code", path
    shown = browser.get(went.headers["location"])
    csrf = Page(shown.text).field("csrf")
    assert browser.get("/api/v1/me", headers={"X-CSRF-Token": csrf}).status_code == 401
    assert browser.get("/live").status_code in (303, 401)
    form = {"csrf": csrf, "next": "/account"}
    wrong = browser.post("/login/code", data={**form, "code": "000000"}, headers=SAME)
    assert wrong.status_code == 422 and "not right" in wrong.text
    assert (
        browser.post("/login/code", data={"code": code(fleet, secret)}, headers=SAME).status_code == 403
    )  # no token of the form
    right = browser.post("/login/code", data={**form, "code": code(fleet, secret)}, headers=SAME)
    assert (right.status_code, right.headers["location"]) == (303, "/account")
    assert browser.get("/account").status_code == 200


def test_the_pages_of_a_set_up(fleet: Fleet, browser: TestClient) -> None:
    demand(fleet)
    assert log_in(browser).headers["location"].startswith("/second-factor")
    assert browser.get("/account").headers["location"] == "/second-factor"
    shown = browser.get("/second-factor")
    assert "<svg" in shown.text
    secret = re.search(r"[A-Z2-7]{32}", shown.text)
    assert secret
    csrf = Page(shown.text).field("csrf")
    again = browser.post("/second-factor", data={"csrf": csrf, "code": "000000"}, headers=SAME)
    assert again.status_code == 422 and secret[0] in again.text
    done = browser.post("/second-factor", data={"csrf": csrf, "code": code(fleet, secret[0])}, headers=SAME)
    assert done.status_code == 200
    assert len(re.findall(r"<li>[0-9a-f]{8}-[0-9a-f]{8}</li>", done.text)) == 10
    assert browser.get("/account").status_code == 200
    assert secret[0] not in browser.get("/second-factor").text


@pytest.fixture
def api_role(fleet: Fleet) -> Callable[[], None]:
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.roles).where(t.roles.c.id == "role-user").values(body={"areas": {}, "may_use_api": True}))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)
    return lambda: None


@pytest.mark.usefixtures("api_role")
def test_programs_are_asked_for_the_code(fleet: Fleet, browser: TestClient) -> None:
    secret, _ = with_factor(fleet)
    answer = browser.post("/api/v1/login", json={"username": "user", "password": PASSWORD})
    assert answer.status_code == 202 and answer.json()["code"] is True
    key = {"login": answer.json()["login"]}
    halfway_bearer = {"Authorization": f"Bearer {key['login']}"}
    assert browser.get("/api/v1/me", headers=halfway_bearer).status_code == 401
    assert browser.post("/api/v1/login/code", json={**key, "code": "000000"}).status_code == 422
    right = browser.post("/api/v1/login/code", json={**key, "code": code(fleet, secret)})
    assert right.status_code == 200
    assert browser.get("/api/v1/me", headers={"Authorization": f"Bearer {right.json()['token']}"}).status_code == 200
    assert browser.post("/api/v1/login/code", json={**key, "code": code(fleet, secret)}).status_code == 401
    second_factor.reset(fleet.broker, actor(fleet.broker), "user")
    demand(fleet)
    due = browser.post("/api/v1/login", json={"username": "user", "password": PASSWORD})
    assert due.status_code == 401 and "second factor" in due.text


def test_wrong_passwords_never_come_as_far_as_the_code(fleet: Fleet) -> None:
    with_factor(fleet)
    assert isinstance(login.login(fleet.broker, "user", "wrong", CLIENT), Refused)
