from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, desktop, desktops

from portico.domain.model import Desktop, Power, Stage, Status
from portico.domain.states import may_stage
from portico.domain.sync import (
    Action,
    Adopt,
    Fail,
    Insert,
    MarkGone,
    Quarantine,
    Rebuilt,
    Remove,
    Retry,
    Seen,
    Update,
    compare,
)

pytestmark = pytest.mark.capability("S089", "S029")

LATE = NOW - MINUTE


def seen(id: str = "x-d1", **more: Any) -> Seen:
    calm = {"name": "d1", "power": Power.RUNNING, "ready": True, "address": "10.0.0.1"}
    return Seen(id, **{**calm, **more})


def ours(id: str = "x-d1", desktop_id: str = "d1", **more: Any) -> Seen:
    return seen(id, desktop_id=desktop_id, deployment_id="us", **more)


def look(known: list[Desktop], machines: list[Seen], complete: bool = True, **passes: int) -> list[Action]:
    return list(compare(known, machines, complete, "us", NOW, passes))


def test_a_quiet_cloud_changes_nothing() -> None:
    assert look([desktop()], [seen()]) == []


def test_a_machine_that_nobody_knew_is_inserted() -> None:
    assert look([], [seen("x9")]) == [Insert(seen("x9"))]


def test_a_machine_of_another_deployment_is_an_ordinary_one() -> None:
    theirs = seen("x9", desktop_id="d1", deployment_id="them")
    assert look([desktop()], [seen(), theirs]) == [Insert(theirs)]


@pytest.mark.capability("S090")
def test_a_machine_with_another_image_was_made_anew() -> None:
    """Only a desktop that was in use can have been rebuilt; the first image of a build is no rebuild."""
    other = seen(image_id="new")
    assert look([desktop(image_id="old")], [other]) == [Update("d1", {"image_id": "new"}), Rebuilt("d1")]
    assert look([desktop(image_id=None)], [other]) == [Update("d1", {"image_id": "new"})]
    building = desktop(image_id="old", stage=Stage.BUILDING)
    assert Rebuilt("d1") not in look([building], [other])


@pytest.mark.capability("S090")
def test_a_duplicate_that_is_gone_was_nobodys() -> None:
    (gone,) = look([desktop(status=Status.DUPLICATE)], [])
    assert isinstance(gone, MarkGone)
    assert gone.reason.code == "desktop.deleted"


@pytest.mark.capability("S090")
def test_renames_power_and_addresses_follow_the_cloud() -> None:
    moved = seen(name="renamed", power=Power.STOPPED, address="10.0.0.9", public_address="192.0.2.1")
    assert look([desktop()], [moved], complete=False) == [
        Update(
            "d1",
            {"name": "renamed", "power": Power.STOPPED, "address": "10.0.0.9", "public_address": "192.0.2.1"},
        )
    ]


def test_an_address_that_was_taken_away_is_forgotten() -> None:
    assert look([desktop()], [seen(address=None)]) == [Update("d1", {"address": None})]


def test_what_only_the_agent_knows_is_not_wiped() -> None:
    known = desktop(os_family="linux", image_id="i", tags={"by": "hand"})
    assert look([known], [seen()]) == []
    assert look([known], [seen(protocols={"rdp": 3389}, tags={"from": "cloud"})]) == [
        Update("d1", {"protocols": {"rdp": 3389}, "tags": {"by": "hand", "from": "cloud"}})
    ]


@pytest.mark.parametrize("stage", [Stage.INTENT, Stage.CREATING])
def test_the_machine_of_an_unanswered_create_is_adopted(stage: Stage) -> None:
    waiting = desktop(stage=stage, external_id=None, deadline_at=LATE)
    assert look([waiting], [ours()], complete=False) == [Adopt("d1", ours())]


def test_an_adopted_machine_may_have_failed() -> None:
    waiting = desktop(stage=Stage.CREATING, external_id=None)
    assert [type(action) for action in look([waiting], [ours(error="no host")])] == [Adopt, Fail]


