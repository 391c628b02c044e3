"""A program is let in from a browser: by its code and a yes, as whoever said it, and by nobody else."""

from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import PASSWORD
from tests.fleet import CLIENT, Fleet
from tests.page_client import ORIGIN, SAME, Page

from portico.domain.model import Client
from portico.errors import Denied, NotFound, RateLimited
from portico.services import device_login, login, sessions
from portico.services.attempts import Refused
from portico.services.login import LoggedIn
from portico.services.sessions import SignedIn
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S046")
PROGRAM = Client("203.0.113.9", "api", "portico on laptop")


@pytest.fixture(autouse=True)
def api_role(fleet: Fleet) -> None:
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.roles).where(t.roles.c.id == "role-user").values(body={"areas": {}, "may_use_api": True}))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)


def person(fleet: Fleet, name: str = "user") -> SignedIn:
    found = login.login(fleet.broker, name, PASSWORD, CLIENT)
    assert isinstance(found, LoggedIn)
    return found.me


def test_a_yes_lets_it_in_as_who_said_it(fleet: Fleet) -> None:
    begun = device_login.begin(fleet.broker, PROGRAM)
    assert device_login.look(fleet.broker, begun.key.value) is None
    me = person(fleet)
    asked = device_login.find(fleet.broker, me, begun.user_code.lower().replace("-", " "))
    assert (asked.client_name, asked.client_address) == ("portico on laptop", "203.0.113.9")
    device_login.decide(fleet.broker, me, begun.user_code, approve=True)
    found = device_login.look(fleet.broker, begun.key.value)
    assert isinstance(found, SignedIn)
    assert (found.user.id, found.client_address) == (me.user.id, "203.0.113.9")
    with pytest.raises(NotFound):
        device_login.decide(fleet.broker, me, begun.user_code, approve=True)
    with fleet.broker.db.read() as conn:
        row = conn.execute(select(t.device_logins)).one()
    assert begun.key.secret not in str(row)


def test_a_no_and_ten_minutes_end_it(fleet: Fleet) -> None:
    me = person(fleet)
    refused, late = device_login.begin(fleet.broker, PROGRAM), device_login.begin(fleet.broker, PROGRAM)
    device_login.decide(fleet.broker, me, refused.user_code, approve=False)
    answer = device_login.look(fleet.broker, refused.key.value)
    assert isinstance(answer, Refused) and answer.reason.code == "login.denied"
    fleet.clock.forward(minutes=11)
    with pytest.raises(NotFound):
        device_login.find(fleet.broker, me, late.user_code)
    assert isinstance(device_login.look(fleet.broker, late.key.value), Refused)


def test_codes_and_keys_cannot_be_guessed(fleet: Fleet) -> None:
    begun, me = device_login.begin(fleet.broker, PROGRAM), person(fleet)
    for wrong in ("BBBB-BBBB", "", "aeiou", "x" * 40, "\0"):
        with pytest.raises(NotFound):
            device_login.find(fleet.broker, me, wrong)
    with pytest.raises(RateLimited):
        device_login.find(fleet.broker, me, begun.user_code)
    for value in ("", "x", f"{begun.key.id}.guessed", f"{begun.key.id}."):
        assert isinstance(device_login.look(fleet.broker, value), Refused)
        assert sessions.find(fleet.broker, value) is None


def test_an_address_waits_with_ten_at_most(fleet: Fleet) -> None:
    for _ in range(device_login.AT_A_TIME):
        device_login.begin(fleet.broker, PROGRAM)
    with pytest.raises(RateLimited):
        device_login.begin(fleet.broker, PROGRAM)
    device_login.begin(fleet.broker, Client("203.0.113.10", "api"))
    fleet.clock.forward(minutes=11)
    device_login.begin(fleet.broker, PROGRAM)


def test_a_role_without_the_api_lets_nothing_in(fleet: Fleet) -> None:
    with fleet.broker.db.write() as conn:
        conn.execute(
            update(t.roles).where(t.roles.c.id == "role-user").values(body={"areas": {}, "may_use_api": False})
        )
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)
    begun = device_login.begin(fleet.broker, PROGRAM)
    with pytest.raises(Denied):
        device_login.decide(fleet.broker, person(fleet), begun.user_code, approve=True)
    assert device_login.look(fleet.broker, begun.key.value) is None


def test_the_pages_and_the_api(fleet: Fleet) -> None:
    """A code in the address is only filled in: nothing is answered by following a link."""
    app = create_app(fleet.broker)
    program, browser = TestClient(app, base_url=ORIGIN), TestClient(app, base_url=ORIGIN, follow_redirects=False)
    begun: dict[str, Any] = program.post("/api/v1/login/device", json={"name": "portico on laptop"}).json()
    key = {"device_code": begun["device_code"]}
    assert program.post("/api/v1/login/device/token", json=key).status_code == 202
    assert browser.get(f"/device?code={begun['user_code']}").headers["location"].startswith("/login?next=")
    browser.post("/login", data={"username": "user", "password": PASSWORD}, headers=SAME)
    shown = browser.get(f"/device?code={begun['user_code']}")
    assert begun["user_code"] in shown.text and "portico on laptop" not in shown.text
    form = {"csrf": Page(shown.text).field("csrf"), "code": begun["user_code"]}
    assert "portico on laptop" in browser.post("/device", data=form, headers=SAME).text
    assert program.post("/api/v1/login/device/token", json=key).status_code == 202
    assert browser.post("/device", data={**form, "csrf": "x", "answer": "yes"}, headers=SAME).status_code == 403
    assert "logged in as you" in browser.post("/device", data={**form, "answer": "yes"}, headers=SAME).text
    answer = program.post("/api/v1/login/device/token", json=key)
    assert answer.status_code == 200
    me = program.get("/api/v1/me", headers={"Authorization": f"Bearer {answer.json()['token']}"})
    assert me.json()["login_name"] == "user"
    wrong = browser.post("/device", data={**form, "code": "BBBB-BBBB"}, headers=SAME)
    assert wrong.status_code == 422 and "No program shows this code" in wrong.text
