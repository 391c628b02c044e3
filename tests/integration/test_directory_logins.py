"""People of a directory in one broker: what a log-in writes, what it never does, and what becomes of those who leave."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import OTHER, PASSWORD, TENANT, actor
from tests.contract.test_directory import LINES
from tests.fleet import Fleet
from tests.kills import killed
from tests.page_client import SAME, Page

from doubles.authority import Authority
from portico.directories import crypt3
from portico.directories.listed import Listed
from portico.domain.model import Client, NoDesktop, Reason
from portico.errors import Conflict, Denied, Invalid
from portico.services import configure, connect, directories, housekeeping, login, people, portal, sessions
from portico.services.login import LoggedIn, Refused
from portico.services.replay import replay
from portico.store import tables as t
from portico.store.engine import count_statements
from portico.web import patience
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S046", "S047")
CLIENT = Client("198.51.100.7")


def connect_list(fleet: Fleet, name: str = "List", tenant: str = "", **fields: Any) -> str:
    """Connect a list of people whose engineers get the role User; returns its id."""
    suffix = tenant and "2"
    settings = {"people": fields.pop("people", LINES), **fields.pop("settings", {})}
    made = {
        "name": name, "kind": "list", "domains": [f"{name.lower()}.test"], "settings": settings,
        "rules": [{"attribute": "group", "text": "Engineers", "role_id": f"role-user{suffix}"}], **fields,
    }  # fmt: skip
    id = str(configure.create_item(fleet.broker, actor(fleet.broker, f"admin{suffix}"), "directories", made)["id"])
    fleet.broker.snapshots.get(fresh=True)
    return id


@pytest.fixture
def listed(fleet: Fleet) -> str:
    return connect_list(fleet)


def enter(fleet: Fleet, name: str = "ada@list.test", password: str = "Passw0rd-ada") -> LoggedIn | Refused:
    return login.login(fleet.broker, name, password, CLIENT)


def entered(fleet: Fleet, name: str = "ada@list.test", password: str = "Passw0rd-ada") -> LoggedIn:
    found = enter(fleet, name, password)
    assert isinstance(found, LoggedIn), found
    return found


def user_rows(fleet: Fleet, directory: str) -> list[Any]:
    with fleet.broker.db.read() as conn:
        return list(conn.execute(select(t.users).where(t.users.c.directory == directory)))


def codes(fleet: Fleet) -> list[str]:
    with fleet.broker.db.read() as conn:
        return list(conn.scalars(select(t.events.c.code).order_by(t.events.c.id)))


def test_the_first_log_in_makes_the_user_and_later_ones_find_them(fleet: Fleet, listed: str) -> None:
    first, second = entered(fleet), entered(fleet, "LIST.TEST\\Ada")
    assert first.me.user.id == second.me.user.id
    (row,) = user_rows(fleet, listed)
    assert (row.login_name, row.display_name, row.email, row.subject) == ("ada", "Ada List", "ada@list.test", "ada")
    assert sessions.find(fleet.broker, second.secret) is not None


def test_a_log_in_takes_six_statements(fleet: Fleet, listed: str) -> None:
    counted = count_statements(fleet.broker.db.engine)
    for _ in range(2):  # the first one too
        counted.statements.clear()
        entered(fleet)
        assert len(counted.statements) <= 6, counted.statements


def test_the_rule_that_won_is_kept_and_told(fleet: Fleet, listed: str) -> None:
    entered(fleet)
    with fleet.broker.db.read() as conn:
        row = conn.execute(select(t.sessions).order_by(t.sessions.c.created_at.desc())).first()
    assert row is not None
    assert (row.role_id, row.granted["code"], row.granted["params"]["rule"]) == ("role-user", "rule.won", 1)
    told = replay(fleet.broker, actor(fleet.broker), "ada@list.test", CLIENT)
    assert told.rule is not None
    assert (told.rule.code, told.groups, told.refusal) == ("rule.won", ("Engineers", "VDI-Users"), None)
    never = replay(fleet.broker, actor(fleet.broker), "bob@list.test", CLIENT)
    assert never.refusal is not None
    assert never.refusal.code == "login.no_role"


def test_who_meets_no_rule_stays_out_though_the_password_is_right(fleet: Fleet, listed: str) -> None:
    found = enter(fleet, "bob@list.test", "Passw0rd-bob")
    assert isinstance(found, Refused)
    assert found.reason.code == "login.no_role"
    assert user_rows(fleet, listed) == []


def test_groups_and_rules_count_anew_at_each_log_in_and_location(fleet: Fleet, listed: str) -> None:
    admin = actor(fleet.broker)
    place = {"name": "Office", "conditions": [{"attribute": "address", "operator": "ip", "text": "198.51.100.0/24"}]}
    office = configure.create_item(fleet.broker, admin, "locations", place)["id"]
    policy = configure.create_item(fleet.broker, admin, "policies", {"name": "Inside"})["id"]
    rules = [
        {"attribute": "", "location_id": office, "role_id": "role-user", "policy_id": policy},
        {"attribute": "", "role_id": "role-user"},
    ]
    configure.update_item(fleet.broker, admin, "directories", listed, {"rules": rules})
    fleet.broker.snapshots.get(fresh=True)
    inside = entered(fleet)
    outside = login.login(fleet.broker, "ada@list.test", "Passw0rd-ada", Client("203.0.113.1"))
    assert isinstance(outside, LoggedIn)
    assert (inside.me.policy.name, outside.me.policy.name) == ("Inside", "Default")
    back = sessions.find(fleet.broker, inside.secret)
    assert back is not None and back.policy.name == "Inside"  # the other log-in changed nothing of this one


def test_wrong_and_unknown_look_the_same_and_lock_the_same(fleet: Fleet, listed: str) -> None:
    seen = []
    for name in ("ada@list.test", "nobody@list.test"):
        answers = [enter(fleet, name, "wrong") for _ in range(6)]
        assert all(isinstance(one, Refused) for one in answers)
        seen.append([(one.reason.code, bool(one.retry_after)) for one in answers if isinstance(one, Refused)])
    assert seen[0] == seen[1]
    assert seen[0][-1] == ("login.locked", True)
    locked = enter(fleet)
    assert isinstance(locked, Refused)  # the right one waits as well


def test_a_right_password_ends_the_count_of_wrong_ones(fleet: Fleet, listed: str) -> None:
    for _ in range(3):
        for _ in range(4):
            assert isinstance(enter(fleet, password="wrong"), Refused)
        entered(fleet)


def test_a_name_that_was_given_to_somebody_else_does_not_give_their_desktops(fleet: Fleet, listed: str) -> None:
    """In a list the name is all there is; in others the subject differs, as here by hand."""
    before = entered(fleet).me.user.id
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.users).where(t.users.c.id == before).values(subject="an-ada-of-long-ago"))
    after = entered(fleet).me.user.id
    assert after != before
    old = next(row for row in user_rows(fleet, listed) if row.id == before)
    assert old.login_name.startswith("ada~") and old.disabled
    assert "user.replaced" in codes(fleet)


def test_whom_an_administrator_disabled_here_stays_out(fleet: Fleet, listed: str) -> None:
    user = entered(fleet).me.user.id
    configure.update_item(fleet.broker, actor(fleet.broker), "users", user, {"disabled": True})
    found = enter(fleet)
    assert isinstance(found, Refused) and found.reason.code == "login.disabled"


def test_what_the_directory_says_is_not_changed_by_hand(fleet: Fleet, listed: str) -> None:
    user = entered(fleet).me.user.id
    with pytest.raises(Invalid) as caught:
        configure.update_item(
            fleet.broker, actor(fleet.broker), "users", user, {"login_name": "eve", "password": "x" * 20}
        )
    assert set(caught.value.fields) == {"login_name", "password"}


def test_a_local_user_may_be_called_as_somebody_of_a_directory(fleet: Fleet, listed: str) -> None:
    """Bare, the name is the local user's; with its domain it is the other's."""
    entered(fleet)
    fields = {"login_name": "ada", "role_id": "role-user", "password": "a long local one"}
    local = configure.create_item(fleet.broker, actor(fleet.broker), "users", fields)["id"]
    assert entered(fleet, "ada", "a long local one").me.user.id == local
    assert entered(fleet).me.user.id != local
    assert isinstance(enter(fleet, "ada", "Passw0rd-ada"), Refused)


def test_with_its_directory_a_person_is_gone_and_so_are_their_tokens(fleet: Fleet) -> None:
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.roles).where(t.roles.c.id == "role-user").values(body={"areas": {}, "may_use_api": True}))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    listed = connect_list(fleet)
    found = entered(fleet)
    bearer = configure.create_item(fleet.broker, found.me.actor, "tokens", {"name": "script"})["secret"]
    assert sessions.by_bearer(fleet.broker, bearer) is not None
    configure.delete_item(fleet.broker, actor(fleet.broker), "directories", listed)
    assert sessions.by_bearer(fleet.broker, bearer) is None
    assert sessions.find(fleet.broker, found.secret) is None
    configure.restore_item(fleet.broker, actor(fleet.broker), "directories", listed)
    assert sessions.by_bearer(fleet.broker, bearer) is not None


# --- those who leave


def leave(fleet: Fleet, listed: str) -> None:
    """Ada is disabled in the directory, and the broker hears of it."""
    gone = LINES.replace("ada:$6$", "ada:!$6$", 1)
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"settings": {"people": gone}})
    people.look_after(fleet.broker, listed, 60)


@pytest.mark.parametrize("what", ["keep", "log_out"])
def test_who_is_disabled_there_opens_nothing_any_more(fleet: Fleet, what: str) -> None:
    listed = connect_list(fleet, when_disabled=what)
    fleet.desktops(1)
    fleet.line(fleet.pool())
    found = entered(fleet)
    offer = portal.offers(fleet.broker, found.me).offers[0].id
    opened = connect.connect(fleet.broker, found.me, offer, CLIENT)
    assert isinstance(opened, connect.Connecting)
    leave(fleet, listed)
    me = sessions.find(fleet.broker, found.secret)
    assert (me is not None) is (what == "keep")
    if me is not None:
        assert portal.offers(fleet.broker, me).offers == ()
        refused = connect.connect(fleet.broker, me, offer, CLIENT)
        assert refused == NoDesktop(Reason("user.barred"))
        with pytest.raises(Conflict):
            connect.ticket(fleet.broker, me, opened.id)
    with fleet.broker.db.read() as conn:
        timers = conn.execute(
            select(t.jobs).where(t.jobs.c.kind == "assignment_timer", t.jobs.c.state == "queued")
        ).all()
    assert any(one.payload["action"] == "log_out" for one in timers) is (what == "log_out")
    assert isinstance(enter(fleet), Refused)
    # Let in again, both by being asked about and by logging in.
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", listed, {"settings": {"people": LINES}})
    people.look_after(fleet.broker, listed, 60)
    assert not user_rows(fleet, listed)[0].disabled
    assert codes(fleet)[-1] == "user.unbarred"
    fleet.broker.snapshots.get(fresh=True)
    entered(fleet)


def test_desktops_are_locked_where_that_is_asked_for(fleet: Fleet) -> None:
    """By the agent; one that cannot is an event. The session goes on, and opens nothing."""
    listed = connect_list(fleet, when_disabled="lock")
    (desktop,) = fleet.desktops(1)
    fleet.line(fleet.pool())
    agent = fleet.agent(desktop.id)
    found = entered(fleet)
    offer = portal.offers(fleet.broker, found.me).offers[0].id
    assert isinstance(connect.connect(fleet.broker, found.me, offer, CLIENT), connect.Connecting)
    with agent.answering() as seen:
        leave(fleet, listed)
    assert seen == ["lock"]
    assert "desktop.not_locked" not in codes(fleet)
    me = sessions.find(fleet.broker, found.secret)
    assert me is not None and me.user.barred


def test_a_directory_that_does_not_answer_bars_nobody(fleet: Fleet, listed: str) -> None:
    found = entered(fleet)
    bad = {"kind": "ldap", "name": "x", "settings": {}}
    with pytest.raises(Invalid):
        configure.create_item(fleet.broker, actor(fleet.broker), "directories", bad)
    assert people.look_after(fleet.broker, "nowhere", 60) is None
    assert people.look_after(fleet.broker, listed, 60) == 60
    assert sessions.find(fleet.broker, found.secret) is not None


@pytest.mark.capability("S046")
@pytest.mark.parametrize("point", ["login.before_commit", "login.after_commit"])
def test_a_broker_that_dies_in_a_log_in_leaves_nothing_half_done(fleet: Fleet, listed: str, point: str) -> None:
    """The person logs in at another broker as the same user; a session whose secret nobody was told is worth nothing, and ends."""
    killed(fleet, point, enter)
    made = 1 if point == "login.after_commit" else 0
    assert len(user_rows(fleet, listed)) == made
    found = entered(fleet)
    (row,) = user_rows(fleet, listed)
    assert found.me.user.id == row.id
    with fleet.broker.db.read() as conn:
        lost = conn.scalars(select(t.sessions.c.id).where(t.sessions.c.id != found.me.session_id)).all()
    assert len(lost) == made
    assert all(sessions.find(fleet.broker, f"{one}.guessed") is None for one in lost)
    assert [line.current for line in sessions.list_own(fleet.broker, found.me)].count(
        False
    ) == made  # listed, so it can be ended


# --- several of them, and tenants


@pytest.mark.capability("S048", "S008")
def test_each_tenant_has_its_own_people_at_its_own_page(fleet: Fleet) -> None:
    """The same name and password in two tenants' lists are two people; a bare name at a tenant's page is of that tenant."""
    mine, theirs = connect_list(fleet), connect_list(fleet, "Other", OTHER)
    configure.update_item(
        fleet.broker, actor(fleet.broker), "tenants", OTHER, {"path": "other", "hosts": ["desktops.other.test"]}
    )
    fleet.broker.snapshots.get(fresh=True)
    assert entered(fleet, "ada").me.user.tenant_id == TENANT
    assert entered(fleet, "ada@other.test").me.user.tenant_id == OTHER
    answers = []
    for base, path in (("https://localhost:8443", "/t/other"), ("https://desktops.other.test", "/login")):
        browser = TestClient(create_app(fleet.broker), base_url=base)
        shown = browser.get(path)
        assert "Tenant2" in shown.text
        answer = browser.post(
            path, data={"username": "ada", "password": "Passw0rd-ada"}, headers=SAME, follow_redirects=False
        )
        assert answer.status_code == 303, answer.text
        answers.append(answer.cookies["__Host-portico"])
    found = [sessions.find(fleet.broker, value) for value in answers]
    assert [me.user.tenant_id for me in found if me is not None] == [OTHER, OTHER]
    assert {row.tenant_id for row in user_rows(fleet, mine)} == {TENANT}
    assert {row.tenant_id for row in user_rows(fleet, theirs)} == {OTHER}
    browser = TestClient(create_app(fleet.broker), base_url="https://localhost:8443")
    assert browser.get("/t/nobody").status_code == 404
    refused = browser.post(
        "/t/other", data={"username": "user", "password": PASSWORD}, headers=SAME, follow_redirects=False
    )
    assert refused.status_code == 401  # a local user of another tenant


@pytest.mark.capability("S048")
def test_no_tenant_takes_anothers_domain_or_door(fleet: Fleet, listed: str) -> None:
    other = actor(fleet.broker, "admin2")
    fields = {"name": "Trap", "kind": "list", "domains": ["LIST.test"], "settings": {"people": LINES}}
    with pytest.raises(Invalid) as caught:
        configure.create_item(fleet.broker, other, "directories", fields)
    assert "domains" in caught.value.fields
    fields |= {"domains": ["trap.test"], "position": 0, "default_role_id": "role-user2"}
    configure.create_item(fleet.broker, other, "directories", fields)
    fleet.broker.snapshots.get(fresh=True)
    found = entered(fleet, "ada")  # a bare name is never asked for in a stranger's directory, however early it stands
    assert found.me.user.tenant_id == TENANT
    configure.update_item(fleet.broker, actor(fleet.broker), "tenants", OTHER, {"path": "same"})
    with pytest.raises(Invalid):
        configure.update_item(fleet.broker, actor(fleet.broker), "tenants", TENANT, {"path": "same"})


def test_nobody_gives_away_a_role_beyond_their_own_by_a_rule(fleet: Fleet, listed: str) -> None:
    admin = actor(fleet.broker)
    role = configure.create_item(
        fleet.broker, admin, "roles", {"name": "Directories", "areas": {"directories": "edit"}}
    )
    small = type(admin)("x", "x", TENANT, fleet.broker.snapshots.get(fresh=True).roles[role["id"]])
    with pytest.raises(Denied):
        configure.update_item(fleet.broker, small, "directories", listed, {"default_role_id": "role-admin"})


def test_a_secret_does_not_follow_to_another_server(fleet: Fleet) -> None:
    settings = {"servers": "ldaps://one.test", "base": "dc=x", "bind_name": "cn=s", "bind_password": "secret"}
    made = configure.create_item(
        fleet.broker, actor(fleet.broker), "directories", {"name": "L", "kind": "ldap", "settings": settings}
    )
    assert "bind_password" not in made["settings"]
    again = {"settings": {**made["settings"], "base": "dc=y"}}
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", made["id"], again)
    with pytest.raises(Invalid) as caught:
        configure.update_item(
            fleet.broker,
            actor(fleet.broker),
            "directories",
            made["id"],
            {"settings": {**again["settings"], "servers": "ldaps://two.test"}},
        )
    assert set(caught.value.fields) == {"settings.bind_password"}


# --- waiting


class Slow(Listed):
    """A list that answers when it is told to."""

    release = threading.Event()
    entered = 0

    def authenticate(self, name: Any, password: str) -> Any:
        type(self).entered += 1
        self.release.wait(60)
        return super().authenticate(name, password)


@pytest.fixture
def slow(fleet: Fleet) -> Iterator[type[Slow]]:
    class Own(Slow):
        release = threading.Event()

    drivers = dict(fleet.broker.directory_drivers)
    object.__setattr__(fleet.broker, "directory_drivers", {**drivers, "list": Own})
    yield Own
    Own.release.set()


@pytest.mark.capability("S119")
def test_a_slow_directory_gives_a_page_that_asks_again_and_then_the_desktops(fleet: Fleet, slow: type[Slow]) -> None:
    connect_list(fleet)
    browser = TestClient(create_app(fleet.broker), base_url="https://localhost:8443")
    answer = browser.post("/login", data={"username": "ada@list.test", "password": "Passw0rd-ada"}, headers=SAME)
    assert answer.status_code == 202
    assert "/login/wait" in answer.text
    assert "Passw0rd" not in answer.text
    assert browser.get("/login/wait").status_code == 202
    slow.release.set()
    end = time.monotonic() + 30
    while (arrived := browser.get("/login/wait", follow_redirects=False)).status_code == 202:
        assert time.monotonic() < end
    assert (arrived.status_code, arrived.headers["location"]) == (303, "/?arrived=1")
    assert "ada" in browser.get("/account").text
    assert browser.get("/login/wait", follow_redirects=False).status_code != 202


@pytest.mark.capability("S119")
def test_a_slow_refusal_comes_to_the_form_and_a_strangers_key_tells_nothing(fleet: Fleet, slow: type[Slow]) -> None:
    connect_list(fleet)
    browser = TestClient(create_app(fleet.broker), base_url="https://localhost:8443")
    assert (
        browser.post("/login", data={"username": "ada@list.test", "password": "wrong"}, headers=SAME).status_code == 202
    )
    key = browser.cookies["__Host-portico-wait"]
    stranger = TestClient(create_app(fleet.broker), base_url="https://localhost:8443")
    stranger.cookies.set("__Host-portico-wait", key.partition(".")[0] + ".guessed")
    assert stranger.get("/login/wait").status_code == 401
    slow.release.set()
    end = time.monotonic() + 30
    while (answer := browser.get("/login/wait")).status_code == 202:
        assert time.monotonic() < end
    assert answer.status_code == 401
    assert "not right" in answer.text
    assert Page(answer.text).title


@pytest.mark.capability("S119")
def test_programs_are_told_to_ask_again(fleet: Fleet, slow: type[Slow]) -> None:
    with fleet.broker.db.write() as conn:
        body = {"areas": {}, "may_use_api": True}
        conn.execute(update(t.roles).where(t.roles.c.id == "role-user").values(body=body))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    connect_list(fleet)
    client = TestClient(create_app(fleet.broker), base_url="https://portico.test")
    answer = client.post("/api/v1/login", json={"username": "ada", "domain": "list.test", "password": "Passw0rd-ada"})
    assert answer.status_code == 202
    waiting = {"login": answer.json()["login"]}
    assert client.post("/api/v1/login/waiting", json=waiting).status_code == 202
    slow.release.set()
    end = time.monotonic() + 30
    while (answer := client.post("/api/v1/login/waiting", json=waiting)).status_code == 202:
        assert time.monotonic() < end
    assert answer.json()["user"]["login_name"] == "ada"
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    assert client.get("/api/v1/me", headers=headers).status_code == 200


@pytest.mark.capability("S119")
def test_a_hanging_directory_holds_no_thread_of_the_others(fleet: Fleet, slow: type[Slow]) -> None:
    """A hundred wait for it, more than the web server has threads; others log in meanwhile."""
    connect_list(fleet)
    begun = [
        login.begin(fleet.broker, login.attempt(fleet.broker, f"p{at}@list.test", "x", Client(f"10.0.{at}.1")))
        for at in range(100)
    ]
    assert sum(thread.name == "directory List" for thread in threading.enumerate()) <= 8
    local = login.login(fleet.broker, "user", PASSWORD, CLIENT)
    assert isinstance(local, LoggedIn)
    assert not any(one.outcome.done() for one in begun)
    slow.release.set()
    assert all(isinstance(one.outcome.result(60), Refused) for one in begun)


@pytest.mark.capability("S046")
def test_refusals_come_at_whole_beats(fleet: Fleet, listed: str) -> None:
    """So that the time of an answer does not tell which directory knows a name."""
    client = TestClient(create_app(fleet.broker), base_url="https://portico.test")
    for name in ("ada@list.test", "nobody@list.test", "nobody"):
        began = time.monotonic()
        assert client.post("/api/v1/login", json={"username": name, "password": "wrong"}).status_code == 401
        assert time.monotonic() - began >= patience.BEAT_SECONDS * 0.99


@pytest.mark.capability("S047")
def test_hashes_of_a_list_are_never_shown(fleet: Fleet, listed: str) -> None:
    item = configure.get_item(fleet.broker, actor(fleet.broker), "directories", listed)
    assert crypt3.make("x", "$6$")[:3] not in str(item)


@pytest.mark.capability("S046")
def test_health_and_doctor_name_the_directories_that_do_not_answer(fleet: Fleet, listed: str) -> None:
    assert housekeeping.health(fleet.broker).parts["directories"] == "ok"
    settings = {
        "servers": "ldaps://nobody.invalid",
        "base": "dc=x",
        "bind_name": "s",
        "bind_password": "p",
        "timeout": 5,
    }
    fields = {"name": "Gone", "kind": "ldap", "domains": ["gone.test"], "settings": settings, "position": 1}
    configure.create_item(fleet.broker, actor(fleet.broker), "directories", fields)
    fleet.broker.snapshots.get(fresh=True)
    for _ in range(4):
        found = enter(fleet, "ada@gone.test")
        assert isinstance(found, Refused) and found.reason.code == "login.directory_down"
    assert housekeeping.health(fleet.broker).parts["directories"] == "no answer from Gone"
    assert housekeeping.health(fleet.broker).ok  # people of the others come in
    entered(fleet, "ada")  # past the one that stands before it
    told = dict(directories.check_all(fleet.broker))
    assert {name: findings[0].state for name, findings in told.items()} == {"List": "granted", "Gone": "missing"}


def test_the_secret_of_a_keystone_is_sealed_and_typed_again_when_it_goes_elsewhere(
    fleet: Fleet, tmp_path: Path
) -> None:
    """Another address or another account: else whoever edits the directory would have it sent to a server of theirs."""
    admin, pem = actor(fleet.broker), Authority(tmp_path).pem
    settings = {
        "auth_url": "https://keystone.test:5000/v3", "domain": "people", "service": "password", "service_account": "svc",
        "service_secret": "Geheim-42",
    }  # fmt: skip
    id = configure.create_item(
        fleet.broker, admin, "directories", {"name": "K", "kind": "keystone", "settings": settings}
    )["id"]
    kept = {**settings, "service_secret": ""}
    shown = configure.get_item(fleet.broker, admin, "directories", id)
    assert "Geheim-42" not in str(shown)
    configure.update_item(fleet.broker, admin, "directories", id, {"settings": {**kept, "domain": "others"}})
    for changed in (
        {"auth_url": "https://evil.test/v3"},
        {"service_account": "x"},
        {"service_domain": "x"},
        {"ca_certificates": pem},
    ):
        with pytest.raises(Invalid) as caught:
            configure.update_item(fleet.broker, admin, "directories", id, {"settings": {**kept, **changed}})
        assert "goes elsewhere" in caught.value.fields["settings.service_secret"]
    configure.update_item(fleet.broker, admin, "directories", id, {"settings": {**kept, "service": "none"}})
    with pytest.raises(Invalid) as caught:
        configure.update_item(
            fleet.broker, admin, "directories", id, {"settings": {**kept, "projects": "roles", "service": "none"}}
        )
    assert list(caught.value.fields) == ["settings.projects"]
