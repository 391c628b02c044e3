import pytest
from hypothesis import given
from tests.unit.domain.records import MINUTE, NOW, desktop, desktops

from portico.domain.model import AgentState, Desktop, Power, PowerAction, Stage, Status
from portico.domain.readiness import is_gone, readiness, wake_action

pytestmark = pytest.mark.capability("S090", "S029")

CASES = [
    ({"stage": Stage.GONE}, "desktop.deleted", True, False),
    ({"status": Status.DELETED}, "desktop.deleted", True, False),
    ({"stage": Stage.DELETING}, "desktop.deleting", True, False),
    ({"stage": Stage.QUARANTINED}, "desktop.quarantined", True, False),
    ({"stage": Stage.FAILED, "stage_reason": "no disk"}, "desktop.failed", True, False),
    ({"maintenance": True}, "desktop.maintenance", True, False),
    ({"stage": Stage.INTENT}, "desktop.building", False, False),
    ({"stage": Stage.BUILDING}, "desktop.building", False, False),
    ({"stage": Stage.PREPARING}, "desktop.preparing", False, False),
    ({"stage": Stage.PREPARING, "deadline_at": NOW - MINUTE}, "desktop.late", False, False),
    ({"power": Power.ERROR}, "desktop.error", True, False),
    ({"power": Power.STOPPED}, "desktop.stopped", False, True),
    ({"power": Power.SUSPENDED}, "desktop.suspended", False, True),
    ({"power": Power.PAUSED}, "desktop.paused", False, True),
    ({"power": Power.SHELVED}, "desktop.shelved", False, True),
    ({"power": Power.STARTING}, "desktop.starting", False, False),
    ({"power": Power.STOPPING}, "desktop.stopping", False, False),
    ({"agent": AgentState.UNREACHABLE}, "desktop.agent_unreachable", False, False),
    ({"agent": AgentState.WAITING}, "desktop.agent_waiting", False, False),
    ({"address": None}, "desktop.no_address", False, False),
    ({"protocols": {}}, "desktop.no_protocol", False, False),
]


@pytest.mark.parametrize(("state", "code", "stuck", "needs_start"), CASES)
def test_each_state_of_a_desktop_has_its_reason(
    state: dict[str, object], code: str, stuck: bool, needs_start: bool
) -> None:
    found = readiness(desktop(**state), NOW)
    assert found.reason is not None
    assert (found.reason.code, found.stuck, found.needs_start) == (code, stuck, needs_start)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"power": Power.UNKNOWN, "agent": AgentState.NOT_INSTALLED},
        {"agent": AgentState.PENDING_REBOOT},
        {"address": None, "public_address": "192.0.2.1"},
    ],
)
def test_a_reachable_desktop_is_ready(state: dict[str, object]) -> None:
    assert readiness(desktop(**state), NOW).reason is None


@given(desktops())
def test_a_start_is_wanted_exactly_where_one_is_known(some: Desktop) -> None:
    found = readiness(some, NOW)
    if found.needs_start:
        assert wake_action(some.power) is not None
        assert not found.stuck


def test_rest_is_ended_by_the_action_that_fits_it() -> None:
    assert wake_action(Power.SUSPENDED) is PowerAction.RESUME
    assert wake_action(Power.SHELVED) is PowerAction.UNSHELVE
    assert wake_action(Power.RUNNING) is None


def test_a_desktop_of_a_deleted_center_is_gone() -> None:
    assert is_gone(desktop(status=Status.DELETED))
    assert not is_gone(desktop())
