"""The directory driver of Keystone on a real one: the contract, people in every state, and whole log-ins of a broker."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import actor, make_broker
from tests.contract.directory_suite import DirectoryContract, Source
from tests.fleets import make_pool
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until
from tests.openstack.keystone_domain import KeystoneDomain

from portico.directories.keystone import Keystone
from portico.domain.model import Client
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import Standing, TypedName, Verdict
from portico.services import configure, directories, login, people, portal, sessions
from portico.services.broker import Broker
from portico.services.login import LoggedIn, Refused
from portico.services.replay import replay
from portico.store import tables as t

ADDRESSES = itertools.count()


@pytest.fixture(scope="module")
def domain(lab: Facts) -> Iterator[KeystoneDomain]:
    made = KeystoneDomain()
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.fixture
def source(domain: KeystoneDomain) -> Source:
    return Source("keystone", domain, Keystone, ("alice", "VDI-Users"), "dave")


class TestContract(DirectoryContract):
    """On a domain of Keystone, with a service account."""


def tried(source: Source, name: str, password: str = "", **settings: Any) -> Verdict:
    driver = source.open(**settings)
    try:
        found: Verdict = driver.authenticate(TypedName(name, name), password or source.server.password(name))
        return found
    finally:
        driver.close()


ALONE = {"service": "none", "service_account": "", "service_secret": ""}


@pytest.mark.capability("S028", "S047")
def test_without_a_service_account_people_tell_of_themselves(source: Source) -> None:
    """Who they are, their groups and projects; but a name that nobody has looks like a wrong password, and nobody is looked up."""
    found = tried(source, "alice", **ALONE, projects="projects").identity
    assert found is not None
    assert (found.login_name, found.display_name, found.email) == ("alice", "Alice Keystone", "alice@cloud.test")
    assert (found.groups, found.attributes["department"]) == (("VDI-Users",), ("Research",))
    assert found.attributes["project"] == ("design",)
    assert found.attributes["project id"] == (source.server.ids["project"],)
    assert found.subject == source.server.ids["alice"]
    assert tried(source, "nobody-here", "x", **ALONE).standing is Standing.WRONG
    driver = source.open(**ALONE)
    with pytest.raises(DirectoryRefused):
        driver.look(["alice"])
    (keystone, service) = driver.check()
    assert (keystone.state, service.state) == ("granted", "warning")


@pytest.mark.capability("S047")
def test_roles_in_projects_come_with_the_service_account(source: Source) -> None:
    found = tried(source, "alice", projects="roles").identity
    assert found is not None
    assert "design/member" in found.attributes["role"]
    driver = source.open(projects="roles")
    described = driver.describe(TypedName("alice", "alice"))
    assert described is not None
    assert (described.groups, described.attributes["role"]) == (found.groups, found.attributes["role"])
    assert driver.describe(TypedName("nobody-here", "nobody-here")) is None


@pytest.mark.capability("S028")
def test_an_application_credential_serves_as_service_account(source: Source) -> None:
    """It looks people up with the rights of its project's admin."""
    server = source.server
    owner = server.user("svc-app")
    server.admin.put("identity", f"/projects/{server.ids['project']}/users/{owner}/roles/{server.roles['admin']}", None)
    who = {"id": owner, "password": server.password("svc-app")}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": who}},
        "scope": {"project": {"id": server.ids["project"]}},
    }
    credential = Cloud("svc-app", None, auth).post(
        "identity", f"/users/{owner}/application_credentials", {"application_credential": {"name": "look"}}
    )["application_credential"]
    settings = {
        "service": "application credential",
        "service_account": credential["id"],
        "service_secret": credential["secret"],
    }
    assert tried(source, "alice", **settings).standing is Standing.OK
    driver = source.open(**settings)
    assert all(one.state == "granted" for one in driver.check())
    found = driver.look(["alice", "dave"])
    assert found["alice"] is not None
    assert found["dave"] is None
    with pytest.raises(DirectoryError, match="service account"):
        tried(source, "alice", **{**settings, "service_secret": "wrong"})


@pytest.mark.capability("S028")
def test_tokens_of_people_are_revoked(source: Source) -> None:
    before = source.server.revoked()
    for _ in range(2):
        assert tried(source, "alice", **ALONE).standing is Standing.OK
    assert source.server.revoked() == before + 2


