"""Real directories at once in one broker: two Samba domains without trust, slapd, ypserv, a provider, and users who are kept here."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, TENANT, actor, make_broker
from tests.contract.directory_suite import DirectoryContract, Source
from tests.fleets import make_pool

from doubles.nis import Nis as NisServer
from doubles.oidc_provider import OidcProvider
from doubles.samba import Samba
from doubles.saml_provider import SamlProvider
from doubles.slapd import BASE, Slapd
from portico.directories.active_directory import ActiveDirectory
from portico.directories.nis import Nis
from portico.directories.open_ldap import OpenLdap
from portico.domain.model import Client
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import Standing, TypedName
from portico.services import configure, connect, login, portal, sessions, sign_on_door
from portico.services.broker import Broker
from portico.services.login import LoggedIn, Refused
from portico.web.app import create_app

ORIGIN = "https://localhost:8443"
CLIENT = Client("192.0.2.7")
ADDRESSES = itertools.count()  # each try from another one: an address that fails too often must wait
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0) + 1


@dataclass(frozen=True)
class Lab:
    """All directories of this machine."""

    alpha: Source
    beta: Source
    open: Source
    nis: Source
    provider: OidcProvider
    saml: SamlProvider

    @property
    def sources(self) -> dict[str, Source]:
        return {"alpha": self.alpha, "beta": self.beta, "open": self.open, "nis": self.nis}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    servers = {
        "alpha": Samba(f"127.77.{WORKER}.1", "alpha.test", "ALPHA"),
        "beta": Samba(f"127.77.{WORKER}.2", "beta.test", "BETA"),
        "open": Slapd(),
        "nis": NisServer(WORKER),
        "provider": OidcProvider(ORIGIN),
        "saml": SamlProvider(),
    }
    try:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda server: server.start(), servers.values()))  # type: ignore[attr-defined]
        yield Lab(
            Source("active-directory", servers["alpha"], ActiveDirectory, ("alice", "VDI-Users"), "dave"),
            Source("active-directory", servers["beta"], ActiveDirectory, ("alice", "VDI-Users"), "dave"),
            Source("ldap", servers["open"], OpenLdap, ("alice", "VDI-Users"), "dave"),
            Source("nis", servers["nis"], Nis, ("nina", "vdiusers"), "lock"),
            servers["provider"],  # type: ignore[arg-type]
            servers["saml"],  # type: ignore[arg-type]
        )
    finally:
        for server in servers.values():
            server.wipe()  # type: ignore[attr-defined]


@pytest.fixture(params=["alpha", "open", "nis"])
def source(request: pytest.FixtureRequest, lab: Lab) -> Source:
    return lab.sources[request.param]


class TestContract(DirectoryContract):
    """On every kind of directory."""


def standing(source: Source, name: str, password: str = "", **settings: Any) -> Standing:
    driver = source.open(**settings)
    try:
        user = name.rpartition("\\")[2].partition("@")[0]
        found = driver.authenticate(TypedName(user, name), password or source.server.password(user))
        return Standing(found.standing)
    finally:
        driver.close()


@pytest.mark.capability("S042")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [("dave", Standing.DISABLED), ("erin", Standing.ACCOUNT_EXPIRED), ("hank", Standing.HOURS), ("wendy", Standing.WORKSTATION),
     ("mike", Standing.MUST_CHANGE), ("paula", Standing.EXPIRED)],
)  # fmt: skip
def test_why_an_account_is_refused_is_told_after_the_right_password_alone(
    lab: Lab, name: str, wanted: Standing
) -> None:
    assert standing(lab.alpha, name) is wanted
    assert standing(lab.alpha, name, "wrong") is Standing.WRONG


@pytest.mark.capability("S042")
def test_a_domain_knows_its_people_by_every_way_to_write_them(lab: Lab) -> None:
    """sAMAccountName, DOMAIN\\user, the UPN, and one with a suffix of its own."""
    for name in ("alice", "ALPHA\\alice", "alice@alpha.test", "Alice"):
        user = "alice"
        driver = lab.alpha.open()
        assert driver.authenticate(TypedName(user, name), lab.alpha.server.password(user)).standing is Standing.OK
        driver.close()
    driver = lab.alpha.open()
    found = driver.authenticate(TypedName("carol.c", "carol.c@corp.example"), lab.alpha.server.password("carol"))
    assert found.identity is not None and found.identity.login_name == "carol"
    driver.close()


@pytest.mark.capability("S042")
def test_a_name_locks_in_the_domain_and_says_so_to_us(lab: Lab) -> None:
    tries = [standing(lab.alpha, "louis", "wrong") for _ in range(4)]
    assert tries == [Standing.WRONG] * 3 + [Standing.LOCKED]
    assert standing(lab.alpha, "louis") is Standing.LOCKED


@pytest.mark.capability("S042", "S047")
def test_who_may_not_log_in_any_more_is_told_without_a_password(lab: Lab) -> None:
    """Disabled, and ended by its date; but neither locked by wrong passwords, which anyone can type, nor a password's age."""
    driver = lab.alpha.open()
    end = f"dn: {lab.alpha.server.dn('nomad')}\nchangetype: modify\nreplace: accountExpires\naccountExpires: "
    for ends, may in (
        ("0", True),
        (str(0x7FFFFFFFFFFFFFFF), True),
        ("200000000000000000", True),
        ("131000000000000000", False),
    ):
        lab.alpha.server.change(f"{end}{ends}\n")
        assert (driver.look(["nomad"])["nomad"] is not None) is may, ends
    while standing(lab.alpha, "louis", "wrong") is not Standing.LOCKED:
        pass
    while standing(lab.open, "louis", "wrong") is not Standing.LOCKED:
        pass
    found = driver.look(["alice", "dave", "erin", "louis", "paula"])
    assert {name for name, one in found.items() if one is not None} == {"alice", "louis", "paula"}
    driver.close()
    driver = lab.open.open()
    found = driver.look(["alice", "dave", "louis"])
    assert {name for name, one in found.items() if one is not None} == {"alice", "louis"}
    driver.close()


