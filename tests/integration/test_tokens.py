"""API tokens with scopes, networks and rotation, and service accounts: never more than who has them, and never for longer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, actor
from tests.fleet import CLIENT, Fleet
from tests.page_client import ORIGIN, SAME, log_in

from portico.domain.access import AREAS, PORTAL, held_to
from portico.domain.model import Role
from portico.errors import Denied, Invalid, NotFound
from portico.services import configure, configure_tokens, login, portal, sessions
from portico.services.configure import Query
from portico.services.login import LoggedIn, Refused
from portico.services.replay import replay
from portico.store import tables as t
from portico.store.engine import count_statements
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S045", "S048")


def api(fleet: Fleet, secret: str) -> TestClient:
    return TestClient(create_app(fleet.broker), base_url=ORIGIN, headers={"authorization": f"Bearer {secret}"})


def token(fleet: Fleet, name: str = "admin", **fields: Any) -> dict[str, Any]:
    return configure.create_item(fleet.broker, actor(fleet.broker, name), "tokens", {"name": "report", **fields})


def program(fleet: Fleet, role: str = "role-admin", name: str = "nightly", owner: str = "admin") -> str:
    fields = {"login_name": name, "role_id": role, "service": True}
    return str(configure.create_item(fleet.broker, actor(fleet.broker, owner), "users", fields)["id"])


def status(client: TestClient, path: str, method: str = "GET", body: Any = None) -> int:
    return client.request(method, f"/api/v1/{path}", json=body).status_code


def test_a_token_does_what_its_scopes_say_and_nothing_else(fleet: Fleet) -> None:
    """To look is not to change, an area that is not named is closed, the owner's desktops too, and no token makes another one."""
    narrow = api(fleet, token(fleet, scopes={"pools": "view", "users": "edit"})["secret"])
    assert status(narrow, "pools") == 200
    assert status(narrow, "pools", "POST", {"name": "more"}) == 403
    assert status(narrow, "desktops") == 403
    assert status(narrow, "offers") == 403
    assert status(narrow, "connections", "POST", {"offer": "x.0"}) == 403
    assert status(narrow, "tokens", "POST", {"name": "wider"}) == 403
    assert status(narrow, "me/password", "POST", {"old": PASSWORD, "new": "another-long-password"}) == 403
    assert status(narrow, "users", "POST", {"login_name": "new", "role_id": "role-user"}) == 201
    assert status(narrow, "users", "POST", {"login_name": "boss", "role_id": "role-admin"}) == 403  # beyond the token
    own = api(fleet, token(fleet, scopes={PORTAL: "view"})["secret"])
    assert (status(own, "offers"), status(own, "pools")) == (200, 403)
    assert status(own, "connections", "POST", {"offer": "x.0"}) == 403
    assert status(api(fleet, token(fleet)["secret"]), "desktops") == 200


def test_a_token_shrinks_with_its_owners_role(fleet: Fleet) -> None:
    mine = api(fleet, token(fleet, scopes={"pools": "edit"})["secret"])
    assert status(mine, "pools", "POST", {"name": "one"}) == 201
    with fleet.broker.db.write() as conn:
        body = {"areas": {"pools": "view"}, "may_use_api": True}
        conn.execute(update(t.roles).where(t.roles.c.id == "role-admin").values(body=body))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)
    assert (status(mine, "pools"), status(mine, "pools", "POST", {"name": "two"})) == (200, 403)


ROLES = st.dictionaries(st.sampled_from(AREAS), st.sampled_from(["view", "edit"]))
SCOPES = st.dictionaries(st.sampled_from([*AREAS, PORTAL]), st.sampled_from(["view", "edit"]))


@given(ROLES, SCOPES)
def test_what_remains_is_the_lesser_of_both(areas: dict[str, str], scopes: dict[str, str]) -> None:
    left = held_to(Role("r", "t", "Role", areas, may_power=True), scopes)
    assert set(left.areas) == set(areas) & set(scopes)
    assert all((level == "edit") is (areas[area] == scopes[area] == "edit") for area, level in left.areas.items())
    assert (left.may_release, left.may_power) == ((scopes.get(PORTAL) == "edit"),) * 2


def test_a_token_is_good_from_its_networks_alone(fleet: Fleet) -> None:
    made = token(fleet, networks=["10.1.0.0/16", "2001:db8::/32"])["secret"]
    assert sessions.by_bearer(fleet.broker, made, "10.1.2.3") is not None
    assert sessions.by_bearer(fleet.broker, made, "2001:db8::7") is not None
    for elsewhere in ("10.2.0.1", "", "nonsense", "::ffff:10.2.0.1"):
        assert sessions.by_bearer(fleet.broker, made, elsewhere) is None
    assert sessions.by_bearer(fleet.broker, made, "::ffff:10.1.2.3") is not None
    with pytest.raises(Invalid) as caught:
        token(fleet, networks=["10.1.0.0/33"])
    assert "networks" in caught.value.fields
    with pytest.raises(Invalid) as caught:
        token(fleet, scopes={"nothing": "view", "pools": "own"})
    assert set(caught.value.fields) == {"scopes.nothing", "scopes.pools"}