def test_a_second_machine_of_one_desktop_is_quarantined() -> None:
    waiting = desktop(stage=Stage.CREATING, external_id=None)
    adopted, twin = look([waiting], [ours("x1"), ours("x2")])
    assert adopted == Adopt("d1", ours("x1"))
    assert isinstance(twin, Quarantine)
    assert (twin.seen.external_id, twin.reason.code) == ("x2", "machine.duplicate")
    (late,) = look([desktop(external_id="x1")], [ours("x1"), ours("x2")])
    assert isinstance(late, Quarantine)


def test_a_finished_build_goes_on_to_prepare() -> None:
    building = desktop(stage=Stage.BUILDING)
    assert look([building], [ours()]) == [Update("d1", {"stage": Stage.PREPARING})]
    assert look([building], [ours(ready=False)]) == []


@pytest.mark.parametrize(
    ("stage", "machine", "code"),
    [
        (Stage.BUILDING, {"error": "no valid host"}, "build.error"),
        (Stage.BUILDING, {"ready": False}, "build.deadline"),
        (Stage.PREPARING, {}, "build.never_answered"),
    ],
)
def test_a_build_fails_by_error_or_deadline(stage: Stage, machine: dict[str, Any], code: str) -> None:
    known = desktop(stage=stage, deadline_at=LATE)
    (action,) = look([known], [ours(**machine)])
    assert isinstance(action, Fail)
    assert action.reason.code == code


def test_a_build_that_was_finished_late_still_gets_its_chance() -> None:
    late = desktop(stage=Stage.BUILDING, deadline_at=LATE)
    assert look([late], [ours()]) == [Update("d1", {"stage": Stage.PREPARING})]


def test_a_running_desktop_does_not_fail_by_an_old_deadline_or_error() -> None:
    known = desktop(deadline_at=LATE)
    assert look([known], [seen(error="resize failed", power=Power.ERROR)]) == [Update("d1", {"power": Power.ERROR})]


@pytest.mark.parametrize("stage", [Stage.BUILDING, Stage.PREPARING, Stage.READY, Stage.QUARANTINED])
def test_a_machine_that_a_complete_pass_misses_is_gone(stage: Stage) -> None:
    (action,) = look([desktop(stage=stage)], [])
    assert isinstance(action, MarkGone)
    assert action.reason.code == "desktop.deleted_outside"


def test_what_has_failed_and_is_not_there_is_gone() -> None:
    (action,) = look([desktop(stage=Stage.FAILED)], [])
    assert isinstance(action, MarkGone)
    assert action.reason.code == "desktop.deleted"


def test_a_deletion_ends_by_its_job_though_its_machine_is_gone_already() -> None:
    """The parts that were made for the machine may still be there."""
    assert look([desktop(stage=Stage.DELETING)], []) == [Remove("d1", "x-d1")]
    assert look([desktop(stage=Stage.DELETING)], [ours(gone=True)], complete=False) == [Remove("d1", "x-d1")]
    assert look([desktop(stage=Stage.DELETING, external_id=None)], []) == [Remove("d1", "")]
    assert look([desktop(stage=Stage.DELETING)], [], complete=False) == []


def test_an_explicit_end_counts_at_once() -> None:
    (action,) = look([desktop()], [seen(gone=True)], complete=False)
    assert isinstance(action, MarkGone)
    assert look([desktop(stage=Stage.GONE)], [seen(gone=True)]) == []
    assert look([], [seen(gone=True), ours("x2", gone=True)]) == []


def test_an_overdue_build_fails_also_on_a_partial_pass() -> None:
    (action,) = look([desktop(stage=Stage.BUILDING, deadline_at=LATE)], [], complete=False)
    assert isinstance(action, Fail)


@pytest.mark.parametrize(
    ("deadline", "complete", "passes", "retried"),
    [(LATE, True, 2, True), (LATE, True, 1, False), (LATE, False, 2, False), (NOW + MINUTE, True, 2, False)],
)
def test_a_create_of_unknown_outcome_is_retried_only_when_it_surely_failed(
    deadline: Any, complete: bool, passes: int, retried: bool
) -> None:
    waiting = desktop(stage=Stage.CREATING, external_id=None, deadline_at=deadline)
    assert look([waiting], [], complete, d1=passes) == ([Retry("d1")] if retried else [])


