from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, USER, assignment, desktop, desktops, line

from portico.domain.model import (
    AgentState,
    Assignment,
    AssignmentMode,
    AssignmentState,
    Desktop,
    Order,
    Policy,
    PoolAssignment,
    Power,
    SessionState,
    Stage,
    Status,
)
from portico.domain.offers import OfferList, PoolFacts, may_offer, offers, rank
from portico.domain.sentences import COUNTED

pytestmark = pytest.mark.capability("S029", "S047")

POLICY = Policy("policy", "t", "Everybody")
Held = tuple[Assignment, Desktop, PoolAssignment | None]


def facts(*candidates: Desktop, refilling: bool = False, total: int | None = None, **more: Any) -> PoolFacts:
    known = len(candidates) if total is None else total
    return PoolFacts(line(**more), "Engineering", candidates, known, refilling)


def offered(*pools: PoolFacts, existing: tuple[Held, ...] = (), policy: Policy = POLICY) -> OfferList:
    return offers(policy, pools, existing, USER, NOW)


def test_a_free_desktop_is_offered_under_the_name_of_its_pool() -> None:
    (offer,) = offered(facts(desktop())).offers
    assert (offer.id, offer.name, offer.state, offer.action) == ("line.0", "Engineering", "ready", "open")
    assert (offer.desktop_id, offer.assignment_id, offer.reason) == ("d1", None, None)


def test_what_the_user_has_comes_first_and_counts_against_the_quantity() -> None:
    mine: Held = (assignment(state=AssignmentState.DISCONNECTED), desktop("d1"), line())
    found = offered(facts(desktop("d1", free_seats=0, used_seats=1), desktop("d2")), existing=(mine,))
    (offer,) = found.offers
    assert (offer.id, offer.action, offer.state, offer.ordinal) == ("a.a1", "reconnect", "disconnected", 0)
    assert found.refusals == ()


def test_the_second_of_two_gets_the_ordinal_that_is_not_held() -> None:
    mine: Held = (assignment(claim_key="ada:line:1"), desktop("d1"), line(quantity=2))
    found = offered(facts(desktop("d2"), quantity=2), existing=(mine,))
    assert [(offer.id, offer.name) for offer in found.offers] == [
        ("a.a1", "Engineering 2"),
        ("line.0", "Engineering 1"),
    ]


def test_a_desktop_on_its_way_back_is_replaced_under_another_claim() -> None:
    leaving: Held = (assignment(state=AssignmentState.RELEASING), desktop("d1"), line())
    found = offered(facts(desktop("d1"), desktop("d2")), existing=(leaving,))
    assert [(offer.id, offer.desktop_id) for offer in found.offers] == [("line.1", "d2")]


def test_hard_assignments_follow_and_cannot_be_given_back() -> None:
    hard: Held = (
        assignment("h", mode=AssignmentMode.HARD_USER, pool_assignment_id=None, claim_key=None, desktop_id="d9"),
        desktop("d9", display_name="Workstation"),
        None,
    )
    mine: Held = (assignment("z"), desktop("d1"), line())
    found = offered(existing=(hard, mine))
    assert [offer.id for offer in found.offers] == ["a.z", "a.h"]
    assert [offer.may_release for offer in found.offers] == [True, False]
    assert found.offers[1].name == "Workstation"


@pytest.mark.parametrize(
    ("state", "machine", "shown"),
    [
        (AssignmentState.ASSIGNED, {}, ("ready", "open")),
        (AssignmentState.LOGGED_OUT, {}, ("ready", "open")),
        (AssignmentState.CONNECTED, {}, ("in use", "reconnect")),
        (AssignmentState.CONNECTED, {"stage": Stage.PREPARING}, ("preparing", "reconnect")),
        (AssignmentState.ASSIGNED, {"power": Power.SUSPENDED}, ("stopped", "start")),
        (AssignmentState.ASSIGNED, {"maintenance": True}, ("unavailable", "none")),
    ],
)
def test_what_is_theirs_shows_how_it_stands(
    state: AssignmentState, machine: dict[str, Any], shown: tuple[str, str]
) -> None:
    (offer,) = offered(existing=((assignment(state=state), desktop(**machine), line()),)).offers
    assert (offer.state, offer.action) == shown


def test_a_stopped_desktop_stays_stopped_where_the_policy_forbids_a_start() -> None:
    held: Held = (assignment(), desktop(power=Power.STOPPED), line(start_if_stopped=False))
    (offer,) = offered(existing=(held,)).offers
    assert (offer.state, offer.action) == ("stopped", "none")


def test_policies_decide_on_release_and_power_buttons() -> None:
    held: Held = (assignment(), desktop(), line(prevent_release=True, power_buttons=True))
    (offer,) = offered(existing=(held,)).offers
    assert (offer.may_release, offer.may_power) == (False, True)