@pytest.mark.capability("S028")
def test_a_second_factor_of_keystone_and_an_expired_password(source: Source) -> None:
    """Told to who has typed the right password, and to nobody else."""
    assert tried(source, "mia").standing is Standing.SECOND_FACTOR
    assert tried(source, "mia", "wrong").standing is Standing.WRONG
    source.server.expire("pete")
    found = tried(source, "pete")
    assert found.standing is Standing.EXPIRED
    assert found.identity is not None and found.identity.groups == ("VDI-Users",)
    assert tried(source, "pete", "wrong").standing is Standing.WRONG
    assert tried(source, "pete", **ALONE).standing is Standing.EXPIRED
    assert not source.open(**ALONE).changes_passwords


@pytest.mark.capability("S028")
def test_keystones_own_lock_looks_like_a_wrong_password_to_whoever_types_it(source: Source, house: "House") -> None:
    """Keystone itself does not tell it from one, so neither do we. Who is locked for a while keeps what they have."""
    assert {tried(source, "louis", "wrong").standing for _ in range(4)} == {Standing.WRONG}
    assert tried(source, "louis").standing is Standing.WRONG
    found = enter(house, "louis@cloud.test", source.server.password("louis"))
    assert isinstance(found, Refused) and found.reason.code == "login.wrong"
    driver = source.open()
    assert driver.look(["louis"])["louis"] is not None
    old = source.server.password("louis")
    assert driver.change_password(TypedName("louis", "louis"), old, "An0ther-Passw0rd").standing is Standing.WRONG


@pytest.mark.capability("S028")
def test_databases_that_take_one_letter_for_another_find_nobody_else(source: Source) -> None:
    """MariaDB finds alice under these names too; for our locks and our users they are other names."""
    for name in ("alicé", "ÁLICE"):
        for settings in ({}, ALONE):
            assert tried(source, name, source.server.password("alice"), **settings).identity is None


@pytest.mark.capability("S028")
def test_names_that_are_mail_addresses(source: Source) -> None:
    source.server.user("ada@corp.example", description="Ada")
    driver = source.open(suffix="@corp.example")
    for typed in ("ada", "ada@corp.example"):
        found = driver.authenticate(TypedName("ada", typed), source.server.password("ada@corp.example"))
        assert found.identity is not None and found.identity.login_name == "ada"
    assert driver.look(["ada"])["ada"] is not None


@pytest.mark.capability("S028")
def test_many_people_are_looked_up_at_once(source: Source) -> None:
    driver = source.open()
    nobodies = [f"nobody-{at}" for at in range(40)]
    found = driver.look(["alice", "DAVE", *nobodies])
    assert found["alice"] is not None
    assert [name for name, one in found.items() if one is not None] == ["alice"]


@pytest.mark.capability("S028")
def test_passwords_are_changed_by_who_knows_the_old_one(source: Source) -> None:
    source.server.user("nora")
    typed, old = TypedName("nora", "nora"), source.server.password("nora")
    for settings in ({}, ALONE):
        driver = source.open(**settings)
        assert driver.change_password(typed, "wrong", "An0ther-Passw0rd").standing is Standing.WRONG
        assert driver.change_password(typed, old, "An0ther-Passw0rd").standing is Standing.OK
        assert driver.authenticate(typed, old).standing is Standing.WRONG
        for new, words in (("x" * 5000, "too long"), ("short", "eight characters or more")):
            with pytest.raises(DirectoryRefused, match=words):
                driver.change_password(typed, "An0ther-Passw0rd", new)
        # Keystone takes back what it gave in the same second.
        until("the new one", lambda one=driver: _is_right(one, typed, "An0ther-Passw0rd"))
        source.server.change("nora", password=old)


def _is_right(driver: Any, typed: TypedName, password: str) -> bool:
    try:
        return bool(driver.authenticate(typed, password).standing is Standing.OK)
    except DirectoryError:
        return False


# --- one broker


@dataclass(frozen=True)
class House:
    """A broker whose people are those of the domain."""

    broker: Broker
    id: str
    desktop: str


@pytest.fixture
def house(domain: KeystoneDomain, tmp_path: Path) -> Iterator[House]:
    broker = make_broker(tmp_path)
    broker = replace(broker, config=replace(broker.config, egress_allow=("127.0.0.0/8",)))
    admin = actor(broker)
    pool, desktops = make_pool(broker, 1, "Design")
    policy = configure.create_item(
        broker, admin, "policies", {"name": "Designers", "assignments": [{"pool_id": pool}]}
    )["id"]
    configure.update_item(broker, admin, "policies", "policy", {"assignments": []})
    rules = [
        {"attribute": "role", "operator": "eq", "text": "design/admin", "role_id": "role-admin"},
        {"attribute": "group", "operator": "eq", "text": "VDI-Users", "policy_id": policy, "role_id": "role-user"},
    ]
    fields = {
        "name": "Cloud", "kind": "keystone", "domains": ["cloud.test"], "rules": rules, "when_disabled": "log_out",
        "settings": {**domain.settings, "projects": "roles", "timeout": 30},
    }  # fmt: skip
    id = str(configure.create_item(broker, admin, "directories", fields)["id"])
    broker.snapshots.get(fresh=True)
    yield House(broker, id, desktops[0])
    broker.db.dispose()


