from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, assignment, desktop, desktops

from portico.domain.connect import ConnectStage, choose, claim_key, progress, protocol_for
from portico.domain.model import (
    AgentState,
    AssignmentState,
    Client,
    Desktop,
    NoDesktop,
    Order,
    Power,
    ProtocolPlan,
    Stage,
    Status,
)

pytestmark = pytest.mark.capability("S029", "S049")

BROWSER = Client("192.0.2.1")
PLAN = ProtocolPlan("plan", "t", "Everyday", protocols=("rdp", "vnc", "ssh"))
GATEWAY = ("vnc", "ssh")


def test_the_desktop_that_was_shown_is_tried_first_and_then_all_others() -> None:
    candidates = [desktop(str(number)) for number in range(5)]
    tried = choose(candidates, "3", Order.RANDOM, "ada", 1)
    assert tried[0].id == "3"
    assert sorted(one.id for one in tried) == ["0", "1", "2", "3", "4"]


def test_a_preferred_desktop_that_is_no_candidate_is_not_tried() -> None:
    assert [one.id for one in choose([desktop("1")], "3", Order.OLDEST, "ada", 1)] == ["1"]


def test_a_claim_names_user_line_and_ordinal() -> None:
    assert claim_key("ada", "line", 2) == "ada:line:2"


@pytest.mark.capability("S057")
def test_the_first_protocol_that_all_sides_share_is_taken() -> None:
    both = desktop(protocols={"ssh": 22, "vnc": 5901, "rdp": 3389})
    assert protocol_for(PLAN, both, BROWSER, None, GATEWAY) == "vnc"
    assert protocol_for(PLAN, both, BROWSER, "ssh", GATEWAY) == "ssh"
    assert protocol_for(PLAN, both, Client("192.0.2.1", kind="connect"), None, GATEWAY) == "rdp"


@pytest.mark.parametrize(
    ("client", "wanted", "protocols", "view_only", "code", "because"),
    [
        (BROWSER, None, {"rdp": 3389}, False, "protocol.none", ["not_in_browser", "not_on_desktop", "not_on_desktop"]),
        (BROWSER, "ssh", {"vnc": 5901}, False, "protocol.none", ["not_on_desktop"]),
        (BROWSER, "telnet", {"vnc": 5901}, False, "protocol.not_in_plan", []),
        (Client("", kind="pcoip"), "vnc", {"vnc": 5901}, False, "protocol.none", ["not_for_client"]),
        (Client("", kind="connect"), "vnc", {"vnc": 5901}, True, "protocol.none", ["not_view_only"]),
    ],
)
def test_each_protocol_that_was_passed_over_has_its_reason(
    client: Client, wanted: str | None, protocols: dict[str, int], view_only: bool, code: str, because: list[str]
) -> None:
    plan = ProtocolPlan("plan", "t", "Everyday", protocols=PLAN.protocols, view_only=view_only)
    found = protocol_for(plan, desktop(protocols=protocols), client, wanted, GATEWAY)
    assert isinstance(found, NoDesktop)
    assert found.reason.code == code
    assert [cause.code for cause in found.reason.because] == [f"protocol.{word}" for word in because]


@pytest.mark.parametrize(
    ("state", "stage", "needs_start"),
    [
        ({}, ConnectStage.READY, False),
        ({"stage": Stage.CREATING}, ConnectStage.STARTING, False),
        ({"power": Power.STOPPED}, ConnectStage.STARTING, True),
        ({"power": Power.SUSPENDED}, ConnectStage.STARTING, True),
        ({"power": Power.PAUSED}, ConnectStage.STARTING, True),
        ({"power": Power.SHELVED}, ConnectStage.STARTING, True),
        ({"power": Power.STARTING}, ConnectStage.STARTING, False),
        ({"stage": Stage.PREPARING}, ConnectStage.PREPARING, False),
        ({"agent": AgentState.UNREACHABLE}, ConnectStage.PREPARING, False),
        ({"protocols": {}}, ConnectStage.PREPARING, False),
        ({"power": Power.ERROR}, ConnectStage.FAILED, False),
        ({"maintenance": True}, ConnectStage.FAILED, False),
        ({"status": Status.DELETED}, ConnectStage.FAILED, False),
    ],
)
def test_the_stage_bar_follows_the_desktop(state: dict[str, Any], stage: ConnectStage, needs_start: bool) -> None:
    found = progress(desktop(**state), assignment(), NOW)
    assert (found.stage, found.needs_start) == (stage, needs_start)
    assert (found.reason is None) is (stage is ConnectStage.READY)


def test_the_way_to_a_desktop_only_goes_forward() -> None:
    way = [
        {"stage": Stage.BUILDING},
        {"power": Power.STOPPED},
        {"power": Power.STARTING},
        {"agent": AgentState.UNREACHABLE},
        {"address": None},
        {},
    ]
    fractions = [progress(desktop(**state), assignment(), NOW).fraction for state in way]
    assert fractions == sorted(set(fractions))


def test_an_assignment_that_has_ended_leads_nowhere() -> None:
    found = progress(desktop(), assignment(state=AssignmentState.RELEASING), NOW)
    assert (found.stage, found.reason and found.reason.code) == (ConnectStage.FAILED, "assignment.ended")


def test_slower_than_it_should_be_is_said() -> None:
    late = desktop(stage=Stage.PREPARING, deadline_at=NOW - MINUTE)
    found = progress(late, assignment(), NOW)
    assert (found.stage, found.reason and found.reason.code) == (ConnectStage.PREPARING, "desktop.late")


@given(desktops(), st.sampled_from(AssignmentState))
def test_progress_is_defined_for_every_state(some: Desktop, state: AssignmentState) -> None:
    found = progress(some, assignment(state=state), NOW)
    assert 0 <= found.fraction <= 1
    ready = found.stage is ConnectStage.READY
    assert (found.fraction == 1, found.reason is None) == (ready, ready)
