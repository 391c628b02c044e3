"""Agents that nobody expects, at the broker: how they wait, who admits them, and what they are refused."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from tests.brokers import OTHER, TENANT, actor
from tests.fleet import CENTER, Bare, Fleet
from tests.integration.apis import Api

from portico.errors import Conflict, Denied, Invalid, NotFound, RateLimited, Unauthenticated
from portico.ports.cloud import MachineSpec
from portico.services import agents, configure, housekeeping, overview, provision, waiting
from portico.services.claims import Claim
from portico.services.configure import Query
from portico.services.sessions import hash_secret
from portico.store import tables as t

pytestmark = pytest.mark.capability("S077")

UUID = "83679162-1378-4288-a2d4-70e13ec132aa"
ADDRESS = "10.0.0.5"


def found(fleet: Fleet, uuid: str = UUID, name: str = "m") -> Any:
    """A machine that somebody made in Horizon, as its center lists it."""
    row = fleet.desktops(1, name)[0]
    fleet.change(t.desktops, row.id, external_id=uuid, address=ADDRESS, agent="not installed")
    return fleet.row(t.desktops, row.id)


def says(**more: Any) -> dict[str, Any]:
    """What an agent says that asks for the first time."""
    facts = {"hostname": "host-1", "os_family": "linux", "os_name": "Debian", "port": 0, "metadata": "answers"}
    message = {"v": 1, "secret": str(uuid4()), "agent_version": "1", "facts": facts, "instance_id": UUID}
    return message | {"addresses": [ADDRESS], "macs": ["fa:16:3e:00:00:01"], "join_key": ""} | more


def ask(fleet: Fleet, message: Mapping[str, Any], source: str = "203.0.113.1") -> waiting.Outcome:
    """Ask once more, as soon as one may."""
    fleet.clock.forward(waiting.FEWEST_SECONDS)
    return waiting.ask(fleet.broker, source, message)


def reason(outcome: waiting.Outcome) -> str:
    """The code of why it waits."""
    assert outcome.credentials is None
    assert outcome.reason is not None
    return outcome.reason.code


def works(fleet: Fleet, outcome: waiting.Outcome, desktop: Any) -> agents.AgentId:
    """Check that the credentials speak for the desktop."""
    assert outcome.credentials is not None
    agent = agents.authenticate(fleet.broker, outcome.credentials["bearer"])
    assert agent is not None
    assert agent.desktop_id == desktop.id
    agents.report(fleet.broker, agent, {"boot_id": "b", "sequence": 1, "facts": {"port": 0}, "sessions": []})
    assert fleet.row(t.desktops, desktop.id).agent == "running"
    return agent


def key(fleet: Fleet, **more: Any) -> str:
    """A join key of the administrator."""
    return str(
        configure.create_item(fleet.broker, actor(fleet.broker), "join-keys", {"name": str(uuid4()), **more})["secret"]
    )


def test_it_waits_until_its_center_lists_the_machine_and_is_admitted_by_its_address(fleet: Fleet) -> None:
    """The agent may be quicker than the inventory."""
    message = says()
    assert reason(ask(fleet, message, ADDRESS)) == "waiting.no_machine"
    desktop = found(fleet)
    works(fleet, ask(fleet, message, ADDRESS), desktop)
    assert "agent.admitted" in fleet.codes()
    assert fleet.rows(t.waiting_agents)[0].state == "admitted"


def test_who_asks_too_often_is_answered_without_work(fleet: Fleet) -> None:
    """The same answer as before, also after the center has listed it, until five seconds are over."""
    message = says()
    assert reason(ask(fleet, message, ADDRESS)) == "waiting.no_machine"
    found(fleet)
    assert reason(waiting.ask(fleet.broker, ADDRESS, message)) == "waiting.no_machine"


def test_a_lost_answer_is_given_again_and_a_stolen_secret_is_late(fleet: Fleet) -> None:
    """Until the agent reports, its secret brings a fresh credential; afterwards it brings nothing."""
    desktop, message = found(fleet), says()
    first = ask(fleet, message, ADDRESS)
    second = ask(fleet, message, ADDRESS)
    assert first.credentials is not None
    assert agents.authenticate(fleet.broker, first.credentials["bearer"]) is None
    works(fleet, second, desktop)
    with pytest.raises(Conflict):
        ask(fleet, message, ADDRESS)


def test_an_administrator_sees_what_it_says_and_admits_it(fleet: Fleet) -> None:
    """Over REST; the overview says that it waits, the desktop that its agent does."""
    desktop, message = found(fleet), says()
    assert reason(ask(fleet, message)) == "waiting.address"
    assert fleet.row(t.desktops, desktop.id).agent == "waiting"
    shown = overview.overview(fleet.broker, actor(fleet.broker)).attention
    assert [one.reason.params for one in shown if one.reason.code == "agents.waiting"] == [{"number": 1}]
    api = Api(fleet.broker).log_in("admin")
    item = api.call("GET", "/waiting-agents").json()["items"][0]
    expected = {"name": "host-1", "state": "waiting", "instance_id": UUID, "desktop": desktop.name, "os_name": "Debian",
                "addresses": [ADDRESS], "macs": ["fa:16:3e:00:00:01"], "source_address": "203.0.113.1", "service": "answers"}  # fmt: skip
    assert expected.items() <= item.items()
    assert api.call("POST", f"/waiting-agents/{item['id']}/admit", {}).status_code == 204
    works(fleet, ask(fleet, message), desktop)
    assert api.call("POST", f"/waiting-agents/{item['id']}/admit", {}).status_code == 409
    assert not [
        one
        for one in overview.overview(fleet.broker, actor(fleet.broker)).attention
        if one.reason.code == "agents.waiting"
    ]


def test_one_that_is_refused_stays_refused_as_long_as_it_asks(fleet: Fleet) -> None:
    """Also after a day; an administrator may change their mind."""
    desktop, message = found(fleet), says()
    ask(fleet, message)
    me, row = actor(fleet.broker), fleet.rows(t.waiting_agents)[0]
    waiting.refuse(fleet.broker, me, row.id)
    assert fleet.row(t.desktops, desktop.id).agent == "not installed"
    with pytest.raises(Denied):
        ask(fleet, message, ADDRESS)
    fleet.clock.forward(days=0.9)
    with pytest.raises(Denied):
        ask(fleet, message, ADDRESS)
    fleet.clock.forward(days=0.9)
    housekeeping.purge(fleet.broker)
    with pytest.raises(Denied):
        ask(fleet, message, ADDRESS)
    waiting.admit(fleet.broker, me, row.id)
    works(fleet, ask(fleet, message), desktop)


def test_one_that_fell_silent_is_forgotten(fleet: Fleet) -> None:
    """After a day; what it left does not keep its desktop from being purged."""
    found(fleet)
    ask(fleet, says())
    fleet.clock.forward(days=1.1)
    housekeeping.purge(fleet.broker)
    assert fleet.rows(t.waiting_agents) == []


def test_the_agent_before_loses_its_credential_when_an_administrator_admits_another(fleet: Fleet) -> None:
    """A machine rebuilt outside: its new agent waits as long as the old one lives."""
    desktop = found(fleet)
    old = fleet.agent(desktop.id)
    old.report()
    message = says()
    assert reason(ask(fleet, message, ADDRESS)) == "waiting.has_agent"
    assert fleet.row(t.desktops, desktop.id).agent == "running"
    waiting.admit(fleet.broker, actor(fleet.broker), fleet.rows(t.waiting_agents)[0].id)
    works(fleet, ask(fleet, message), desktop)
    assert len(fleet.rows(t.agents, t.agents.c.desktop_id == desktop.id)) == 1


def test_a_machine_made_anew_is_admitted_once_its_old_agent_is_lost(fleet: Fleet) -> None:
    """By its address, without anybody's word; a join key would not do."""
    desktop = found(fleet)
    fleet.agent(desktop.id).report()
    message = says(join_key=key(fleet))
    fleet.clock.forward(agents.LOST_SECONDS)
    assert reason(ask(fleet, message)) == "waiting.address"
    works(fleet, ask(fleet, message, ADDRESS), desktop)


