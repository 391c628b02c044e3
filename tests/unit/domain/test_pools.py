from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import desktop, desktops, pool

from portico.domain.model import AgentState, Desktop, PoolCounts, PoolRule, Power, Rule, SessionState, Stage, Status
from portico.domain.pools import ATTRIBUTES, check_rule, counts, find_cycle, matches, members
from portico.domain.rules import OPERATORS

pytestmark = pytest.mark.capability("S092")

LAB = desktop(
    "Lab-07",
    display_name="Lab seven",
    address="10.1.2.3",
    public_address="192.0.2.7",
    os_family="linux",
    image_id="i1",
    max_sessions=4,
    tags={"project": "alpha"},
)


@pytest.mark.parametrize(
    ("attribute", "operator", "text", "meets"),
    [
        ("name", "eq", "lab-07", True),
        ("name", "eq", "lab", False),
        ("name", "ne", "lab", True),
        ("name", "ct", "AB-", True),
        ("name", "nc", "ab-", False),
        ("name", "bw", "lab", True),
        ("name", "ew", "07", True),
        ("display_name", "ct", "seven", True),
        ("os_family", "eq", "windows", False),
        ("image", "eq", "i1", True),
        ("image", "eq", "Ubuntu 24", True),
        ("image", "ne", "ubuntu 24", False),
        ("center", "eq", "c1", True),
        ("power", "eq", "running", True),
        ("agent", "eq", "running", True),
        ("tag", "eq", "project=alpha", True),
        ("tag", "eq", "project", True),
        ("tag", "ne", "project=beta", True),
        ("max_sessions", "gt", "3", True),
        ("max_sessions", "gt", "4", False),
        ("max_sessions", "lt", "10", True),
        ("name", "gt", "3", False),
        ("address", "ip", "10.1.0.0/16", True),
        ("address", "np", "10.1.0.0/16", False),
        ("public_address", "np", "10.1.0.0/16", True),
        ("address", "ip", "2001:db8::/32", False),
        # what cannot be understood meets nothing
        ("address", "ip", "10.1.0.0/99", False),
        ("address", "np", "nonsense", False),
        ("colour", "eq", "blue", False),
        ("name", "like", "lab", False),
        ("max_sessions", "gt", "many", False),
    ],
)
def test_each_operator_does_what_it_says(attribute: str, operator: str, text: str, meets: bool) -> None:
    rule = PoolRule(rules=(Rule(attribute, operator, text),))
    assert matches(LAB, rule, {"i1": "Ubuntu 24"}) is meets


@pytest.mark.parametrize("operator", ["ip", "np"])
def test_without_an_address_a_desktop_is_neither_in_a_network_nor_out_of_it(operator: str) -> None:
    rule = PoolRule(rules=(Rule("address", operator, "10.0.0.0/8"),))
    assert not matches(desktop(address=None), rule)


def test_lines_are_joined_by_and_or_or() -> None:
    lines = (Rule("name", "bw", "lab"), Rule("name", "ew", "99"))
    assert not matches(LAB, PoolRule(rules=lines))
    assert matches(LAB, PoolRule(rules=lines, join="or"))


def test_centers_and_hand_picked_desktops_narrow_a_pool() -> None:
    assert matches(LAB, PoolRule())
    assert matches(LAB, PoolRule(centers=("c1", "c2"), desktops=("Lab-07",)))
    assert not matches(LAB, PoolRule(centers=("c2",)))
    assert not matches(LAB, PoolRule(desktops=("other",)))


@pytest.mark.parametrize(
    ("rule", "fields"),
    [
        (PoolRule(rules=(Rule("name", "ct", "x"),)), []),
        (PoolRule(join="xor"), ["join"]),
        (PoolRule(rules=(Rule("colour", "eq", "x"),)), ["rules.0.attribute"]),
        (PoolRule(rules=(Rule("name", "eq", "x"), Rule("name", "like", "x"))), ["rules.1.operator"]),
        (PoolRule(rules=(Rule("name", "ip", "10.0.0.0/8"),)), ["rules.0.operator"]),
        (PoolRule(rules=(Rule("address", "ip", "10.0.0.0/40"),)), ["rules.0.text"]),
        (PoolRule(rules=(Rule("max_sessions", "lt", ""),)), ["rules.0.text"]),
        (PoolRule(rules=(Rule("name", "bw", ""),)), ["rules.0.text"]),
        (PoolRule(rules=(Rule("", "", ""),)), ["rules.0.attribute", "rules.0.operator"]),
        (PoolRule(rules=(Rule("name", "eq", "x"),) * 51), ["rules"]),
    ],
)
def test_a_wrong_rule_names_each_wrong_field(rule: PoolRule, fields: list[str]) -> None:
    found = check_rule(rule)
    assert list(found) == fields
    assert all(sentence.endswith(".") for sentence in found.values())


@given(desktops(), st.sampled_from([*ATTRIBUTES, "?"]), st.sampled_from([*OPERATORS, "?"]), st.text())
def test_any_rule_can_be_applied(some: Desktop, attribute: str, operator: str, text: str) -> None:
    rule = PoolRule(rules=(Rule(attribute, operator, text),))
    assert matches(some, rule) in (True, False)
    assert not (check_rule(rule) and matches(some, rule))