def test_an_intent_that_was_forgotten_is_tried_again() -> None:
    assert look([desktop(stage=Stage.INTENT, external_id=None, deadline_at=LATE)], [], False) == [Retry("d1")]
    assert look([desktop(stage=Stage.INTENT, external_id=None)], []) == []


def test_a_tagged_machine_without_a_desktop_is_quarantined_never_deleted() -> None:
    (action,) = look([], [ours(desktop_id="lost")])
    assert isinstance(action, Quarantine)
    assert action.reason.code == "machine.no_row"


def test_a_machine_that_outlives_its_desktop_is_removed() -> None:
    assert look([desktop(stage=Stage.DELETING)], [ours()]) == [Remove("d1", "x-d1")]
    assert look([desktop(stage=Stage.GONE, deletable=True)], [ours()]) == [Remove("d1", "x-d1")]
    assert look([desktop(stage=Stage.GONE, deletable=True, external_id=None)], [ours()]) == [Remove("d1", "x-d1")]


def test_a_permanent_machine_that_comes_back_is_not_deleted() -> None:
    (action,) = look([desktop(stage=Stage.GONE)], [ours()])
    assert isinstance(action, Quarantine)
    assert action.reason.code == "machine.returned"
    assert look([desktop(stage=Stage.GONE)], [seen()]) == [Insert(seen(), replaces="d1")]
    living = desktop("d2", external_id="x-d1")
    assert look([living, desktop(stage=Stage.GONE)], [seen(name="d2")]) == []


MACHINES = st.lists(
    st.builds(
        seen,
        id=st.sampled_from(["x1", "x2", "x3", "x4"]),
        desktop_id=st.sampled_from([None, "a", "b", "z"]),
        deployment_id=st.sampled_from([None, "us", "them"]),
        ready=st.booleans(),
        error=st.sampled_from(["", "broken"]),
        gone=st.booleans(),
    )
)
KNOWN = st.lists(desktops(), unique_by=(lambda one: one.id,))


@given(KNOWN, MACHINES)
def test_a_partial_pass_takes_nothing_for_gone_that_it_did_not_see_end(
    known: list[Desktop], machines: list[Seen]
) -> None:
    ended = {machine.external_id for machine in machines if machine.gone}
    ended_tags = {machine.desktop_id for machine in machines if machine.gone and machine.deployment_id == "us"}
    by_id = {one.id: one for one in known}
    for action in compare(known, machines, False, "us", NOW, dict.fromkeys(by_id, 9)):
        assert not isinstance(action, Retry) or by_id[action.desktop_id].stage is Stage.INTENT
        if isinstance(action, MarkGone):
            assert by_id[action.desktop_id].external_id in ended or action.desktop_id in ended_tags


@given(KNOWN, MACHINES, st.booleans())
def test_nothing_is_removed_that_is_not_ours_to_delete(
    known: list[Desktop], machines: list[Seen], complete: bool
) -> None:
    by_id = {one.id: one for one in known}
    for action in compare(known, machines, complete, "us", NOW):
        if isinstance(action, Remove):
            row = by_id[action.desktop_id]
            assert row.stage is Stage.DELETING or row.deletable
        if isinstance(action, MarkGone):
            assert by_id[action.desktop_id].stage is not Stage.GONE
            assert by_id[action.desktop_id].status is not Status.DELETED


@given(KNOWN, MACHINES, st.booleans())
def test_each_stage_that_a_pass_sets_may_follow_the_last(
    known: list[Desktop], machines: list[Seen], complete: bool
) -> None:
    stage = {one.id: one.stage for one in known}
    for action in compare(known, machines, complete, "us", NOW, dict.fromkeys(stage, 9)):
        match action:
            case Adopt(desktop_id):
                following = Stage.BUILDING
            case MarkGone(desktop_id):
                following = Stage.GONE
            case Fail(desktop_id):
                following = Stage.FAILED
            case Update(desktop_id, {"stage": Stage() as changed}):
                following = changed
            case _:
                continue
        assert may_stage(stage[desktop_id], following)
        stage[desktop_id] = following
