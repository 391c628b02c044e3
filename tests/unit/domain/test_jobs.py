import json
from string import Formatter

import pytest

from portico.domain.jobs import (
    KINDS,
    AssignmentTimer,
    CenterScan,
    DesktopPower,
    DesktopStep,
    Nothing,
    OfAssignment,
    OfCenter,
    OfDesktop,
    OfDirectory,
    OfLeak,
    OfPool,
    Payload,
    from_json,
    lane,
    to_json,
    waiting_key,
)

pytestmark = pytest.mark.capability("S116")

SAMPLES: dict[type[Payload], Payload] = {
    Nothing: Nothing(),
    CenterScan: CenterScan("c1"),
    OfCenter: OfCenter("c1"),
    OfDirectory: OfDirectory("d"),
    OfLeak: OfLeak("l1"),
    OfPool: OfPool("p1"),
    OfDesktop: OfDesktop("d1"),
    OfAssignment: OfAssignment("a1"),
    DesktopPower: DesktopPower("d1", "start"),
    DesktopStep: DesktopStep("d1", 2),
    AssignmentTimer: AssignmentTimer("a1", 3, "release", "release.after_log_out"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_lane_and_a_key_from_its_payload(kind: str) -> None:
    payload = SAMPLES[KINDS[kind].payload]
    assert lane(kind, payload) in waiting_key(kind, payload)
    assert not list(filter(None, (field for _, field, _, _ in Formatter().parse(lane(kind, payload)))))
    assert KINDS[kind].name == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_survives_its_row_and_fields_of_a_newer_broker(kind: str) -> None:
    payload = SAMPLES[KINDS[kind].payload]
    row = json.loads(json.dumps(to_json(payload)))
    assert from_json(kind, {**row, "newer": True}) == payload


def test_a_payload_without_a_field_is_refused() -> None:
    with pytest.raises(TypeError):
        from_json("desktop_build", {})


def test_all_work_on_one_desktop_shares_a_lane() -> None:
    power = lane("desktop_power", DesktopPower("d1", "stop"))
    assert power == lane("desktop_build", OfDesktop("d1")) == lane("desktop_delete", OfDesktop("d1"))
    assert power != lane("desktop_delete", OfDesktop("d2"))


def test_a_second_request_is_the_same_request() -> None:
    assert waiting_key("pool_refill", OfPool("p")) == waiting_key("pool_refill", OfPool("p"))
    assert waiting_key("pool_refill", OfPool("p")) != waiting_key("pool_stats", OfPool("p"))


def test_two_timers_of_one_assignment_wait_side_by_side() -> None:
    sooner = AssignmentTimer("a", 1, "release", "release.after_log_out")
    later = AssignmentTimer("a", 1, "release", "release.max_duration")
    assert waiting_key("assignment_timer", sooner) != waiting_key("assignment_timer", later)


def test_cadences_are_those_of_the_design() -> None:
    cadences = {kind.name: kind.every_seconds for kind in KINDS.values() if kind.every_seconds}
    assert cadences == {
        "center_scan": 60, "center_leaks": 900, "pool_stats": 20, "pool_history_stats": 300, "agents_lost": 60, "directory_people": 120, "purge": 86400,
    }  # fmt: skip