def test_a_secret_is_changed_without_a_gap(fleet: Fleet) -> None:
    """The one before is good for the hours that were asked for; without any, from then on no more."""
    made = token(fleet)
    admin = actor(fleet.broker)
    later = configure_tokens.rotate(fleet.broker, admin, made["id"], 2)["secret"]
    assert all(sessions.by_bearer(fleet.broker, one) is not None for one in (made["secret"], later))
    fleet.clock.forward(minutes=121)
    assert sessions.by_bearer(fleet.broker, made["secret"]) is None
    last = configure_tokens.rotate(fleet.broker, admin, made["id"], 0)["secret"]
    assert sessions.by_bearer(fleet.broker, later) is None
    assert sessions.by_bearer(fleet.broker, last) is not None
    answer = api(fleet, last).post(f"/api/v1/tokens/{made['id']}/rotate", json={})
    assert answer.status_code == 200 and answer.json()["secret"] != last
    with pytest.raises(Invalid):
        configure_tokens.rotate(fleet.broker, admin, made["id"], 169)
    for stranger in ("user", "admin2"):
        with pytest.raises(NotFound):
            configure_tokens.rotate(fleet.broker, actor(fleet.broker, stranger), made["id"], 1)


def test_a_request_takes_as_many_statements_as_before(fleet: Fleet) -> None:
    """One to know who calls; and one more at most once a minute, to note when and from where."""
    made = token(fleet, scopes={"pools": "view"}, networks=["10.0.0.0/8"])["secret"]
    counted = count_statements(fleet.broker.db.engine)
    assert sessions.by_bearer(fleet.broker, made, "10.0.0.1") is not None
    assert len(counted.statements) == 2
    counted.statements.clear()
    assert sessions.by_bearer(fleet.broker, made, "10.0.0.1") is not None
    assert len(counted.statements) == 1
    shown = configure.list_items(fleet.broker, actor(fleet.broker), "tokens", Query()).items
    assert shown[0]["used_address"] == "10.0.0.1"


# --- service accounts


def test_a_service_account_works_by_tokens_and_nobody_logs_in_as_it(fleet: Fleet) -> None:
    made = program(fleet)
    key = token(fleet, user_id=made, scopes={"pools": "edit"})
    works = api(fleet, key["secret"])
    assert works.get("/api/v1/me").json()["login_name"] == "nightly"
    assert status(works, "pools", "POST", {"name": "by a program"}) == 201
    with fleet.broker.db.read() as conn:
        who = conn.scalars(select(t.events.c.actor).where(t.events.c.code == "pool.created")).all()
    assert who == ["nightly"]
    for tried in ("", PASSWORD, "nightly"):
        assert isinstance(login.login(fleet.broker, "nightly", tried, CLIENT), Refused)
    listed = configure.list_items(fleet.broker, actor(fleet.broker), "users", Query(filters={"service": "true"}))
    assert [one["login_name"] for one in listed.items] == ["nightly"]


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_an_account_that_is_no_more_has_no_tokens(fleet: Fleet, end: str) -> None:
    made = program(fleet)
    secret = token(fleet, user_id=made)["secret"]
    assert sessions.by_bearer(fleet.broker, secret) is not None
    if end == "disable":
        configure.update_item(fleet.broker, actor(fleet.broker), "users", made, {"disabled": True})
    else:
        configure.delete_item(fleet.broker, actor(fleet.broker), "users", made)
    assert sessions.by_bearer(fleet.broker, secret) is None


def test_nobody_makes_a_token_for_whom_they_may_not(fleet: Fleet) -> None:
    """Not for people, not for programs of another tenant, not for a program whose role reaches further than one's own."""
    admin = actor(fleet.broker)
    theirs = program(fleet, "role-admin2", "theirs", "admin2")
    for whose in ("user", theirs, "nobody"):
        with pytest.raises(Invalid) as caught:
            token(fleet, user_id=whose)
        assert "user_id" in caught.value.fields
    strong = program(fleet)
    key = token(fleet, user_id=strong)
    role = configure.create_item(fleet.broker, admin, "roles", {"name": "Desk", "areas": {"users": "edit"}})
    small = type(admin)("x", "x", admin.tenant_id, fleet.broker.snapshots.get(fresh=True).roles[role["id"]])
    with pytest.raises(Denied):
        configure.create_item(fleet.broker, small, "tokens", {"name": "steal", "user_id": strong})
    with pytest.raises(Denied):
        configure_tokens.rotate(fleet.broker, small, key["id"], 0)  # a new secret would be as good as a new token
    assert sessions.by_bearer(fleet.broker, key["secret"]) is not None
    with pytest.raises(NotFound):
        configure.delete_item(fleet.broker, actor(fleet.broker, "admin2"), "tokens", key["id"])
    assert configure.list_items(fleet.broker, actor(fleet.broker, "user"), "tokens", Query()).items == []