def test_a_join_key_admits_and_counts(fleet: Fleet) -> None:
    """Only a hash of it is kept."""
    desktop, secret = found(fleet), key(fleet, center_id=CENTER)
    works(fleet, ask(fleet, says(join_key=secret)), desktop)
    row = fleet.rows(t.join_keys)[0]
    assert (row.uses, row.used_at, row.secret_hash) == (1, fleet.clock(), hash_secret(secret))
    assert secret not in str(row)


@pytest.mark.parametrize("how", ["unknown", "expired", "revoked", "another center", "another tenant"])
def test_a_join_key_that_does_not_fit_admits_nobody(fleet: Fleet, how: str) -> None:
    """The agent waits, as if it had none."""
    found(fleet)
    secret = "x" * 43
    if how in ("expired", "revoked"):
        secret = key(fleet, days=1)
        fleet.clock.forward(days=1.1 if how == "expired" else 0)
        if how == "revoked":
            made = configure.list_items(fleet.broker, actor(fleet.broker), "join-keys", Query()).items[0]
            configure.delete_item(fleet.broker, actor(fleet.broker), "join-keys", made["id"])
    elif how == "another center":
        secret = key(fleet, center_id=fleet.center("other"))
    elif how == "another tenant":
        made = configure.create_item(fleet.broker, actor(fleet.broker, "admin2"), "join-keys", {"name": "theirs"})
        secret = made["secret"]
    assert reason(ask(fleet, says(join_key=secret))) == "waiting.address"
    assert [row.uses for row in fleet.rows(t.join_keys)] in ([], [0])