def enter(house: House, name: str, password: str) -> LoggedIn | Refused:
    return login.login(house.broker, name, password, Client(f"10.9.{next(ADDRESSES)}.7"))


def entered(house: House, name: str, password: str) -> LoggedIn:
    found = enter(house, name, password)
    assert isinstance(found, LoggedIn), found
    return found


@pytest.mark.capability("S028", "S047")
def test_a_log_in_gives_role_and_policy_by_group(house: House, domain: KeystoneDomain) -> None:
    """Her group's rule holds, the offer is its pool's; who is in no group stays out, and a rule's why is told."""
    found = entered(house, "alice@cloud.test", domain.password("alice"))
    assert (found.me.policy.name, found.me.role.id, found.me.user.display_name) == (
        "Designers",
        "role-user",
        "Alice Keystone",
    )
    assert len(portal.offers(house.broker, found.me).offers) == 1
    assert domain.password("alice") not in Path(house.broker.db.engine.url.database or "").read_text("latin-1")
    bob = enter(house, "bob@cloud.test", domain.password("bob"))
    assert isinstance(bob, Refused) and bob.reason.code == "login.no_role"
    wrong = enter(house, "alice@cloud.test", "wrong")
    assert isinstance(wrong, Refused) and wrong.reason.code == "login.wrong"
    mia = enter(house, "mia@cloud.test", domain.password("mia"))
    assert isinstance(mia, Refused) and mia.reason.code == "login.second_factor_there"
    told = replay(house.broker, actor(house.broker), "alice@cloud.test", Client("10.9.0.7"))
    assert told.rule is not None and told.rule.params["rule"] == 2
    assert all(one.state == "granted" for one in directories.check(house.broker, actor(house.broker), house.id))


@pytest.mark.capability("S028", "S047")
def test_who_is_disabled_there_is_out_here(house: House, domain: KeystoneDomain) -> None:
    """And back in when Keystone says yes again."""
    found = entered(house, "alice@cloud.test", domain.password("alice"))
    domain.change("alice", enabled=False)
    try:
        people.look_after(house.broker, house.id, 120)
        assert sessions.find(house.broker, found.secret) is None
        assert isinstance(enter(house, "alice@cloud.test", domain.password("alice")), Refused)
    finally:
        domain.change("alice", enabled=True)
    until(
        "she is back",
        lambda: isinstance(_quietly(lambda: enter(house, "alice@cloud.test", domain.password("alice"))), LoggedIn),
    )


@pytest.mark.capability("S028", "S047")
def test_an_expired_password_is_changed_in_the_portal(house: House, domain: KeystoneDomain) -> None:
    domain.change("pete", password=domain.password("pete"))
    domain.expire("pete")
    found = entered(house, "pete@cloud.test", domain.password("pete"))
    assert found.me.user.must_change_password
    login.change_password(house.broker, found.me, domain.password("pete"), "An0ther-Passw0rd")
    again = until(
        "he is in",
        lambda: (
            (one := _quietly(lambda: enter(house, "pete@cloud.test", "An0ther-Passw0rd")))
            and isinstance(one, LoggedIn)
            and one
        ),
    )
    assert not again.me.user.must_change_password


@pytest.mark.capability("S028", "S047")
def test_without_a_service_account_nobody_is_barred_for_want_of_an_answer(house: House, domain: KeystoneDomain) -> None:
    settings = {**domain.settings, "service": "none", "service_secret": ""}
    configure.update_item(house.broker, actor(house.broker), "directories", house.id, {"settings": settings})
    house.broker.snapshots.get(fresh=True)
    found = entered(house, "alice@cloud.test", domain.password("alice"))
    assert people.look_after(house.broker, house.id, 120) == 120
    assert sessions.find(house.broker, found.secret) is not None
    told = replay(house.broker, actor(house.broker), "alice@cloud.test", Client("10.9.0.7"))
    assert told.rule is not None and told.rule.code == "rule.last_log_in"
    with house.broker.db.read() as conn:
        assert not conn.execute(t.users.select().where(t.users.c.barred.is_not(None))).first()


def _quietly(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except DirectoryError:
        return None
