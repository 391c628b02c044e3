from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, desktop, pool

from portico.domain.model import (
    Desktop,
    Pool,
    PoolCounts,
    Power,
    Provisioning,
    ProvisionLimits,
    Reason,
    SessionState,
    Stage,
    Status,
)
from portico.domain.provisioning import (
    FAILURES_STOP,
    Decision,
    after_build_failure,
    desktops_to_build,
    desktops_to_retire,
    names,
    plan,
)

pytestmark = pytest.mark.capability("S094", "S095")


def counts(total: int, assigned: int = 0) -> PoolCounts:
    return PoolCounts(total=total, assigned=assigned, unassigned=total - assigned)


@pytest.mark.capability("S098")
@pytest.mark.parametrize(
    ("start_below", "stop_at", "total", "assigned", "build"),
    [
        (5, 10, 0, 0, 5),
        (5, 10, 5, 0, 0),
        (5, 10, 5, 1, 1),
        (5, 10, 8, 8, 2),
        (5, 10, 10, 10, 0),
        (5, 10, 12, 12, 0),
        (20, 10, 0, 0, 10),
        (0, 10, 0, 0, 0),
        (5, 0, 0, 0, 0),
    ],
)
def test_a_pool_builds_what_it_lacks(start_below: int, stop_at: int, total: int, assigned: int, build: int) -> None:
    limits = ProvisionLimits(start_below=start_below, stop_at=stop_at)
    assert desktops_to_build(limits, counts(total, assigned)) == build
    assert desktops_to_build(replace(limits, enabled=False), counts(total, assigned)) == 0


@pytest.mark.capability("S098")
@given(st.integers(-5, 50), st.integers(-5, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_pool_never_outgrows_its_stop(start_below: int, stop_at: int, total: int, assigned: int) -> None:
    assume(assigned <= total)
    build = desktops_to_build(ProvisionLimits(start_below=start_below, stop_at=stop_at), counts(total, assigned))
    assert build >= 0
    assert total + build <= max(total, stop_at)


def test_a_pass_that_built_builds_no_more() -> None:
    limits = ProvisionLimits(start_below=7, stop_at=20)
    first = desktops_to_build(limits, counts(3, 3))
    assert desktops_to_build(limits, counts(3 + first, 3)) == 0


def making(**limits: int | bool) -> Pool:
    provisioning = Provisioning(ProvisionLimits(**{"start_below": 2, "stop_at": 4, **limits}), "c1", "image")
    return pool(provisioning=provisioning)


@pytest.mark.parametrize(
    ("some", "now", "paused", "build", "code"),
    [
        (making(), counts(0), None, 2, "pool.below_threshold"),
        (making(), counts(2), None, 0, "pool.enough"),
        (making(), counts(4, 4), None, 0, "pool.at_maximum"),
        (making(enabled=False), counts(0), None, 0, "pool.off"),
        (making(start_below=0), counts(0), None, 0, "pool.off"),
        (making(), counts(0), Reason("pool.quota"), 0, "pool.quota"),
        (pool(provisioning=replace(making().provisioning, image=None)), counts(0), None, 0, "pool.no_image"),
        (pool(provisioning=replace(making().provisioning, center_id=None)), counts(0), None, 0, "pool.no_center"),
    ],
)
def test_a_decision_says_why(some: Pool, now: PoolCounts, paused: Reason | None, build: int, code: str) -> None:
    decision = plan(some, now, NOW, paused)
    assert (decision.build, decision.reason.code) == (build, code)


def test_failures_in_a_row_wait_longer_and_then_stop_the_pool() -> None:
    assert [after_build_failure(number, NOW) for number in (1, 2, FAILURES_STOP)] == [
        (False, 30),
        (False, 60),
        (True, 120),
    ]


@pytest.mark.capability("S102")
def test_names_carry_the_sequence_and_pass_over_what_is_taken() -> None:
    found = names("desk-{SEQUENCE:2}", 1, 3, {"DESK-02"}, {})
    assert found == (["desk-01", "desk-03", "desk-04"], 5)


@pytest.mark.capability("S102")
@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("lab", ["lab-9", "lab-10"]),
        ("", ["desktop-9", "desktop-10"]),
        ("{POOL:NAME} {SEQUENCE}", ["Big-Lab-9", "Big-Lab-10"]),
        ("x" * 70 + "{SEQUENCE}", ["x" * 61 + "-9", "x" * 60 + "-10"]),
    ],
)
def test_a_name_always_shows_its_number(template: str, found: list[str]) -> None:
    assert names(template, 9, 2, (), {"POOL:NAME": "Big Lab"})[0] == found


