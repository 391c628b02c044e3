"""What somebody would get is told without a trace: log-in, location, offers, the way, and why not more."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient
from tests.brokers import actor, make_broker
from tests.fleet import CLIENT, Fleet
from tests.page_client import ORIGIN, PASSWORD

from doubles.oidc_provider import OidcProvider
from portico.cli import explain
from portico.domain.access import Actor
from portico.domain.model import Client, Role
from portico.errors import Denied, NotFound
from portico.services import configure, connect, membership
from portico.services.broker import Broker
from portico.services.replay import Replayed, replay
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S047")


def admin(fleet: Fleet, area: str = "users") -> Actor:
    me = fleet.log_in().actor
    return Actor("admin", "admin", me.tenant_id, Role("r", me.tenant_id, "a", areas={area: "view"}))


def told(fleet: Fleet, **how: Any) -> Replayed:
    return replay(fleet.broker, admin(fleet), "user", how.pop("client", Client("198.51.100.7")), **how)


def rows(fleet: Fleet) -> dict[str, int]:
    """How many rows there are in each table that a log-in or an offer could write to."""
    tables = (t.sessions, t.assignments, t.connections, t.events, t.jobs, t.tickets)
    with fleet.broker.db.read() as conn:
        return {table.name: int(conn.scalar(select(func.count()).select_from(table)) or 0) for table in tables}


def test_what_one_would_get_and_how_to_get_there(fleet: Fleet) -> None:
    """Role, policy, location, the offer and its gateway; nothing is written."""
    fleet.desktops(1)
    fleet.line(fleet.pool())
    fleet.gateway("near")
    place = {"conditions": [{"attribute": "address", "operator": "ip", "text": "198.51.100.0/24"}]}
    fleet.change(t.locations, fleet.insert(t.locations, name="Office", body=place))
    who = admin(fleet)
    before = rows(fleet)
    found = replay(fleet.broker, who, "USER", Client("198.51.100.7"))
    assert rows(fleet) == before
    assert (found.login_name, found.location, found.refusal) == ("user", "Office", None) and found.role and found.policy
    (offered,) = found.offers
    assert offered.gateway == "near" and offered.obstacle is None
    assert replay(fleet.broker, who, "user", Client("203.0.113.1")).location == ""


def test_why_not(fleet: Fleet) -> None:
    """No way, no desktop, no entry: each with its reason."""
    line = fleet.line(fleet.pool())
    (reason,) = told(fleet).refusals
    assert reason.code
    fleet.desktops(1)
    fleet.change(t.pool_assignments, line)
    membership.rewrite(fleet.broker, fleet.rows(t.pools)[0].id)
    (offered,) = told(fleet).offers
    assert offered.obstacle is not None and offered.obstacle.code == "gateway.none"
    fleet.change(t.users, "user", disabled=True)
    who = Actor("admin", "admin", fleet.row(t.users, "user").tenant_id, Role("r", "t", "a", areas={"users": "view"}))
    found = replay(fleet.broker, who, "user", CLIENT)
    assert found.refusal is not None and found.refusal.code == "login.disabled"
    fleet.change(t.users, "user", disabled=False, locked_until=fleet.broker.now() + timedelta(minutes=5))
    found = replay(fleet.broker, who, "user", CLIENT)
    assert found.refusal is not None and found.refusal.code == "login.locked"
    later = replay(fleet.broker, who, "user", CLIENT, fleet.broker.now() + timedelta(hours=1))
    assert later.refusal is None


def test_what_one_has_comes_first(fleet: Fleet) -> None:
    """An assignment of theirs is named as such."""
    fleet.desktops(2)
    line, me = fleet.line(fleet.pool()), fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert told(fleet).offers[0].offer.assignment_id == getattr(got, "assignment_id", None)


def test_who_may_ask(fleet: Fleet) -> None:
    """Whoever sees users, about those of their own tenant."""
    with pytest.raises(Denied):
        replay(fleet.broker, admin(fleet, "pools"), "user", CLIENT)
    with pytest.raises(NotFound):
        replay(fleet.broker, admin(fleet), "nobody", CLIENT)
    foreign = Actor("x", "x", "other", Role("r", "other", "a", areas={"users": "view"}))
    with pytest.raises(NotFound):
        replay(fleet.broker, foreign, "user", CLIENT)


def test_over_rest_and_as_text(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The same in JSON, and as lines of the command line; a moment without a zone is refused by its field."""
    broker = make_broker(tmp_path)
    with TestClient(create_app(broker), base_url=ORIGIN) as client:
        log_in = {"username": "admin", "password": PASSWORD}
        token = client.post("/api/v1/login", json=log_in).json().get("token", "")
        assert token
        headers = {"Authorization": f"Bearer {token}"}
        answer = client.get("/api/v1/explain?user=admin&client=198.51.100.7&at=2026-12-01T08:00", headers=headers)
        assert answer.status_code == 422 and "at" in json.dumps(answer.json())
        answer = client.get("/api/v1/explain?user=admin&client=198.51.100.7", headers=headers)
        found = answer.json()
    assert answer.status_code == 200 and found["user"] == "admin" and found["refusal"] is None
    text = "\n".join(explain._lines(found))
    assert text.startswith("admin, ") and f"role {found['role']}, policy {found['policy']}, at no location" in text


def test_of_who_cannot_be_looked_up_the_last_log_in_is_told(
    tmp_path: Any, oidc: OidcProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of people of OpenID Connect: by their name and by their id, with the rule that held then and the time of it."""
    broker = make_broker(tmp_path)
    broker = replace(broker, config=replace(broker.config, egress_allow=("127.0.0.0/8",)))
    rules = [{"attribute": "group", "text": "VDI-Users", "role_id": "role-user"}]
    fields = {"name": "IdP", "kind": "oidc", "domains": ["idp.test"], "settings": oidc.settings, "rules": rules}
    directory = configure.create_item(broker, actor(broker), "directories", fields)["id"]
    broker.snapshots.get(fresh=True)
    with pytest.raises(NotFound):
        replay_of(broker, "olga@idp.test")
    page = TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False)
    left = page.get(f"/login/with/{directory}").headers["location"]
    back = oidc.browse(left, "olga", lambda url: url.startswith(ORIGIN))
    assert page.get(back.removeprefix(ORIGIN)).status_code == 200
    with broker.db.read() as conn:
        row = conn.execute(select(t.users).where(t.users.c.directory == directory)).one()
    for name in ("olga@idp.test", row.id):
        rule = replay_of(broker, name).rule
        assert rule is not None
        assert (rule.code, rule.because[0].code, rule.because[0].params["rule"]) == ("rule.last_log_in", "rule.won", 1)
        assert rule.params["at"] == f"{row.last_login_at:%Y-%m-%d %H:%M} UTC"
    with TestClient(create_app(broker), base_url=ORIGIN) as client:
        token = client.post("/api/v1/login", json={"username": "admin", "password": PASSWORD}).json()["token"]
        found = client.get("/api/v1/explain?user=olga@idp.test", headers={"Authorization": f"Bearer {token}"}).json()
    assert "This is what the log-in of 20" in "\n".join(explain._lines(found))


def replay_of(broker: Broker, name: str) -> Replayed:
    return replay(broker, actor(broker), name, CLIENT)


@pytest.fixture
def oidc() -> Iterator[OidcProvider]:
    provider = OidcProvider(ORIGIN)
    provider.start()
    yield provider
    provider.wipe()
