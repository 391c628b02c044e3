"""Logging in, sessions, and the keys behind them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import insert, select, update
from tests.brokers import PASSWORD, TENANT, actor, make_broker
from tests.fleet import CLIENT, Fleet, second

from portico.domain.model import Client
from portico.errors import Invalid, Unauthenticated
from portico.services import connect, gateways, login, operate, rotation, sessions, setup
from portico.services.keys import KeyRing
from portico.services.passwords import Hasher
from portico.services.portal import offers
from portico.store import tables as t
from portico.store.engine import Database, count_statements
from portico.store.vault import Vault

pytestmark = pytest.mark.capability("S045")
WRONG = "a wrong password"


class CountingHasher(Hasher):
    """Counts how often a hash was computed."""

    def __init__(self) -> None:
        super().__init__(memory_kib=64, time_cost=1)
        self.computed = 0
        self._count = threading.Lock()

    def verify(self, stored: str | None, password: str) -> bool:
        with self._count:
            self.computed += 1
        return super().verify(stored, password)


def refusal(fleet: Fleet, name: str, password: str = WRONG, address: str = "192.0.2.1") -> str:
    answer = login.login(fleet.broker, name, password, Client(address))
    assert isinstance(answer, login.Refused), answer
    return answer.reason.code


def statements(fleet: Fleet, act: Callable[[], object]) -> int:
    counter = count_statements(fleet.broker.db.engine)
    act()
    return len(counter.statements)


@pytest.mark.capability("S118", "S030")
def test_statements_of_a_log_in_and_of_offers_do_not_grow_with_the_fleet(fleet: Fleet) -> None:
    pool = fleet.pool()
    fleet.desktops(10)
    fleet.line(pool)
    fleet.broker.snapshots.get(fresh=True)
    counted = []
    for more in (0, 5000):
        if more:
            enlarge(fleet, pool, more)
        fleet.log_in()
        fleet.clock.forward(1)
        me = fleet.log_in()
        login_count = statements(fleet, lambda: login.login(fleet.broker, "user", PASSWORD, CLIENT))
        fleet.broker.snapshots.get(fresh=True)
        offers_count = statements(fleet, lambda: offers(fleet.broker, me))  # noqa: B023
        counted.append((login_count, offers_count))
    assert counted[0] == counted[1]
    assert counted[0][0] <= 6
    assert counted[0][1] <= 4
    assert statements(fleet, lambda: refusal(fleet, "user")) <= 6
    assert statements(fleet, lambda: refusal(fleet, "nobody")) <= 6


def enlarge(fleet: Fleet, pool: str, number: int) -> None:
    """More desktops and users, written straight into the tables."""
    user = dict(fleet.row(t.users, "user")._mapping)
    desktop = dict(fleet.rows(t.desktops)[0]._mapping)
    with fleet.broker.db.write() as conn:
        people = [user | {"id": f"x{n}", "login_name": f"x{n}"} for n in range(number)]
        machines = [desktop | {"id": f"d{n}", "external_id": f"d{n}", "name": f"d{n}"} for n in range(number)]
        conn.execute(insert(t.users), people)
        conn.execute(insert(t.desktops), machines)
        conn.execute(
            insert(t.pool_members), [{"pool_id": pool, "desktop_id": f"d{n}", "free": True} for n in range(number)]
        )


def test_unknown_wrong_and_disabled_look_the_same_and_cost_the_same(fleet: Fleet) -> None:
    hasher = CountingHasher()
    fleet = Fleet(replace(fleet.broker, hasher=hasher), fleet.clock)
    fleet.user("off")
    fleet.change(t.users, "u-off", disabled=True)
    found = []
    for name, password in (("user", WRONG), ("nobody", WRONG), ("off", PASSWORD), ("user", "x" * 100_000)):
        before = hasher.computed
        found.append((refusal(fleet, name, password), hasher.computed - before))
    assert found == [("login.wrong", 1)] * 4


@pytest.mark.parametrize("name", ["user", "nobody"])
def test_five_failures_lock_a_name_whether_somebody_has_it_or_not(fleet: Fleet, name: str) -> None:
    said = [refusal(fleet, name) for _ in range(6)]
    assert said == ["login.wrong"] * 4 + ["login.locked"] * 2
    assert refusal(fleet, name, PASSWORD) == "login.locked"
    fleet.clock.forward(61)
    assert refusal(fleet, name) == "login.locked"  # the sixth failure: two minutes from now
    fleet.clock.forward(61)
    assert refusal(fleet, name, PASSWORD) == "login.locked"
    fleet.clock.forward(60)
    if name == "user":
        fleet.log_in(name)
        assert fleet.row(t.users, "user").failed == 0


def test_a_lock_can_be_lifted(fleet: Fleet) -> None:
    for _ in range(6):
        refusal(fleet, "user")
    operate.unlock(fleet.broker, actor(fleet.broker), "user")
    fleet.log_in()


@pytest.mark.parametrize("name", ["user", "nobody"])
def test_who_guesses_in_parallel_is_counted_each_time(fleet: Fleet, name: str) -> None:
    barrier = threading.Barrier(12)

    def guess(number: int) -> str:
        barrier.wait(30)
        return refusal(fleet, name, address=f"192.0.2.{number}")

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(guess, range(12)))
    failed = (
        fleet.row(t.users, "user").failed
        if name == "user"
        else max(row.failed for row in fleet.rows(t.attempts, t.attempts.c.key.like("n:%")))
    )
    assert failed >= 5
    assert refusal(fleet, name, PASSWORD) == "login.locked"


def test_an_address_that_fails_too_often_waits_a_minute(fleet: Fleet) -> None:
    for number in range(30):
        refusal(fleet, f"name{number}", address="198.51.100.1")
    answer = login.login(fleet.broker, "user", PASSWORD, Client("198.51.100.1"))
    assert isinstance(answer, login.Refused)
    assert (answer.reason.code, answer.retry_after <= 61) == ("login.rate_limited", True)
    fleet.log_in()  # from elsewhere
    fleet.clock.forward(61)
    assert isinstance(login.login(fleet.broker, "user", PASSWORD, Client("198.51.100.1")), login.LoggedIn)


def test_a_role_may_keep_people_out(fleet: Fleet) -> None:
    fleet.change(t.roles, "role-user", body={"may_log_in": False})
    assert refusal(fleet, "user", PASSWORD) == "login.not_allowed"
    fleet.change(t.roles, "role-user", body={"may_use_api": False})
    fleet.log_in()
    answer = login.login(fleet.broker, "user", PASSWORD, CLIENT, kind="api")
    assert isinstance(answer, login.Refused)
    assert fleet.codes().count("login.refused") == 2


def cookie(fleet: Fleet) -> str:
    answer = login.login(fleet.broker, "user", PASSWORD, CLIENT)
    assert isinstance(answer, login.LoggedIn)
    return answer.secret


def test_a_session_ends_by_its_age_by_rest_by_its_user_and_by_an_administrator(fleet: Fleet) -> None:
    value = cookie(fleet)
    for _ in range(24):
        fleet.clock.forward(minutes=29)
        assert sessions.find(fleet.broker, value) is not None
    fleet.clock.forward(minutes=29)
    assert sessions.find(fleet.broker, value) is None  # twelve hours
    value = cookie(fleet)
    fleet.clock.forward(minutes=31)
    assert sessions.find(fleet.broker, value) is None
    value = cookie(fleet)
    me = sessions.find(fleet.broker, value)
    assert me is not None
    sessions.end(fleet.broker, me)
    assert sessions.find(fleet.broker, value) is None
    value = cookie(fleet)
    assert operate.end_sessions(fleet.broker, actor(fleet.broker), "user") >= 1
    assert sessions.find(fleet.broker, value) is None
    value = cookie(fleet)
    fleet.change(t.users, "user", disabled=True)
    assert sessions.find(fleet.broker, value) is None


def test_a_tampered_cookie_is_nobody(fleet: Fleet) -> None:
    value = cookie(fleet)
    session_id, _, secret = value.partition(".")
    other = cookie(fleet)
    tampered = [
        "", ".", session_id, f"{session_id}.", f"{session_id}.x", f"{session_id}.{secret}x", f"{session_id}.{secret[:-1]}",
        f"{session_id}.{other.partition('.')[2]}", f"{other.partition('.')[0]}.{secret}", f"\0{session_id[1:]}.{secret}",
        f"{session_id}.\ud800", f"{session_id}.{secret}\0", "é" * 36 + f".{secret}", "' OR 1=1 --".ljust(36) + ".x",
    ]  # fmt: skip
    assert [one for one in tampered if sessions.find(fleet.broker, one) is not None] == []
    assert [one for one in tampered if sessions.by_bearer(fleet.broker, f"pt.{one}") is not None] == []
    assert sessions.find(fleet.broker, value) is not None


def test_only_the_hash_of_a_session_is_kept(fleet: Fleet) -> None:
    secret = cookie(fleet).partition(".")[2]
    with fleet.broker.db.read() as conn:
        assert secret not in str(conn.execute(select(t.sessions)).all())


def test_changing_the_password_ends_all_other_sessions(fleet: Fleet) -> None:
    mine, others = cookie(fleet), cookie(fleet)
    me = sessions.find(fleet.broker, mine)
    assert me is not None
    with pytest.raises(Invalid):
        login.change_password(fleet.broker, me, WRONG, "another good password")
    with pytest.raises(Invalid):
        login.change_password(fleet.broker, me, PASSWORD, "short")
    login.change_password(fleet.broker, me, PASSWORD, "another good password")
    assert sessions.find(fleet.broker, mine) is not None
    assert sessions.find(fleet.broker, others) is None
    assert refusal(fleet, "user", PASSWORD) == "login.wrong"


def test_a_thief_of_a_session_cannot_guess_the_password_by_changing_it(fleet: Fleet) -> None:
    me = fleet.log_in()
    for _ in range(5):
        with pytest.raises(Invalid):
            login.change_password(fleet.broker, me, WRONG, "another good password")
    with pytest.raises(Invalid, match="Too many tries"):
        login.change_password(fleet.broker, me, PASSWORD, "another good password")


@pytest.mark.capability("S008", "S048")
def test_names_of_two_tenants_do_not_meet(fleet: Fleet) -> None:
    assert fleet.log_in("user").user.tenant_id == TENANT
    assert fleet.log_in("user2").user.tenant_id != TENANT


# --- vault and keys


def test_a_sealed_value_opens_only_where_it_stands(fleet: Fleet) -> None:
    vault = fleet.broker.vault
    sealed = vault.seal("centers.sealed_secrets:one", "secret")
    assert vault.open("centers.sealed_secrets:one", sealed) == "secret"
    for place in ("centers.sealed_secrets:two", "agents.sealed_token:one"):
        with pytest.raises(Invalid):
            vault.open(place, sealed)
    for changed in (sealed[:-4] + "AAAA", sealed.replace("v1.", "v2."), "v1.000009.AAAA", "", "x", "v1.000001.é"):
        with pytest.raises(Invalid):
            vault.open("centers.sealed_secrets:one", changed)


def test_after_a_rotation_all_can_be_resealed_and_the_old_key_can_go(fleet: Fleet) -> None:
    broker, vault = fleet.broker, fleet.broker.vault
    sealed = vault.seal("centers.sealed_secrets:center", '{"password": "x"}')
    fleet.change(t.centers, "center", sealed_secrets=sealed)
    other = Vault(broker.config.state / "keys")  # another broker over the same files
    vault.rotate()
    fresh = vault.seal("x:1", "later")
    assert other.open("x:1", fresh) == "later"
    assert rotation.reseal(broker) == len(fleet.rows(t.keys)) + 1
    assert rotation.reseal(broker) == 0
    (broker.config.state / "keys" / "000001.key").unlink()
    later = Vault(broker.config.state / "keys")
    assert "password" in later.open("centers.sealed_secrets:center", fleet.row(t.centers, "center").sealed_secrets)
    assert KeyRing(broker.db, later, fleet.clock()).ca_fingerprint == broker.keys.ca_fingerprint


def test_two_brokers_that_start_at_once_agree_on_one_set_of_keys(fresh_database_url: str, tmp_path) -> None:
    broker = make_broker(tmp_path, fresh_database_url)
    with broker.db.write() as conn:
        conn.execute(t.keys.delete())
    barrier = threading.Barrier(4)

    def start(number: int) -> tuple[str, str, str, str]:
        db = Database(fresh_database_url)
        barrier.wait(30)
        vault = Vault(tmp_path / "fresh-keys")
        ring = KeyRing(broker.db if db.is_sqlite else db, vault, broker.now())
        db.dispose()
        return ring.ca_fingerprint, ring.signing.as_dict()["x"], ring.ssh_user_ca, ring.rdp_thumbprint

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(start, range(4)))) == 1
    assert {row.id for row in [*broker.db.engine.connect().execute(select(t.keys))]} == {
        "tickets-1",
        "ca-1",
        "ssh_user_ca-1",
        "rdp-1",
    }
    broker.db.dispose()


def test_two_brokers_that_found_a_deployment_at_once_found_it_once(fresh_database_url: str, tmp_path) -> None:
    broker = make_broker(tmp_path, fresh_database_url)
    with broker.db.write() as conn:  # a database that nobody has begun with
        for table in reversed(t.metadata.sorted_tables):
            if table.name != "keys":
                conn.execute(table.delete())
    brokers = (
        [broker] * 4 if broker.db.is_sqlite else [replace(broker, db=Database(fresh_database_url)) for _ in range(4)]
    )
    barrier = threading.Barrier(4)

    def found(one):
        barrier.wait(30)
        return setup.first_run(one)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(found, brokers))
    assert sum(answer is not None for answer in answers) == 1
    with broker.db.read() as conn:
        assert [row.login_name for row in conn.execute(select(t.users))] == ["admin"]
    for one in brokers:
        one.db.dispose()


def test_tickets_of_before_and_after_a_rotation_are_redeemed_by_brokers_that_did_not_rotate(fleet: Fleet) -> None:
    pool = fleet.pool()
    fleet.desktops(2)
    line = fleet.line(pool, quantity=2)
    me, gateway = fleet.log_in(), fleet.gateway()
    other = second(fleet)
    kept = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    before = connect.ticket(fleet.broker, me, kept.id)["ticket"]
    fleet.broker.keys.rotate("tickets", fleet.clock())
    new = connect.connect(fleet.broker, me, f"{line}.1", CLIENT, "vnc")
    after = connect.ticket(fleet.broker, me, new.id)["ticket"]
    for text, connection in ((before, kept), (after, new)):
        assert gateways.redeem(other.broker, gateway, {"ticket": text})["connection"] == connection.id
    with pytest.raises(Unauthenticated):
        gateways.redeem(other.broker, gateway, {"ticket": after[:-4] + "AAAA"})
    for junk in ("", "x", "." * 10, "e30.e30.e30", "[" * 4000, "é"):
        with pytest.raises((Unauthenticated, Invalid)):
            gateways.redeem(other.broker, gateway, {"ticket": junk})
    other.broker.db.dispose()


def test_a_session_is_written_to_at_most_once_a_minute(fleet: Fleet) -> None:
    value = cookie(fleet)
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.sessions).values(seen_at=fleet.clock()))
    fleet.clock.forward(30)
    sessions.find(fleet.broker, value)
    assert statements(fleet, lambda: sessions.find(fleet.broker, value)) <= 2