@pytest.mark.capability("S042")
def test_an_expired_password_of_a_domain_is_overlooked_where_the_settings_say_so(lab: Lab) -> None:
    assert standing(lab.alpha, "paula", allow_expired=True) is Standing.OK
    assert standing(lab.alpha, "paula", "wrong", allow_expired=True) is Standing.WRONG


@pytest.mark.capability("S042", "S043")
def test_passwords_are_changed_by_who_knows_the_old_one(lab: Lab) -> None:
    """Also by who must change theirs and cannot bind; a bad one is refused in the directory's words."""
    for source, name in ((lab.beta, "mike"), (lab.open, "mike")):
        driver = source.open()
        typed, old = TypedName(name, name), source.server.password(name)
        assert driver.authenticate(typed, old).standing is Standing.MUST_CHANGE
        assert driver.change_password(typed, "wrong", "An0ther-Passw0rd").standing is Standing.WRONG
        with pytest.raises(DirectoryRefused):
            driver.change_password(typed, old, "short")
        assert driver.change_password(typed, old, "An0ther-Passw0rd").standing is Standing.OK
        assert driver.authenticate(typed, "An0ther-Passw0rd").standing is Standing.OK
        assert driver.authenticate(typed, old).standing is Standing.WRONG
        driver.close()


@pytest.mark.capability("S043")
def test_an_expired_password_is_told_or_overlooked(lab: Lab) -> None:
    assert standing(lab.open, "pete") is Standing.EXPIRED
    assert standing(lab.open, "pete", allow_expired=True) is Standing.OK
    assert standing(lab.open, "pete", "wrong", allow_expired=True) is Standing.WRONG


@pytest.mark.capability("S042", "S043")
def test_groups_as_far_as_the_settings_say(lab: Lab) -> None:
    for source in (lab.alpha, lab.open):
        for groups, wanted in (
            ("direct", {"Backend"}),
            ("nested", {"Backend", "Engineers", "VDI-Users"}),
            ("off", set()),
        ):
            driver = source.open(groups=groups)
            found = driver.authenticate(TypedName("alice", "alice"), source.server.password("alice")).identity
            assert found is not None
            assert set(found.groups) & {"Backend", "Engineers", "VDI-Users"} == wanted
            driver.close()
    driver = lab.open.open()
    oscar = driver.authenticate(TypedName("oscar", "oscar"), lab.open.server.password("oscar")).identity
    assert oscar is not None and "posixvdi" in oscar.groups
    driver.close()