def test_a_join_key_does_not_stand_in_for_a_token_that_is_expected(fleet: Fleet) -> None:
    """A pool's desktop in the making is its token's; once that has expired, the key does."""
    desktop = found(fleet)
    with fleet.broker.db.write() as conn:
        provision._expect_agent(fleet.broker, conn, {"tenant_id": TENANT, "id": desktop.id})
    message = says(join_key=key(fleet))
    assert reason(ask(fleet, message)) == "waiting.address"
    fleet.clock.forward(provision.TOKEN_SECONDS)
    works(fleet, ask(fleet, message), desktop)


def test_no_tenant_sees_or_admits_another_tenants(fleet: Fleet) -> None:
    """Those that no center knows are for whoever runs the deployment."""
    found(fleet)
    ask(fleet, says())
    ask(fleet, says(instance_id=str(uuid4())))
    mine, strange = sorted(fleet.rows(t.waiting_agents), key=lambda row: row.tenant_id or "")[::-1]
    assert (mine.tenant_id, strange.tenant_id) == (TENANT, None)
    other = actor(fleet.broker, "admin2")
    role = replace(other.role, areas={"desktops": "edit"})
    seen = configure.list_items(fleet.broker, replace(other, role=role), "waiting-agents", Query()).items
    assert seen == []
    for do in (waiting.admit, waiting.refuse):
        with pytest.raises(NotFound):
            do(fleet.broker, replace(other, role=role), mine.id)
        with pytest.raises(Denied):
            do(fleet.broker, replace(actor(fleet.broker), role=replace(role, areas={"desktops": "view"})), mine.id)
    assert OTHER not in {row.tenant_id for row in fleet.rows(t.waiting_agents)}


def test_one_without_a_known_uuid_is_admitted_to_a_desktop_that_is_named(fleet: Fleet) -> None:
    """Where metadata and firmware say nothing; never to another tenant's desktop."""
    desktop, message = found(fleet), says(instance_id="")
    assert reason(ask(fleet, message, ADDRESS)) == "waiting.no_uuid"
    api, row = Api(fleet.broker).log_in("admin"), fleet.rows(t.waiting_agents)[0]
    assert api.call("POST", f"/waiting-agents/{row.id}/admit", {}).status_code == 409
    assert api.call("POST", f"/waiting-agents/{row.id}/admit", {"desktop_id": "none"}).status_code == 404
    assert api.call("POST", f"/waiting-agents/{row.id}/admit", {"desktop_id": desktop.id}).status_code == 204
    works(fleet, ask(fleet, message), desktop)


def test_a_flood_from_one_address_fills_no_list(fleet: Fleet) -> None:
    """The fifty-first is told to come back; a machine that can be admitted still is."""
    for _ in range(waiting.MOST_PER_ADDRESS):
        ask(fleet, says(instance_id=str(uuid4())), ADDRESS)
    with pytest.raises(RateLimited):
        ask(fleet, says(instance_id=str(uuid4())), ADDRESS)
    assert len(fleet.rows(t.waiting_agents)) == waiting.MOST_PER_ADDRESS
    desktop = found(fleet)
    works(fleet, ask(fleet, says(), ADDRESS), desktop)


@pytest.mark.parametrize(
    "wrong", [{"secret": "short"}, {"instance_id": 7}, {"addresses": ["x"] * 33}, {"macs": "x"}, {"facts": []}]
)
def test_what_is_not_of_the_protocol_is_refused_at_the_door(fleet: Fleet, wrong: dict[str, Any]) -> None:
    """By the name of the field, and nothing is written."""
    api = Api(fleet.broker)
    answer = api.client.post("/agent/v1/join", json=says(**wrong))
    assert answer.status_code == 400
    with pytest.raises(Invalid):
        ask(fleet, says(**wrong))
    assert fleet.rows(t.waiting_agents) == []