@pytest.mark.capability("S102")
@given(st.text(max_size=80), st.integers(0, 200), st.integers(0, 15), st.lists(st.integers(0, 30)))
def test_names_are_unique_and_safe(template: str, start: int, n: int, taken: list[int]) -> None:
    theirs = {f"{template}{number}" for number in taken}
    found, following = names(template + "{SEQUENCE}", start, n, theirs, {})
    assert len(found) == len({name.casefold() for name in found}) == n
    assert not {name.casefold() for name in found} & {name.casefold() for name in theirs}
    assert following >= start + n
    assert all(0 < len(name) <= 63 and name.replace("-", "").isalnum() for name in found)


def enforcing(stop_at: int, **more: Any) -> Pool:
    limits = ProvisionLimits(start_below=min(1, stop_at), stop_at=stop_at)
    return pool(provisioning=Provisioning(limits, "c1", "image", deletable=True, enforce=True, **more))


def built(id: str, **more: Any) -> Desktop:
    return desktop(id, **{"built_for_pool": "p", "deletable": True, "created_at": NOW, **more})


def retired(pool: Pool, *desktops: Desktop) -> tuple[str, ...]:
    return desktops_to_retire(pool, pool.provisioning.limits, desktops)


@pytest.mark.capability("S111")
@pytest.mark.parametrize(
    "spared",
    [
        {"used_seats": 1, "free_seats": 0},
        {"used_seats": 1, "free_seats": 3},
        {"session": SessionState.LOGGED_ON},
        {"session": SessionState.DISCONNECTED},
        {"session": SessionState.UNKNOWN},
        {"maintenance": True},
        {"deletable": False},
        {"built_for_pool": None},
        {"built_for_pool": "another"},
        {"stage": Stage.QUARANTINED},
    ],
)
def test_only_what_nobody_has_and_the_pool_may_delete_is_deleted(spared: dict[str, Any]) -> None:
    assert retired(enforcing(0), built("a", **spared), built("b")) == ("b",)
    assert retired(enforcing(1), built("a", **spared), built("b")) == ("b",)


@pytest.mark.capability("S111")
def test_a_pool_comes_down_to_its_limit_and_not_below() -> None:
    ten = [built(f"d{n}") for n in range(10)]
    assert len(retired(enforcing(4), *ten)) == 6
    assert retired(enforcing(10), *ten) == ()
    assert retired(enforcing(20), *ten) == ()


def test_what_is_on_its_way_out_is_not_counted_again() -> None:
    leaving = [built(f"l{n}", stage=stage) for n, stage in enumerate((Stage.DELETING, Stage.FAILED, Stage.GONE))]
    leaving.append(built("x", status=Status.DELETED))
    assert retired(enforcing(2), *leaving, built("a"), built("b"), built("c")) == ("a",)


def test_those_that_nobody_misses_go_first() -> None:
    order = [
        built("later", stage=Stage.BUILDING, created_at=NOW + MINUTE),
        built("off", status=Status.UNAVAILABLE),
        built("stopped", power=Power.STOPPED, created_at=NOW + MINUTE),
        built("old"),
        built("young", created_at=NOW + MINUTE),
    ]
    for left in range(5):
        assert retired(enforcing(left), *reversed(order)) == tuple(one.id for one in order[: 5 - left])


def test_without_the_wish_or_switched_off_nothing_is_deleted() -> None:
    wish = enforcing(1)
    without = replace(wish, provisioning=replace(wish.provisioning, enforce=False))
    off = replace(wish, provisioning=replace(wish.provisioning, limits=ProvisionLimits(False, 1, 1)))
    for one in (without, off):
        assert retired(one, built("a"), built("b")) == ()


@pytest.mark.capability("S096")
def test_unavailable_desktops_are_made_up_for_only_where_wanted() -> None:
    there = PoolCounts(total=6, unassigned=6, available=1, unavailable=3, building=2)
    limits = ProvisionLimits(start_below=5, stop_at=20)
    usual = pool(provisioning=Provisioning(limits, "c1", "image"))
    wanted = replace(usual, provisioning=replace(usual.provisioning, count_only_available=True))
    assert plan(usual, there, NOW, None).build == 0
    assert plan(wanted, there, NOW, None).build == 2
    assert plan(wanted, there, NOW, None).reason.params["unassigned"] == 3


@pytest.mark.capability("S093")
def test_the_limits_of_the_moment_decide() -> None:
    there = making()
    evening = ProvisionLimits(start_below=0, stop_at=0)
    assert plan(there, counts(0), NOW, None, evening) == Decision(0, Reason("pool.off_by_time", {"pool": "p"}))
    assert plan(there, counts(0), NOW, None, ProvisionLimits(start_below=9, stop_at=9)).build == 9