@pytest.mark.capability("S043")
def test_groups_that_hold_each_other_and_ten_thousand_of_them(lab: Lab) -> None:
    """A circle ends; many groups are read in pages."""
    server = lab.open.server
    ring = [
        f"dn: cn=ring{at},ou=Groups,{BASE}\nobjectClass: groupOfNames\ncn: ring{at}\nmember: cn=ring{(at + 1) % 3},ou=Groups,{BASE}\n"
        f"member: uid=bob,ou=People,{BASE}" for at in range(3)
    ]  # fmt: skip
    many = [
        f"dn: cn=many{at},ou=Groups,{BASE}\nobjectClass: groupOfNames\ncn: many{at}\nmember: uid=gwen,ou=People,{BASE}"
        for at in range(9_500)
    ]
    server.add("\n\n".join(ring + many) + "\n")
    driver = lab.open.open(timeout=60)
    bob = driver.authenticate(TypedName("bob", "bob"), server.password("bob")).identity
    assert bob is not None and {"ring0", "ring1", "ring2", "VDI-Users"} <= set(bob.groups)
    gwen = driver.authenticate(TypedName("gwen", "gwen"), server.password("gwen")).identity
    assert gwen is not None and len(gwen.groups) == 9_500
    driver.close()


@pytest.mark.capability("S043", "S047")
def test_what_groups_are_in_is_remembered_as_long_as_the_settings_say_and_who_is_in_them_never(lab: Lab) -> None:
    server = lab.open.server
    gwen, inner, outer = f"uid=gwen,ou=People,{BASE}", f"cn=inner,ou=Groups,{BASE}", f"cn=outer,ou=Groups,{BASE}"
    bob = f"uid=bob,ou=People,{BASE}"
    for dn, member in ((inner, gwen), (outer, bob)):
        server.add(f"dn: {dn}\nobjectClass: groupOfNames\ncn: {dn[3:8]}\nmember: {member}\n")
    change = "dn: {}\nchangetype: modify\n{}: member\nmember: {}\n"
    drivers = {seconds: lab.open.open(group_memory=seconds, timeout=60) for seconds in (0, 1, 3600)}

    def has_outer(seconds: int, name: str = "gwen") -> bool:
        found = drivers[seconds].describe(TypedName(name, name))
        assert found is not None
        return "outer" in found.groups

    assert not any([has_outer(seconds) for seconds in drivers])
    server.modify(change.format(outer, "add", inner))
    assert (has_outer(0), has_outer(3600)) == (True, False)
    until(lambda: has_outer(1))
    server.modify(change.format(inner, "add", f"uid=oscar,ou=People,{BASE}"))
    server.modify(change.format(outer, "delete", inner))
    assert not has_outer(0, "oscar")
    until(lambda: not has_outer(1))
    server.modify(change.format(outer, "add", gwen))  # herself: nothing of that is remembered
    assert all([has_outer(seconds) for seconds in drivers])
    for driver in drivers.values():
        driver.close()


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.capability("S042", "S043")
def test_a_certificate_of_somebody_else_or_for_another_name_is_not_trusted(lab: Lab) -> None:
    for settings, word in (
        ({"ca_certificates": lab.alpha.server.authority.pem}, "not trusted"),
        ({"servers": f"ldaps://ip6-localhost:{lab.open.server.secure}"}, ""),
        ({"servers": f"ldaps://127.0.0.1.nip.invalid:{lab.open.server.secure}"}, "cannot be reached"),
    ):
        driver = lab.open.open(**settings)
        with pytest.raises(DirectoryError) as caught:
            driver.authenticate(TypedName("alice", "alice"), "x")
        assert word in caught.value.sentence
        driver.close()


@pytest.mark.capability("S043")
def test_in_clear_first_then_tls_and_a_dead_server_before_the_living_one(lab: Lab) -> None:
    """StartTLS, and failover: a server that is not there, then the one that is."""
    server = lab.open.server
    starttls = f"ldap://localhost:{server.plain}"
    assert standing(lab.open, "alice", servers=starttls) is Standing.OK
    assert (
        standing(lab.open, "alice", servers=f"ldaps://127.77.0.9:1\nldaps://localhost:{server.secure}") is Standing.OK
    )


@pytest.mark.capability("S042")
def test_servers_are_found_by_the_domains_own_dns(lab: Lab) -> None:
    """The settings of the samba double name none: all of the above went by SRV records. Without an answer it is said."""
    with pytest.raises(DirectoryError, match="DNS names no servers"):
        standing(lab.alpha, "alice", dns_domain="nowhere.test")


# --- one broker


