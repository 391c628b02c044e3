"""Devices have a record from the first log-in on: what they say of themselves, believed for locations alone, a tenant's own."""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from starlette.requests import Request
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, TENANT, actor
from tests.fleet import Fleet
from tests.page_client import ORIGIN, SAME, log_in

from portico.cli import device
from portico.domain.model import Client, User
from portico.errors import Denied, Invalid, NotFound
from portico.services import clients, configure, device_login, housekeeping, login, sessions
from portico.services.configure import Query
from portico.services.login import LoggedIn
from portico.services.replay import replay
from portico.store import clients as store
from portico.store import tables as t
from portico.web import devices
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S047")
EDGE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0"
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36"
USER = User("user", TENANT, "user", "", "User")
THIN = {
    "device": "thin-client-0000001", "name": "reception", "os": "linux", "os_version": "12", "maker": "Dell Inc.",
    "model": "Wyse 5070", "macs": ["52:54:00:12:34:56"], "software": "portico 0.1.0",
}  # fmt: skip


def browser(fleet: Fleet, agent: str = EDGE, **headers: str) -> TestClient:
    said = {"user-agent": agent, **headers}
    return TestClient(create_app(fleet.broker), base_url=ORIGIN, headers=said, follow_redirects=False)


def rows(fleet: Fleet) -> list[Any]:
    with fleet.broker.db.read() as conn:
        return list(conn.execute(select(t.clients).order_by(t.clients.c.created_at, t.clients.c.id)))


def at(fleet: Fleet, name: str, client: Client) -> LoggedIn:
    found = login.login(fleet.broker, name, PASSWORD, client)
    assert isinstance(found, LoggedIn), found
    return found


def test_a_browser_has_one_record_however_often_somebody_logs_in_there(fleet: Fleet) -> None:
    """It is known again by a cookie that nobody's script reads; what it says is brought up to date, the name is the administrator's."""
    first = browser(fleet, **{"sec-ch-ua-platform-version": '"15.0.0"', "sec-ch-ua-model": '""'})
    shown = first.get("/login")
    assert shown.headers["accept-ch"] == devices.HINTS
    log_in(first, "user")
    (row,) = rows(fleet)
    told = (row.name, row.kind, row.os, row.os_version, row.software, row.address, row.tenant_id)
    assert told == ("Edge 138", "web", "windows", "11", "Edge 138", "testclient", TENANT)
    cookie = next(one for one in first.cookies.jar if one.name == devices.COOKIE)
    assert (
        cookie.secure and cookie.has_nonstandard_attr("HttpOnly") and cookie.get_nonstandard_attr("SameSite") == "lax"
    )
    configure.update_item(fleet.broker, actor(fleet.broker), "clients", row.id, {"name": "Front desk"})
    fleet.clock.forward(minutes=5)
    first.cookies.delete("__Host-portico")
    first.headers["user-agent"] = EDGE.replace("138", "139")
    log_in(first, "admin")
    (row,) = rows(fleet)
    assert (row.name, row.software, row.user_id, row.seen_at) == ("Front desk", "Edge 139", "admin", fleet.clock())
    log_in(browser(fleet, PHONE), "user")
    assert [(one.os, one.os_version, one.maker, one.model) for one in rows(fleet)][1] == (
        "android",
        "14",
        "Google",
        "Pixel 8",
    )
    sold = configure.list_items(fleet.broker, actor(fleet.broker), "sessions", Query(filters={"client": row.id}))
    assert len(sold.items) == 2


def test_a_refused_log_in_leaves_no_record(fleet: Fleet) -> None:
    visitor = browser(fleet)
    refused = visitor.post("/login", data={"username": "user", "password": "wrong"}, headers=SAME)
    assert refused.status_code == 401
    assert (rows(fleet), devices.COOKIE in visitor.cookies) == ([], False)


