"""From an offer to a session: one winner for each desktop, one ticket for each session."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update
from tests.brokers import PASSWORD, actor
from tests.fleet import CENTER, CLIENT, Fleet

from portico.domain.model import NoDesktop, PowerAction
from portico.errors import Conflict, Denied, NotFound, Unauthenticated, Unavailable
from portico.services import configure, connect, gateways, login, release
from portico.services.connect import Connecting
from portico.services.portal import offers
from portico.services.sessions import SignedIn
from portico.store import events
from portico.store import tables as t

pytestmark = pytest.mark.capability("S029", "S030")


def crowd(fleet: Fleet, number: int) -> list[SignedIn]:
    """So many users, logged in; all have one password, so one of them shows it for all."""
    me = fleet.log_in()
    made = []
    for n in range(number):
        id = fleet.user(f"n{n}")
        user = replace(me.user, id=id, login_name=f"n{n}")
        made.append(replace(me, user=user, actor=replace(me.actor, user_id=id, login_name=f"n{n}")))
    return made


def all_at_once(fleet: Fleet, people: list[SignedIn], offer: str) -> list[Connecting | NoDesktop]:
    barrier = threading.Barrier(len(people))

    def click(me: SignedIn) -> Connecting | NoDesktop:
        barrier.wait(60)
        return connect.connect(fleet.broker, me, offer, CLIENT, "vnc")

    with ThreadPoolExecutor(len(people)) as threads:
        return list(threads.map(click, people))


@pytest.mark.parametrize("users", [64, 65])
def test_a_crowd_takes_each_desktop_once_and_the_last_is_told_why(fleet: Fleet, users: int) -> None:
    fleet.desktops(64)
    line = fleet.line(fleet.pool())
    answers = all_at_once(fleet, crowd(fleet, users), f"{line}.0")
    won = [answer for answer in answers if isinstance(answer, Connecting)]
    lost = [answer.reason for answer in answers if isinstance(answer, NoDesktop)]
    assert len({answer.desktop_id for answer in won}) == len(won) == 64
    assert [reason.code in ("pool.lost", "pool.full") for reason in lost] == [True] * (users - 64)
    assert all(row.assignment_id for row in fleet.rows(t.seats))
    assert fleet.rows(t.desktops, t.desktops.c.free_seats != 0) == []
    assert len(fleet.rows(t.assignments)) == 64


def test_two_clicks_of_one_user_get_one_desktop(fleet: Fleet) -> None:
    fleet.desktops(8)
    line = fleet.line(fleet.pool())
    answers = all_at_once(fleet, [fleet.log_in()] * 6, f"{line}.0")
    assert len({answer.desktop_id for answer in answers if isinstance(answer, Connecting)}) == 1
    assert all(isinstance(answer, Connecting) for answer in answers)
    assert len(fleet.rows(t.assignments)) == 1
    assert sum(row.used_seats for row in fleet.rows(t.desktops)) == 1


def test_clicks_on_several_offers_at_once_keep_to_the_limit_of_the_policy(fleet: Fleet) -> None:
    fleet.desktops(4)
    pool = fleet.pool()
    lines = [fleet.line(pool, position=n) for n in range(4)]
    fleet.policy(max_desktops=1)
    me = replace(fleet.log_in())
    barrier = threading.Barrier(4)

    def click(line: str) -> Connecting | NoDesktop:
        barrier.wait(60)
        return connect.connect(fleet.broker, me, f"{line}.0", CLIENT)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(click, lines))
    assert sum(isinstance(answer, Connecting) for answer in answers) == 1
    assert len(fleet.rows(t.assignments)) == 1


@pytest.mark.capability("S008")
def test_offers_of_others_are_not_known(fleet: Fleet) -> None:
    fleet.desktops(2)
    pool = fleet.pool()
    mine = fleet.line(pool)
    other_policy = fleet.insert(t.policies, name="Other", is_default=False)
    others = fleet.line(pool, policy=other_policy)
    me, stranger = fleet.log_in(), fleet.log_in("user2")
    held = connect.connect(fleet.broker, me, f"{mine}.0", CLIENT)
    assert isinstance(held, Connecting)
    wrong = [
        f"{others}.0",
        f"{mine}.1",
        f"{mine}.-1",
        f"{mine}.٣",
        mine,
        "",
        ".",
        "a.",
        "a.x",
        f"a.{others}",
        "x" * 300 + ".0",
    ]
    for offer in wrong:
        answer = connect.connect(fleet.broker, me, offer, CLIENT)
        assert isinstance(answer, NoDesktop), offer
    for offer in (f"{mine}.0", f"a.{held.assignment_id}"):
        assert isinstance(connect.connect(fleet.broker, stranger, offer, CLIENT), NoDesktop)
    assert offers(fleet.broker, stranger).offers == ()
    with pytest.raises(NotFound):
        connect.view(fleet.broker, stranger, held.id)
    with pytest.raises(NotFound):
        connect.ticket(fleet.broker, stranger, held.id)
    with pytest.raises(NotFound):
        release.release(fleet.broker, stranger, held.assignment_id)
    assert len(fleet.rows(t.assignments)) == 1


def test_a_desktop_lost_between_offer_and_click_is_replaced_by_the_next(fleet: Fleet) -> None:
    fleet.desktops(3)
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    shown = offers(fleet.broker, me).offers[0]
    fleet.change(t.desktops, shown.desktop_id, status="unavailable")
    got = connect.connect(fleet.broker, me, shown.id, CLIENT)
    assert isinstance(got, Connecting)
    assert got.desktop_id != shown.desktop_id
    assert line in shown.id


@pytest.mark.capability("S025", "S026")
def test_a_desktop_that_rests_is_started(fleet: Fleet) -> None:
    found = fleet.desktops(1)[0]
    fleet.cloud().power(found.external_id, PowerAction.STOP)
    fleet.scan()
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    assert offers(fleet.broker, me).offers[0].state == "stopped"
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    assert (got.state, got.progress.needs_start) == ("waiting", True)
    with pytest.raises(Conflict):
        connect.ticket(fleet.broker, me, got.id)
    fleet.work()
    fleet.scan()
    assert connect.view(fleet.broker, me, got.id).state == "ready"


def test_a_desktop_with_seats_takes_as_many_users_as_it_has(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1, max_sessions=3)
    fleet.fill(pool)
    fleet.limits(pool, 0, 0)
    line = fleet.line(pool)
    answers = all_at_once(fleet, crowd(fleet, 4), f"{line}.0")
    assert Counter(type(answer) for answer in answers) == {Connecting: 3, NoDesktop: 1}
    row = fleet.rows(t.desktops)[0]
    assert (row.free_seats, row.used_seats) == (0, 3)
    assert len({seat.assignment_id for seat in fleet.rows(t.seats)}) == 3


def with_session(fleet: Fleet) -> tuple[SignedIn, Connecting, Any]:
    fleet.desktops(1)
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    return me, got, fleet.gateway()


@pytest.mark.capability("S047", "S077")
@pytest.mark.parametrize("has", [{}, {"may_administer_desktop": True, "may_join_rdp_users": True}])
def test_the_agent_is_asked_for_the_rights_of_the_role(fleet: Fleet, has: dict[str, bool]) -> None:
    """Of the role by which the connection was opened; what an agent does not say that it gave is an event, and the session goes on."""
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.roles).where(t.roles.c.id == "role-user").values(body={"areas": {}, **has}))
        conn.execute(update(t.versions).values(number=t.versions.c.number + 1))
    fleet.broker.snapshots.get(fresh=True)
    me, got, gateway = with_session(fleet)
    wanted = ["administrator", "rdp"] if has else []
    assert fleet.rows(t.connections)[0].rights == wanted
    agent = fleet.agent(fleet.rows(t.desktops)[0].id)
    ticket = connect.ticket(fleet.broker, me, got.id)["ticket"]
    with agent.answering() as seen:  # it is an old one, which knows of no rights
        assert gateways.redeem(fleet.broker, gateway, {"ticket": ticket})["credentials"]["password"] == "once"
    assert seen == ["prepare"]
    told = fleet.rows(t.events, t.events.c.code == "desktop.right_not_given")
    assert [one.params["rights"] for one in told] == (["administrator, rdp"] if has else [])


@pytest.mark.capability("S031", "S057")
def test_a_ticket_is_redeemed_once_also_by_two_gateways_at_once(fleet: Fleet) -> None:
    me, got, first = with_session(fleet)
    others = [first, *(fleet.gateway(f"gateway{n}") for n in range(3))]
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    barrier = threading.Barrier(4)

    def redeem(gateway: Any) -> object:
        barrier.wait(30)
        try:
            return gateways.redeem(fleet.broker, gateway, {"ticket": text})
        except Conflict as problem:
            return problem

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(redeem, others))
    grants = [answer for answer in answers if isinstance(answer, dict)]
    assert len(grants) == 1
    assert grants[0]["target"]["host"] == fleet.rows(t.desktops)[0].address
    assert grants[0]["protocol"] == "vnc"


@pytest.mark.capability("S069")
def test_a_floating_ip_is_where_the_gateway_connects(fleet: Fleet) -> None:
    me, got, gateway = with_session(fleet)
    fleet.change(t.desktops, fleet.rows(t.desktops)[0].id, public_address="203.0.113.7")
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    assert gateways.redeem(fleet.broker, gateway, {"ticket": text})["target"]["host"] == "203.0.113.7"


def test_without_a_gateway_there_is_no_ticket(fleet: Fleet) -> None:
    me, got, _ = with_session(fleet)
    fleet.clock.forward(31)
    with pytest.raises(Unavailable):
        connect.ticket(fleet.broker, me, got.id)


def test_a_ticket_of_before_a_release_opens_nothing(fleet: Fleet) -> None:
    me, got, gateway = with_session(fleet)
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    release.release(fleet.broker, me, got.assignment_id)
    with pytest.raises(gateways.Gone):
        gateways.redeem(fleet.broker, gateway, {"ticket": text})
    with pytest.raises(Conflict):
        connect.ticket(fleet.broker, me, got.id)
    fleet.work()
    with pytest.raises(gateways.Gone):
        gateways.redeem(fleet.broker, gateway, {"ticket": text})


def test_a_ticket_expires(fleet: Fleet) -> None:
    me, got, gateway = with_session(fleet)
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    fleet.clock.forward(91)
    with pytest.raises(Unauthenticated):
        gateways.redeem(fleet.broker, gateway, {"ticket": text})


@pytest.mark.capability("S006")
def test_a_gateway_of_another_realm_redeems_nothing(fleet: Fleet) -> None:
    me, got, gateway = with_session(fleet)
    other = fleet.gateway("elsewhere", realm="blue")
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    with pytest.raises(Denied):
        gateways.redeem(fleet.broker, other, {"ticket": text})
    assert gateways.redeem(fleet.broker, gateway, {"ticket": text})["connection"] == got.id


def test_a_second_connection_closes_the_first(fleet: Fleet) -> None:
    me, first, gateway = with_session(fleet)
    text = connect.ticket(fleet.broker, me, first.id)["ticket"]
    gateways.redeem(fleet.broker, gateway, {"ticket": text})
    opened = {"kind": "opened", "connection": first.id, "sequence": 1}
    gateways.report(fleet.broker, gateway, {"boot_id": "b", "events": [opened], "live": [first.id]})
    second = connect.connect(fleet.broker, me, f"a.{first.assignment_id}", CLIENT, "ssh")
    assert isinstance(second, Connecting)
    assert second.desktop_id == first.desktop_id
    text = connect.ticket(fleet.broker, me, second.id)["ticket"]
    assert fleet.row(t.connections, first.id).state == "open"  # who only holds a ticket pushes nobody out
    gateways.redeem(fleet.broker, gateway, {"ticket": text})
    told = gateways.control(fleet.broker, gateway, 0)["messages"]
    assert [(one["kind"], one["connection"], one["reason"]) for one in told] == [
        ("close", first.id, "closed.elsewhere")
    ]
    assert fleet.row(t.connections, first.id).close_reason == "closed.elsewhere"
    with pytest.raises(Conflict, match="ended"):
        connect.ticket(fleet.broker, me, first.id)
    closed = {"kind": "closed", "connection": first.id, "reason": "closed.elsewhere", "sequence": 2}
    gateways.report(fleet.broker, fleet.again(gateway), {"boot_id": "b", "events": [closed], "live": []})
    assert fleet.row(t.assignments, first.assignment_id).state == "connected"  # the user moves, he does not leave


def test_who_comes_again_before_the_first_line_is_seen_dead_has_not_left(fleet: Fleet) -> None:
    """The gateway ends the first session when the second opens: its end is history, and the person is at work all the time."""
    me, got, gateway = with_session(fleet)
    entries = []
    for _ in range(2):
        text = connect.ticket(fleet.broker, me, got.id)["ticket"]
        entries.append(gateways.redeem(fleet.broker, gateway, {"ticket": text})["entry"])
        if len(entries) == 1:
            opened = {"kind": "opened", "connection": got.id, "entry": entries[0], "sequence": 1}
            gateways.report(fleet.broker, gateway, {"boot_id": "b", "events": [opened], "live": [got.id]})
    epoch = fleet.row(t.assignments, got.assignment_id).epoch
    closed = {"kind": "closed", "connection": got.id, "entry": entries[0], "reason": "closed.elsewhere", "sequence": 2}
    opened = {"kind": "opened", "connection": got.id, "entry": entries[1], "sequence": 3}
    told = {"boot_id": "b", "events": [closed, opened], "live": [got.id]}
    gateways.report(fleet.broker, fleet.again(gateway), told)
    assert fleet.row(t.connections, got.id).state == "open"
    assignment = fleet.row(t.assignments, got.assignment_id)
    assert (assignment.state, assignment.epoch) == ("connected", epoch)  # so no timer of a disconnect was armed
    left = {"kind": "closed", "connection": got.id, "entry": entries[1], "reason": "browser.left", "sequence": 4}
    gateways.report(fleet.broker, fleet.again(gateway), {"boot_id": "b", "events": [left], "live": []})
    assert fleet.row(t.assignments, got.assignment_id).state == "disconnected"


def test_a_protocol_that_nothing_carries_is_refused_with_the_reason(fleet: Fleet) -> None:
    me, got, _ = with_session(fleet)
    answer = connect.connect(fleet.broker, me, f"a.{got.assignment_id}", CLIENT, "rdp")
    assert isinstance(answer, NoDesktop)
    assert answer.reason.code == "protocol.none"
    native = replace(CLIENT, kind="connect")
    plan = fleet.plan(t.protocol_plans, protocols=["pcoip"])
    fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": plan})
    fleet.change(t.desktops, got.desktop_id, protocols={"pcoip": 4172})
    view = connect.connect(fleet.broker, me, f"a.{got.assignment_id}", native)
    assert isinstance(view, Connecting)
    with pytest.raises(Conflict, match="cannot carry"):
        connect.ticket(fleet.broker, me, view.id)


@pytest.mark.capability("S010")
def test_who_waits_is_told_how_long_that_took_lately(fleet: Fleet) -> None:
    found = fleet.desktops(1)[0]
    pool = fleet.pool()
    line = fleet.line(pool)
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    fleet.change(t.desktops, found.id, power="starting")
    assert connect.view(fleet.broker, me, got.id).expected_seconds is None
    with fleet.broker.db.write() as conn:
        for seconds in (*range(1, 10), 400):
            entry = events.Entry(fleet.clock(), "desktop.ready", pool_id=pool, params={"seconds": seconds + 0.2})
            events.add(conn, entry)
    assert connect.view(fleet.broker, me, got.id).expected_seconds == 10
    fleet.clock.forward(days=8)
    assert connect.view(fleet.broker, me, got.id).expected_seconds is None


def test_a_crowd_that_is_refused_learns_of_a_refill(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=3)
    line = fleet.line(pool)
    me = fleet.log_in()
    answer = connect.connect(fleet.broker, me, f"{line}.0", CLIENT)
    assert isinstance(answer, NoDesktop)
    assert answer.reason.code == "pool.refilling"
    fleet.change(t.pools, pool, stopped_reason="pool.stopped_by_errors")
    assert offers(fleet.broker, me).offers == ()  # nobody waits for a pool that has stopped


def test_a_refusal_speaks_of_the_pool_that_was_asked_for(fleet: Fleet) -> None:
    fleet.desktops(1)
    other = fleet.line(fleet.pool("other", rule={"rules": [{"attribute": "name", "operator": "eq", "text": "none"}]}))
    line = fleet.line(fleet.pool(), position=1)
    assert isinstance(connect.connect(fleet.broker, fleet.log_in(), f"{line}.0", CLIENT), Connecting)
    fleet.work()
    fleet.user("late")
    late = fleet.log_in("late")
    for asked, code, name in ((other, "pool.empty", "other"), (line, "pool.full", "pool")):
        answer = connect.connect(fleet.broker, late, f"{asked}.0", CLIENT)
        assert isinstance(answer, NoDesktop)
        assert (answer.reason.code, answer.reason.params["pool"]) == (code, name)


def test_a_release_needs_the_right_and_a_locked_desktop_stays(fleet: Fleet) -> None:
    me, got, _ = with_session(fleet)
    line = fleet.rows(t.pool_assignments)[0]
    fleet.change(t.pool_assignments, line.id, body={"prevent_release": True})
    with pytest.raises(Denied):
        release.release(fleet.broker, me, got.assignment_id)
    fleet.change(t.pool_assignments, line.id, body={})
    answer = login.login(fleet.broker, "user", PASSWORD, CLIENT)
    assert isinstance(answer, login.LoggedIn)
    may_not = replace(answer.me, role=replace(answer.me.role, may_release=False))
    with pytest.raises(Denied):
        release.release(fleet.broker, may_not, got.assignment_id)
    release.release(fleet.broker, me, got.assignment_id)
    assert fleet.row(t.assignments, got.assignment_id).state == "releasing"


@pytest.mark.capability("S089")
def test_deleting_a_center_ends_what_hangs_on_it_and_restoring_it_brings_it_back(
    fleet: Fleet, with_hooks: None
) -> None:
    fleet.desktops(3)
    fleet.center("other")
    line = fleet.line(fleet.pool(center_id=None))
    fleet.work()
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    waits = next(row for row in fleet.rows(t.desktops) if row.id != got.desktop_id)
    fleet.change(t.desktops, waits.id, status="unavailable")
    done = configure.delete_item(fleet.broker, actor(fleet.broker), "centers", CENTER)
    assert (done["desktops"], done["assignments"]) == (3, 1)
    assert {row.status for row in fleet.rows(t.desktops)} == {"deleted"}
    assert fleet.row(t.assignments, got.assignment_id).state == "released"
    assert fleet.row(t.connections, got.id).state == "closed"
    assert offers(fleet.broker, me).offers == ()
    fleet.work()
    assert fleet.row(t.pools, fleet.rows(t.pools)[0].id).counts["total"] == 0
    configure.restore_item(fleet.broker, actor(fleet.broker), "centers", CENTER)
    fleet.cloud().delete(
        next(row for row in fleet.rows(t.desktops) if row.id not in (got.desktop_id, waits.id)).external_id
    )
    fleet.work()
    now = {row.id: (row.status, row.stage) for row in fleet.rows(t.desktops)}
    assert now.pop(got.desktop_id) == ("available", "quarantined")  # somebody may still be at work there
    assert now.pop(waits.id) == ("unavailable", "ready")
    assert list(now.values()) == [("deleted", "gone")]