@dataclass(frozen=True)
class House:
    """A broker with every directory connected, each with a pool of its own."""

    broker: Broker
    ids: dict[str, str]  # directory → id
    desktops: dict[str, str]  # directory → the desktop of its pool


@pytest.fixture(scope="module")
def house(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    broker = make_broker(Path(tmp_path_factory.mktemp("house")))
    broker = replace(broker, config=replace(broker.config, egress_allow=("127.0.0.0/8",)))
    admin = actor(broker)
    ids, desktops = {}, {}
    domains = {
        "alpha": ["alpha.test", "ALPHA"],
        "beta": ["beta.test", "BETA"],
        "open": ["open.test"],
        "nis": ["vdilab"],
    }
    for position, name in enumerate((*lab.sources, "provider", "saml", "local")):
        pool, made = make_pool(broker, 1, f"Pool of {name}")
        policy = configure.create_item(broker, admin, "policies", {"name": name, "assignments": [{"pool_id": pool}]})[
            "id"
        ]
        desktops[name] = made[0]
        if name == "local":
            configure.update_item(broker, admin, "users", "user", {"policy_id": policy})
            continue
        source = lab.sources.get(name)
        provider = ("saml", lab.saml.settings) if name == "saml" else ("oidc", lab.provider.settings)
        kind, settings = (source.kind, source.server.settings) if source else provider
        group = source.member[1] if source else "VDI-Users"
        fields = {
            "name": name, "kind": kind, "domains": domains.get(name, []), "position": position, "settings": dict(settings),
            "rules": [{"attribute": "group", "operator": "eq", "text": group, "policy_id": policy}],
            "default_role_id": "role-user",
        }  # fmt: skip
        ids[name] = configure.create_item(broker, admin, "directories", fields)["id"]
    configure.update_item(broker, admin, "policies", "policy", {"assignments": []})
    broker.snapshots.get(fresh=True)
    lab.saml.know(sign_on_door.description(broker, ids["saml"]))
    yield House(broker, ids, desktops)
    broker.db.dispose()


PEOPLE = {
    "alpha": "alice@alpha.test",
    "beta": "BETA\\alice",
    "open": "alice@open.test",
    "nis": "nina@vdilab",
    "local": "user",
    "provider": "olga",
    "saml": "sam",
}
BY_BROWSER = ("provider", "saml")


def enter(house: House, lab: Lab, name: str, password: str = "", typed: str = "") -> LoggedIn | Refused:
    typed = typed or PEOPLE[name]
    if name in BY_BROWSER and not password:
        return by_provider(house, lab, name)
    user = typed.rpartition("\\")[2].partition("@")[0]
    right = PASSWORD if name in ("local", *BY_BROWSER) else lab.sources[name].server.password(user)
    return login.login(house.broker, typed, password or right, Client(f"10.9.{next(ADDRESSES)}.7"))


def by_provider(house: House, lab: Lab, name: str) -> LoggedIn:
    """Log in at a provider, as a browser does."""
    page = TestClient(create_app(house.broker), base_url=ORIGIN, follow_redirects=False)
    left = page.get(f"/login/with/{house.ids[name]}").headers["location"]
    if name == "saml":
        with lab.saml.browser() as there:
            landing = lab.saml.browse(there, left, PEOPLE[name])
        back = landing.url.removeprefix(ORIGIN).replace("/acs", "/back")  # what our page between the two sends on
        assert page.post(back, data=landing.fields, headers={"origin": ORIGIN}).status_code == 200
    else:
        back = lab.provider.browse(left, PEOPLE[name], lambda url: url.startswith(ORIGIN))
        assert page.get(back.removeprefix(ORIGIN)).status_code == 200
    value = page.cookies["__Host-portico"]
    me = sessions.find(house.broker, value)
    assert me is not None
    return LoggedIn(me, value)


@pytest.mark.capability("S007", "S042", "S043", "S044", "S045", "S046", "S047", "S048")
def test_a_user_of_each_logs_in_and_is_offered_their_own_alone(house: House, lab: Lab) -> None:
    """Two people are called alice, in domains that know nothing of each other: they are two users."""
    seen = {}
    for name in PEOPLE:
        found = enter(house, lab, name)
        assert isinstance(found, LoggedIn), (name, found)
        assert found.me.policy.name == name
        offered = portal.offers(house.broker, found.me)
        assert len(offered.offers) == 1
        opened: Any = connect.connect(house.broker, found.me, offered.offers[0].id, CLIENT)
        assert opened.desktop_id == house.desktops[name]
        seen[name] = found.me.user.id
    assert len(set(seen.values())) == len(PEOPLE)
    again = enter(house, lab, "alpha", lab.alpha.server.password("alice"), "ALPHA\\ALICE")
    assert isinstance(again, LoggedIn) and again.me.user.id == seen["alpha"]


@pytest.mark.capability("S008")
@pytest.mark.parametrize("mine", list(PEOPLE))
@pytest.mark.parametrize("other", list(PEOPLE))
def test_nobody_reaches_the_desktops_of_another_domain(house: House, lab: Lab, mine: str, other: str) -> None:
    """Over all pairs: what one is offered never leads into the other's pool, and a password of one opens no door of the other."""
    found = enter(house, lab, mine)
    assert isinstance(found, LoggedIn)
    pools = {offer.pool_id for offer in portal.offers(house.broker, found.me).offers}
    snapshot = house.broker.snapshots.get()
    names = {snapshot.pools[pool].name for pool in pools if pool}
    assert names == {f"Pool of {mine}"}
    if other == mine:
        return
    theirs = next(iter(p for p in snapshot.policies.values() if p.name == other)).assignments[0]
    assert not isinstance(connect.connect(house.broker, found.me, f"{theirs.id}.0", CLIENT), connect.Connecting)
    owned = {
        "local": PASSWORD,
        **dict.fromkeys(BY_BROWSER, "what-she-typed-there"),
    }  # a provider's passwords are never seen here
    user = PEOPLE[mine].rpartition("\\")[2].partition("@")[0]
    right = owned.get(mine) or lab.sources[mine].server.password(user)
    refused = enter(house, lab, other, password=right)
    # Nobody here knows a provider's people by a password: their names lock as those of nobody do.
    assert isinstance(refused, Refused)
    assert refused.reason.code == "login.wrong" or other in BY_BROWSER
    assert isinstance(enter(house, lab, other), LoggedIn)  # which ends the count of wrong ones, here and there


@pytest.mark.capability("S046")
def test_bare_names_are_asked_for_in_order(house: House, lab: Lab) -> None:
    """Four directories may know alice: the first that does decides, and no other is shown her password."""
    found = enter(house, lab, "alpha", typed="alice")
    assert isinstance(found, LoggedIn) and found.me.user.directory == house.ids["alpha"]
    refused = login.login(house.broker, "alice", lab.beta.server.password("alice"), CLIENT)
    assert isinstance(refused, Refused)
    assert isinstance(enter(house, lab, "alpha"), LoggedIn)
    nina = enter(house, lab, "nis", typed="nina")
    assert isinstance(nina, LoggedIn) and nina.me.user.directory == house.ids["nis"]
    assert isinstance(login.login(house.broker, "nobody-at-all", "x" * 12, CLIENT), Refused)


@pytest.mark.capability("S042", "S047")
def test_who_must_change_the_password_does_so_in_the_portal(house: House, lab: Lab) -> None:
    found = enter(house, lab, "alpha", typed="mike@alpha.test")
    assert isinstance(found, LoggedIn) and found.me.user.must_change_password
    login.change_password(house.broker, found.me, lab.alpha.server.password("mike"), "An0ther-Passw0rd")
    again = enter(house, lab, "alpha", "An0ther-Passw0rd", "mike@alpha.test")
    assert isinstance(again, LoggedIn) and not again.me.user.must_change_password


@pytest.mark.capability("S046", "S119")
def test_a_directory_that_is_down_hurts_its_own_people_alone(house: House, lab: Lab) -> None:
    """Its people are told so, not that their password is wrong; those of others log in by bare names as ever, past it."""
    lab.alpha.server.stop()
    try:
        for _ in range(4):
            found = enter(house, lab, "alpha")
            assert isinstance(found, Refused) and found.reason.code == "login.directory_down"
        assert isinstance(enter(house, lab, "nis", typed="nina"), LoggedIn)
        assert isinstance(enter(house, lab, "open"), LoggedIn)
    finally:
        lab.alpha.server.up()


@pytest.mark.capability("S046")
def test_the_tenant_of_a_user_is_that_of_the_directory(house: House, lab: Lab) -> None:
    found = enter(house, lab, "open")
    assert isinstance(found, LoggedIn) and found.me.user.tenant_id == TENANT