def test_a_person_stays_a_person_and_a_program_has_no_password(fleet: Fleet) -> None:
    admin, made = actor(fleet.broker), program(fleet)
    for id, fields, field in (
        ("user", {"service": True}, "service"),
        (made, {"service": False}, "service"),
        (made, {"password": "a-long-enough-password"}, "password"),
        (made, {"must_change_password": True}, "must_change_password"),
    ):
        with pytest.raises(Invalid) as caught:
            configure.update_item(fleet.broker, admin, "users", id, fields)
        assert field in caught.value.fields


def test_the_pages_make_change_and_revoke_tokens(fleet: Fleet) -> None:
    """One's own on one's own page, a program's on its page; secrets are shown once."""
    made = program(fleet)
    browser = TestClient(create_app(fleet.broker), base_url=ORIGIN, follow_redirects=False)
    csrf = log_in(browser)
    for at in ("/account/tokens", f"/admin/users/{made}/tokens"):
        data = {
            "csrf": csrf,
            "name": "report",
            "days": "30",
            "kind": "chosen",
            "scope.pools": "view",
            "networks": "10.0.0.0/8",
        }
        shown = browser.post(at, data=data, headers=SAME).text
        assert shown.count("pt.") >= 1 and "10.0.0.0/8" in shown
        wrong = browser.post(at, data=data | {"networks": "10.0.0.0/99"}, headers=SAME)
        assert wrong.status_code == 422 and "is not a network" in wrong.text
    rows = configure.list_items(fleet.broker, actor(fleet.broker), "tokens", Query()).items
    assert {row["user_id"] for row in rows} == {"admin", made}
    assert all(row["scopes"] == {"pools": "view"} for row in rows)
    theirs = next(row["id"] for row in rows if row["user_id"] == made)
    assert theirs not in browser.get("/account").text
    turned = browser.post(f"/admin/users/{made}/tokens/{theirs}/rotate", data={"csrf": csrf}, headers=SAME)
    assert f"pt.{theirs}." in turned.text
    gone = browser.post(f"/admin/users/{made}/tokens/{theirs}/revoke", data={"csrf": csrf}, headers=SAME)
    assert gone.status_code == 303
    assert theirs not in browser.get(f"/admin/users/{made}/tokens").text
    assert browser.get("/admin/users/user/tokens").status_code == 404


def test_a_token_without_scopes_is_its_owner(fleet: Fleet) -> None:
    found = login.login(fleet.broker, "admin", PASSWORD, CLIENT)
    assert isinstance(found, LoggedIn)
    me = sessions.by_bearer(fleet.broker, token(fleet)["secret"])
    assert me is not None
    assert (me.role, me.scopes, me.actor.scoped) == (found.me.role, None, False)


def test_a_program_has_no_desktops(fleet: Fleet) -> None:
    """Whatever its role and policy say: neither to look at nor to open, by a token with scopes or without."""
    fleet.desktops(1)
    line = fleet.line(fleet.pool())
    assert portal.offers(fleet.broker, fleet.log_in()).offers  # a person has one
    made = program(fleet, "role-user")
    for scopes in (None, {PORTAL: "edit"}):
        works = api(fleet, token(fleet, user_id=made, scopes=scopes)["secret"])
        assert status(works, "me") == 200
        assert (status(works, "offers"), fleet.rows(t.assignments)) == (200, [])
        seen = works.get("/api/v1/offers").json()
        assert (seen["offers"], [one["code"] for one in seen["refusals"]]) == ([], ["user.service"])
        assert "service account" in works.post("/api/v1/connections", json={"offer": f"{line}.0"}).text
        assert fleet.rows(t.assignments) == fleet.rows(t.connections) == []
    told = replay(fleet.broker, actor(fleet.broker), "nightly", CLIENT)
    assert [reason.code for reason in told.refusals] == ["user.service"]


def test_a_token_ends_when_it_said(fleet: Fleet) -> None:
    short, lasting = token(fleet, days=1)["secret"], token(fleet, days=None)["secret"]
    assert all(sessions.by_bearer(fleet.broker, one) is not None for one in (short, lasting))
    fleet.clock.forward(minutes=24 * 60 + 1)
    assert [sessions.by_bearer(fleet.broker, one) is not None for one in (short, lasting)] == [False, True]