def test_a_pool_narrows_the_pools_above_it() -> None:
    top = pool("top", rule=PoolRule(centers=("c1",)))
    middle = pool("middle", parent_id="top", rule=PoolRule(rules=(Rule("name", "bw", "lab"),)))
    low = pool("low", parent_id="middle", rule=PoolRule(rules=(Rule("name", "ew", "1"),)))
    tree = {one.id: one for one in (top, middle, low)}
    fleet = [desktop("lab-1"), desktop("lab-2"), desktop("office-1"), desktop("lab-11", center_id="c2")]
    assert members(fleet, low, tree) == ["lab-1"]
    assert members(fleet, top, tree) == ["lab-1", "lab-2", "office-1"]


@pytest.mark.capability("S008")
def test_a_pool_without_its_parent_has_no_members() -> None:
    assert members([desktop()], pool(parent_id="lost"), {}) == []


def test_deleted_and_duplicate_desktops_belong_to_no_pool() -> None:
    fleet = [desktop("a", status=Status.DELETED), desktop("b", status=Status.DUPLICATE), desktop("c", stage=Stage.GONE)]
    assert members(fleet, pool(), {}) == []


def test_a_circle_of_pools_is_found_and_does_not_hang() -> None:
    a, b, c = pool("a", parent_id="c"), pool("b", parent_id="a"), pool("c", parent_id="b")
    tree = {one.id: one for one in (a, b, c, pool("d", parent_id="a"), pool("e", parent_id="lost"))}
    assert sorted(find_cycle(tree) or []) == ["a", "b", "c"]
    assert find_cycle({"e": tree["e"], "f": pool("f", parent_id="e")}) is None
    assert members([desktop()], tree["d"], tree) == ["d1"]


def test_a_pool_that_is_its_own_parent_is_a_circle() -> None:
    assert find_cycle({"a": pool("a", parent_id="a")}) == ["a"]


COUNT_CASES = [
    ({}, {"total", "unassigned", "available", "running", "agent_running"}),
    ({"status": Status.UNAVAILABLE}, {"total", "unassigned", "unavailable", "running", "agent_running"}),
    ({"maintenance": True}, {"total", "unassigned", "unavailable", "running", "agent_running"}),
    ({"stage": Stage.QUARANTINED}, {"total", "unassigned", "unavailable", "running", "agent_running"}),
    ({"free_seats": 0, "used_seats": 1}, {"total", "assigned", "running", "agent_running"}),
    ({"free_seats": 1, "used_seats": 3}, {"total", "unassigned", "available", "running", "agent_running"}),
    ({"session": SessionState.LOCKED}, {"total", "unassigned", "available", "running", "agent_running", "connected"}),
    ({"power": Power.STOPPED, "agent": AgentState.UNREACHABLE}, {"total", "unassigned", "available"}),
    (
        {"stage": Stage.INTENT, "free_seats": 0, "power": Power.UNKNOWN},
        {"total", "unassigned", "building", "agent_running"},
    ),
    ({"stage": Stage.FAILED}, {"total", "failed"}),
    ({"stage": Stage.DELETING}, {"total"}),
    ({"stage": Stage.GONE}, set()),
    ({"status": Status.DELETED}, set()),
    ({"status": Status.DUPLICATE}, set()),
]


@pytest.mark.capability("S096", "S099")
@pytest.mark.parametrize(("state", "counted"), COUNT_CASES)
def test_each_desktop_is_counted_where_it_belongs(state: dict[str, Any], counted: set[str]) -> None:
    found = counts([desktop(**state)])
    assert {name for name in PoolCounts.__dataclass_fields__ if getattr(found, name)} == counted


@pytest.mark.capability("S095", "S096")
@given(st.lists(desktops()))
def test_the_parts_of_a_pool_make_its_total(fleet: list[Desktop]) -> None:
    found = counts(fleet)
    deleting = sum(one.stage is Stage.DELETING and one.status in ("available", "unavailable") for one in fleet)
    assert found.total == found.assigned + found.unassigned + found.failed + deleting
    assert found.unassigned == found.available + found.unavailable + found.building


@pytest.mark.capability("S095")
def test_the_example_of_the_source_document_adds_up() -> None:
    fleet = [desktop(str(number)) for number in range(45)] + [desktop("mine", free_seats=0, used_seats=1)]
    found = counts(fleet)
    assert (found.total, found.assigned, found.unassigned) == (46, 1, 45)


def test_a_pool_of_its_own_builds_takes_nobody_elses() -> None:
    """With `own_builds`, a pool and the pools below it hold only what the pool has made."""
    mine, theirs = desktop("a", built_for_pool="own"), desktop("b", built_for_pool="other")
    own = pool(id="own", rule=PoolRule(own_builds=True))
    assert members([mine, theirs, desktop("c")], own, {}) == [mine.id]
    below = pool(id="below", parent_id="own")
    assert members([mine, theirs], below, {"own": own, "below": below}) == [mine.id]