def test_a_program_says_what_it_runs_on_and_a_location_asks_for_it(fleet: Fleet) -> None:
    admin = actor(fleet.broker)
    conditions = [
        {"attribute": "mac", "operator": "eq", "text": "52:54:00:12:34:56"},
        {"attribute": "os_version", "operator": "gt", "text": "11.9.4"},
        {"attribute": "maker", "operator": "bw", "text": "dell"},
    ]
    configure.create_item(fleet.broker, admin, "locations", {"name": "Reception", "conditions": conditions})
    api = TestClient(create_app(fleet.broker), base_url=ORIGIN)
    body = {"username": "admin", "password": PASSWORD, "client": THIN}
    token = api.post("/api/v1/login", json=body).json()["token"]
    (row,) = rows(fleet)
    assert (row.name, row.model, row.macs) == ("reception", "Wyse 5070", ["52:54:00:12:34:56"])
    me = sessions.find(fleet.broker, token)
    assert me is not None and me.client.macs == ("52:54:00:12:34:56",)
    snapshot = fleet.broker.snapshots.get(fresh=True)
    where = snapshot.location_of(TENANT, me.client)
    assert where is not None and where.name == "Reception"
    assert replay(fleet.broker, admin, "user", me.client).location == "Reception"
    query = {"user": "user", "mac": "52-54-00-12-34-56", "os_version": "12", "maker": "Dell Inc."}
    asked = api.get("/api/v1/explain", params=query, headers={"authorization": f"Bearer {token}"})
    assert asked.json()["location"] == "Reception"
    query["os_version"] = "11"
    asked = api.get("/api/v1/explain", params=query, headers={"authorization": f"Bearer {token}"})
    assert asked.json()["location"] == ""


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ("text", "client"),
        ({"device": "short"}, "client.device"),
        ({"device": "x" * 65}, "client.device"),
        ({"macs": ["52:54:00:12:34"]}, "client.macs"),
        ({"macs": ["52:54:00:12:34:56"] * 9}, "client.macs"),
        ({"macs": "52:54:00:12:34:56"}, "client.macs"),
        ({"name": "n" * 101}, "client.name"),
        ({"os": 7}, "client.os"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_field(fleet: Fleet, said: Any, field: str) -> None:
    api = TestClient(create_app(fleet.broker), base_url=ORIGIN)
    answer = api.post("/api/v1/login", json={"username": "user", "password": PASSWORD, "client": said})
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert rows(fleet) == []


def test_a_program_that_a_browser_let_in_has_its_own_record(fleet: Fleet) -> None:
    program = devices.told(Client("203.0.113.9", "api"), THIN)
    begun = device_login.begin(fleet.broker, program)
    me = at(fleet, "admin", Client("192.0.2.1")).me
    device_login.decide(fleet.broker, me, begun.user_code, approve=True)
    (row,) = rows(fleet)
    assert (row.name, row.address, row.user_id) == ("reception", "203.0.113.9", "admin")


@pytest.mark.capability("S048")
def test_a_device_of_two_tenants_has_two_records_and_each_sees_its_own(fleet: Fleet) -> None:
    """The same browser in two tenants: neither learns of the other."""
    shared = Client("192.0.2.1", device="shared-device-000001", software="Firefox 128")
    at(fleet, "user", shared)
    at(fleet, "user2", shared)
    assert len({row.id for row in rows(fleet)}) == 2
    for name in ("admin", "admin2"):
        mine = configure.list_items(fleet.broker, actor(fleet.broker, name), "clients", Query()).items
        assert len(mine) == 1
    theirs = next(row.id for row in rows(fleet) if row.tenant_id != TENANT)
    for act in (
        lambda: configure.get_item(fleet.broker, actor(fleet.broker), "clients", theirs),
        lambda: configure.update_item(fleet.broker, actor(fleet.broker), "clients", theirs, {"name": "x"}),
        lambda: configure.delete_item(fleet.broker, actor(fleet.broker), "clients", theirs),
    ):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(Denied):
        configure.list_items(fleet.broker, actor(fleet.broker, "user"), "clients", Query())


def test_a_forgotten_device_comes_again(fleet: Fleet) -> None:
    """By hand, or because nobody has logged in there for so long; sessions go on."""
    there = Client("192.0.2.1", device="laptop-device-000001")
    found = at(fleet, "user", there)
    configure.delete_item(fleet.broker, actor(fleet.broker), "clients", rows(fleet)[0].id)
    assert rows(fleet) == []
    assert sessions.find(fleet.broker, found.secret) is not None
    at(fleet, "user", there)
    fleet.clock.forward(days=179)
    housekeeping.purge(fleet.broker)
    assert len(rows(fleet)) == 1
    fleet.clock.forward(days=2)
    assert housekeeping.purge(fleet.broker)["clients"] == 1
    assert rows(fleet) == []


def test_somebody_with_a_new_browser_each_time_fills_no_table(fleet: Fleet) -> None:
    for number in range(store.KEPT_OF_A_USER + 5):
        fleet.clock.forward(seconds=1)
        with fleet.broker.db.write() as conn:
            clients.saw(fleet.broker, conn, USER, Client("192.0.2.1", device=f"device-number-{number:05}"))
    kept = rows(fleet)
    assert len(kept) == store.KEPT_OF_A_USER
    assert min(row.seen_at for row in kept) == fleet.clock() - timedelta(seconds=store.KEPT_OF_A_USER - 1)


def test_the_page_shows_it_and_lets_it_be_named(fleet: Fleet) -> None:
    log_in(browser(fleet), "user")
    console = browser(fleet)
    csrf = log_in(console, "admin")
    (first, *_) = rows(fleet)
    listed = console.get("/admin/clients").text
    assert "Windows 10" in listed and "Edge 138" in listed
    assert console.get(f"/admin/clients/{first.id}").status_code == 200
    answer = console.post(
        f"/admin/clients/{first.id}/edit",
        data={"csrf": csrf, "name": "Desk 7", "notes": "by the window", "version": "1"},
        headers=SAME,
    )
    assert answer.status_code in (200, 303), answer.text
    assert next(row for row in rows(fleet) if row.id == first.id).name == "Desk 7"


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=400)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(agent=TEXT, version=TEXT, model=TEXT, cookie=TEXT)
def test_whatever_a_browser_says_is_bounded(fleet: Fleet, agent: str, version: str, model: str, cookie: str) -> None:
    headers = {
        "user-agent": agent,
        "sec-ch-ua-platform-version": version,
        "sec-ch-ua-model": model,
        "cookie": f"{devices.COOKIE}={cookie}",
    }
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {
        "type": "http",
        "headers": raw,
        "client": ("192.0.2.1", 1),
        "app": SimpleNamespace(state=SimpleNamespace(broker=fleet.broker)),
        "method": "GET",
        "path": "/",
    }
    made = devices.browser(Request(scope))
    kept = clients.kept(made)
    assert all(
        len(text) <= 300 and text.isprintable() for name, text in kept.items() if name not in ("macs", "user_agent")
    )
    assert 16 <= len(made.device) <= 64


def test_a_program_keeps_its_name(tmp_path: Path) -> None:
    """And a device says what anybody may know who sits before it."""
    said, again = device.describe(tmp_path / "portico"), device.describe(tmp_path / "portico")
    assert said == again
    assert (tmp_path / "portico" / "device").stat().st_mode & 0o777 == 0o600
    made = devices.told(Client("192.0.2.1", "api"), said)
    assert (made.os, made.device) == ("linux", said["device"])
    with pytest.raises(Invalid):
        devices.told(made, {"device": "has spaces in it, so no"})