@pytest.mark.parametrize(("display", "name"), [("desktop", "d1"), ("display name", "Big one"), ("pool", "Engineering")])
def test_a_card_is_called_what_the_policy_says(display: str, name: str) -> None:
    (offer,) = offered(facts(desktop(display_name="Big one"), display=display)).offers
    assert offer.name == name


def test_pools_come_in_the_order_of_the_policy_and_share_no_desktop() -> None:
    later = facts(desktop("d1"), id="later", position=2)
    sooner = facts(desktop("d1"), id="sooner", position=1)
    found = offered(later, sooner)
    assert [offer.id for offer in found.offers] == ["sooner.0"]
    assert [reason.code for reason in found.refusals] == ["pool.full"]


def test_a_policy_cuts_what_is_new_and_says_so() -> None:
    mine: Held = (assignment(), desktop("d1"), line())
    two = facts(desktop("d2"), desktop("d3"), id="more", quantity=2)
    found = offered(two, existing=(mine,), policy=Policy("policy", "t", "Two", max_desktops=2))
    assert [offer.id for offer in found.offers] == ["a.a1", "more.0"]
    assert [(reason.code, reason.params["maximum"]) for reason in found.refusals] == [("policy.max_desktops", 2)]


@pytest.mark.capability("S109")
def test_an_empty_pool_that_is_being_refilled_asks_to_wait() -> None:
    (offer,) = offered(facts(desktop(stage=Stage.BUILDING), refilling=True)).offers
    assert (offer.id, offer.action, offer.state, offer.desktop_id) == ("line.0", "wait", "preparing", None)
    assert offer.reason is not None
    assert [reason.code for reason in offer.reason.because] == ["desktop.building"]


@pytest.mark.parametrize(
    ("candidates", "total", "code", "because"),
    [
        ([], 0, "pool.empty", {}),
        ([], 40, "pool.full", {}),
        ([desktop("d1", free_seats=0), desktop("d2", free_seats=0)], 2, "pool.full", {"desktop.taken": 2}),
        (
            [desktop("d1", status=Status.UNAVAILABLE), desktop("d2", free_seats=0)],
            2,
            "pool.none_usable",
            {"desktop.taken": 1, "desktop.unavailable": 1},
        ),
    ],
)
def test_a_pool_that_offers_nothing_says_why(
    candidates: list[Desktop], total: int, code: str, because: dict[str, int]
) -> None:
    found = offered(facts(*candidates, total=total))
    (reason,) = found.refusals
    assert (found.offers, reason.code) == ((), code)
    assert reason.params == {"pool": "Engineering", "total": total}
    assert {cause.code: cause.params["count"] for cause in reason.because} == because


def test_a_pool_that_offers_less_than_it_should_says_so() -> None:
    found = offered(facts(desktop("d1"), desktop("d2", maintenance=True), quantity=2))
    assert [offer.id for offer in found.offers] == ["line.0"]
    assert [(reason.code, reason.params["offered"]) for reason in found.refusals] == [("pool.short", 1)]


def test_a_pool_without_any_promise_offers_nothing() -> None:
    assert offered(facts(desktop(), quantity=0)) == OfferList((), ())


@pytest.mark.parametrize(
    ("state", "rules", "code"),
    [
        ({}, {}, None),
        ({"status": Status.UNAVAILABLE}, {}, "desktop.unavailable"),
        ({"free_seats": 0}, {}, "desktop.taken"),
        ({"stage": Stage.CREATING}, {}, "desktop.building"),
        ({"stage": Stage.QUARANTINED}, {}, "desktop.quarantined"),
        ({"power": Power.STOPPING}, {}, "desktop.stopping"),
        ({"power": Power.ERROR}, {}, "desktop.error"),
        ({"address": None}, {}, "desktop.no_address"),
        ({"protocols": {}}, {}, "desktop.no_protocol"),
        ({"session": SessionState.LOGGED_ON}, {}, "desktop.in_use"),
        ({"session": SessionState.UNKNOWN}, {}, "desktop.session_unknown"),
        ({"session": SessionState.LOGGED_ON, "max_sessions": 4}, {}, None),
        ({"power": Power.STOPPED}, {"start_if_stopped": False}, "desktop.stopped"),
        ({"power": Power.STOPPED}, {}, None),
        ({"agent": AgentState.UNREACHABLE}, {}, None),
        ({"agent": AgentState.UNREACHABLE}, {"offer_without_agent": False}, "desktop.agent_unreachable"),
        ({"agent": AgentState.WAITING}, {"offer_without_agent": False}, "desktop.agent_waiting"),
        ({"agent": AgentState.NOT_INSTALLED}, {"offer_without_agent": False}, "desktop.no_agent"),
        ({"agent": AgentState.UNREACHABLE, "power": Power.STOPPED}, {"offer_without_agent": False}, None),
        ({"agent": AgentState.UNREACHABLE, "power": Power.STARTING}, {"offer_without_agent": False}, None),
        ({}, {"offer_without_agent": False}, None),
    ],
)
def test_a_desktop_is_offered_to_somebody_new_only_when_it_is_fit(
    state: dict[str, Any], rules: dict[str, Any], code: str | None
) -> None:
    reason = may_offer(desktop(**state), line(**rules), NOW)
    assert (reason.code if reason else None) == code


