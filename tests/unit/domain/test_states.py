import pytest

from portico.domain.model import AssignmentState, Stage
from portico.domain.states import (
    ASSIGNMENT,
    IN_FLIGHT,
    LIVE,
    STAGE,
    USABLE,
    Event,
    may_stage,
    next_assignment_state,
)

pytestmark = pytest.mark.capability("S029", "S090")


def test_every_state_and_stage_has_its_line() -> None:
    assert set(ASSIGNMENT) == set(AssignmentState)
    assert set(STAGE) == set(Stage)


@pytest.mark.parametrize("state", sorted(USABLE))
def test_what_a_user_may_use_can_be_taken_back(state: AssignmentState) -> None:
    assert next_assignment_state(state, Event.RELEASE) is AssignmentState.RELEASING


def test_an_end_is_an_end() -> None:
    assert all(next_assignment_state(AssignmentState.RELEASED, event) is None for event in Event)
    assert set(AssignmentState) - {AssignmentState.RELEASED} == LIVE
    assert not any(may_stage(Stage.GONE, stage) for stage in Stage)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in (Stage.GONE, Stage.DELETING)])
def test_every_living_desktop_can_be_deleted_and_can_vanish(stage: Stage) -> None:
    assert may_stage(stage, Stage.DELETING)
    assert may_stage(stage, Stage.GONE)


@pytest.mark.parametrize("stage", sorted(IN_FLIGHT))
def test_every_build_can_fail(stage: Stage) -> None:
    assert may_stage(stage, Stage.FAILED)
