from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.unit.domain.records import NOW, pool

from portico.domain.model import Pool, PoolCounts, Provisioning, ProvisionLimits, Reason
from portico.domain.provisioning import FAILURES_STOP, after_build_failure, desktops_to_build, names, plan

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