@pytest.mark.parametrize(
    ("power", "shown"), [(Power.STOPPED, ("stopped", "start")), (Power.STARTING, ("preparing", "open"))]
)
def test_a_resting_desktop_is_offered_with_its_start(power: Power, shown: tuple[str, str]) -> None:
    (offer,) = offered(facts(desktop(power=power))).offers
    assert (offer.state, offer.action) == shown


def test_ranking_prefers_what_the_order_says() -> None:
    old, new = desktop("old", created_at=NOW - MINUTE), desktop("new", created_at=NOW, power=Power.STOPPED)
    mine, theirs = desktop("mine", last_user_id="ada"), desktop("theirs", last_user_id="grace")
    fresh, shown = desktop("fresh"), desktop("shown", last_offered_at=NOW)

    def first(order: Order, *candidates: Desktop) -> str:
        return rank(candidates, order, "ada", 7)[0].id

    assert first(Order.OLDEST, new, old) == "old"
    assert first(Order.PREVIOUS, theirs, fresh, mine) == "mine"
    assert first(Order.PREVIOUS, theirs, fresh) == "fresh"
    assert first(Order.LEAST_RECENT, shown, fresh) == "fresh"
    assert first(Order.RUNNING, new, old) == "old"


@pytest.mark.parametrize("order", Order)
def test_ranking_loses_nobody_and_spreads_a_crowd(order: Order) -> None:
    candidates = [desktop(str(number)) for number in range(20)]
    ranked = [tuple(one.id for one in rank(candidates, order, "ada", spread)) for spread in range(10)]
    assert all(sorted(ids) == sorted(one.id for one in candidates) for ids in ranked)
    assert len({ids[0] for ids in ranked}) > 3


@st.composite
def situations(draw: st.DrawFn) -> tuple[Policy, list[PoolFacts], list[Held]]:
    existing: list[Held] = []
    for number, one in enumerate(draw(st.lists(desktops(), max_size=3, unique_by=lambda each: each.id))):
        key = f"ada:{draw(st.sampled_from(['l1', 'l2']))}:{number}"
        held = assignment(
            f"a{number}",
            desktop_id=one.id,
            claim_key=key,
            pool_assignment_id=key.split(":")[1],
            state=draw(st.sampled_from(AssignmentState)),
            mode=draw(st.sampled_from(AssignmentMode)),
        )
        existing.append((held, one, draw(st.sampled_from([None, line()]))))
    pools = [
        facts(
            *draw(st.lists(desktops(), max_size=6)),
            refilling=draw(st.booleans()),
            id=name,
            position=draw(st.integers(0, 2)),
            quantity=draw(st.integers(0, 3)),
            order=draw(st.sampled_from(Order)),
        )
        for name in ("l1", "l2")
    ]
    return Policy("p", "t", "p", max_desktops=draw(st.sampled_from([None, 0, 1, 3]))), pools, existing


@pytest.mark.capability("S008")
@given(situations())
def test_nothing_is_offered_twice_nor_what_somebody_else_holds(
    situation: tuple[Policy, list[PoolFacts], list[Held]],
) -> None:
    policy, pools, existing = situation
    found = offers(policy, pools, existing, USER, NOW).offers
    machines = [offer.desktop_id for offer in found if offer.desktop_id]
    assert len(machines) == len(set(machines))
    assert len({offer.id for offer in found}) == len(found)
    new = [offer for offer in found if offer.assignment_id is None]
    free = {one.id for pool in pools for one in pool.candidates if one.free_seats > 0}
    assert all(offer.desktop_id is None or offer.desktop_id in free for offer in new)
    if policy.max_desktops is not None:
        assert len(new) <= max(0, policy.max_desktops - (len(found) - len(new)))


@given(situations())
def test_a_user_never_gets_more_of_a_pool_than_its_quantity(
    situation: tuple[Policy, list[PoolFacts], list[Held]],
) -> None:
    policy, pools, existing = situation
    found = offers(policy, pools, existing, USER, NOW).offers
    for pool in pools:
        held = sum(
            offer.assignment_id is not None and offer.pool_assignment_id == pool.assignment.id for offer in found
        )
        total = sum(offer.pool_assignment_id == pool.assignment.id for offer in found)
        assert total <= max(held, pool.assignment.quantity)


@given(desktops(), st.booleans(), st.booleans())
def test_whatever_keeps_a_desktop_back_can_be_counted(some: Desktop, start: bool, without_agent: bool) -> None:
    reason = may_offer(some, line(start_if_stopped=start, offer_without_agent=without_agent), NOW)
    assert reason is None or reason.code in COUNTED