@pytest.mark.capability("S070")
def test_a_token_is_for_one_machine_and_once(fleet: Fleet) -> None:
    """A copy with another UUID is refused and leaves the token to the right one; after that it opens nothing."""
    desktop = found(fleet)
    token = "one-time"
    with fleet.broker.db.write() as conn:
        provision._expect_agent(fleet.broker, conn, {"tenant_id": TENANT, "id": desktop.id})
    agent_id = fleet.rows(t.agents)[0].id
    fleet.change(t.agents, agent_id, token_hash=hash_secret(token))
    message = {"token": token, "agent_version": "1", "facts": {"port": 0}}
    with pytest.raises(Unauthenticated):
        agents.enroll(fleet.broker, message | {"instance_id": str(uuid4())})
    assert agents.enroll(fleet.broker, message | {"instance_id": UUID.upper()})["agent_id"] == agent_id
    with pytest.raises(Unauthenticated):
        agents.enroll(fleet.broker, message | {"instance_id": UUID})


class Held(Claim):
    """A job that nobody takes over."""

    def check(self, conn: Any) -> None:
        pass


class Hasty(Bare):
    """A cloud whose machine enrols before the create call is answered, as a copy with another UUID does."""

    kind = "hasty"
    enrol: Any = None

    def create(self, spec: MachineSpec) -> str:
        super().create(spec)
        type(self).enrol(spec)
        return UUID


@pytest.fixture
def hasty(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet on such a cloud."""
    made = Fleet(replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "hasty": Hasty}), fleet.clock)
    made.center("hasty", "hasty")
    yield made
    Hasty.enrol = None


@pytest.mark.capability("S070")
@pytest.mark.parametrize("uuid", [UUID, "11111111-2222-3333-4444-555555555555"])
def test_an_agent_that_was_quicker_than_its_clouds_answer_is_confirmed_by_it(hasty: Fleet, uuid: str) -> None:
    """What it said of its machine is compared as soon as the machine is known."""
    said: dict[str, Any] = {}

    def enrol(spec: MachineSpec) -> None:
        message = {"token": spec.agent["token"], "agent_version": "1", "facts": {"port": 0}, "instance_id": uuid}
        said.update(agents.enroll(hasty.broker, message))

    Hasty.enrol = staticmethod(enrol)
    pool = hasty.pool("hasty", center_id="hasty", start_below=1, stop_at=1, user_data="# portico-agent: {AGENT}")
    provision.refill(hasty.broker, pool)
    row = hasty.rows(t.desktops, t.desktops.c.built_for_pool == pool)[0]
    provision.build(hasty.broker, row.id, Held("job", 1))
    assert hasty.row(t.desktops, row.id).external_id == UUID
    known = agents.authenticate(hasty.broker, said["bearer"])
    assert (known is not None) is (uuid == UUID)
    assert ("agent.revoked" in hasty.codes()) is (uuid != UUID)


@pytest.mark.capability("S071")
@pytest.mark.parametrize("state", ["no route", "no gateway", "no answer", "refused", "answers", ""])
def test_a_machine_that_does_not_reach_its_metadata_is_told_about_with_the_fix(fleet: Fleet, state: str) -> None:
    """Once, when it is admitted, for Linux and for Windows."""
    found(fleet)
    facts = {"hostname": "h", "port": 0, "metadata": state, "metadata_gateway": "10.0.0.1"}
    ask(fleet, says(facts=facts), ADDRESS)
    told = fleet.rows(t.events, t.events.c.code == "agent.no_metadata")
    assert len(told) == (state not in ("answers", ""))
    if state in ("no route", "no gateway"):
        shown = Api(fleet.broker).log_in("admin").call("GET", "/events?code=agent.no_metadata").json()["items"][0]
        assert shown["reason"]["params"]["gateway"] == "10.0.0.1"


def test_an_empty_tenant_goes_with_its_join_keys(fleet: Fleet) -> None:
    """Revoked ones included, which stay for the record otherwise."""
    me = actor(fleet.broker)
    tenant = configure.create_item(fleet.broker, me, "tenants", {"name": "Short-lived"})
    fleet.insert(t.join_keys, tenant_id=tenant["id"], name="k", secret_hash="h" * 64, uses=0, deleted_at=fleet.clock())
    assert configure.delete_item(fleet.broker, me, "tenants", tenant["id"])["deleted"] == 1
    assert fleet.rows(t.join_keys) == []
