"""What a pool does with its new desktops: in order, each once, whoever is killed on the way."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.fleet import Bare, Fleet
from tests.integration.test_kills import finish, killed

from portico.domain.model import Power, PowerAction
from portico.errors import CloudRefused
from portico.ports.cloud import Capabilities, CloudImage, Scan
from portico.services import provision
from portico.store import tables as t

pytestmark = pytest.mark.capability("S112", "S093")


class Imaging(Bare):
    """A fake cloud that makes images and keeps what was asked of it, in a file, so that a killed process's calls count."""

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), snapshots=True)

    def power(self, external_id: str, action: PowerAction) -> None:
        self._note(f"{action.value} {external_id}")
        super().power(external_id, action)

    def snapshot(self, external_id: str, name: str) -> str:
        self._note(f"image {name}")
        return name

    def scan(self, since: Any = None) -> Scan:
        found = super().scan(since)
        made = tuple(CloudImage(line, line) for call in self.calls() if (line := call.removeprefix("image ")) != call)
        return replace(found, images=(*found.images, *made))

    def calls(self) -> list[str]:
        path = self._context.state / "calls"
        return path.read_text("utf-8").splitlines() if path.exists() else []

    def _note(self, line: str) -> None:
        with (self._context.state / "calls").open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


class Refusing(Imaging):
    """One that refuses to make images."""

    def snapshot(self, external_id: str, name: str) -> str:
        raise CloudRefused("No room for images.")


@pytest.fixture
def imaging(fleet: Fleet) -> Iterator[Fleet]:
    fleet.broker = replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "bare": Imaging})
    yield fleet


def living(fleet: Fleet, pool: str) -> list[Any]:
    return fleet.rows(t.desktops, t.desktops.c.built_for_pool == pool, t.desktops.c.deleted_at.is_(None))


def calls(fleet: Fleet) -> list[str]:
    found = fleet.broker.config.state / "centers" / "center" / "calls"
    return [line.split()[0] for line in found.read_text("utf-8").splitlines()] if found.exists() else []


def steps(*actions: str | tuple[str, int]) -> list[dict[str, Any]]:
    pairs = [one if isinstance(one, tuple) else (one, 0) for one in actions]
    return [{"action": action, "wait_seconds": wait} for action, wait in pairs]


def settle(fleet: Fleet, rounds: int = 6) -> None:
    for _ in range(rounds):
        fleet.clock.forward(seconds=15)
        fleet.work()


def test_each_step_waits_its_time_and_is_done_in_order(imaging: Fleet) -> None:
    wanted = steps(("poweroff", 60), "snapshot", "start", ("set_available", 120))
    pool = imaging.pool(start_below=1, stop_at=1, start_unavailable=True, actions=wanted)
    imaging.fill(pool)
    assert (living(imaging, pool)[0].stage, calls(imaging)) == ("preparing", [])
    imaging.clock.forward(seconds=59)
    imaging.work()
    assert calls(imaging) == []
    imaging.clock.forward(seconds=1)
    settle(imaging, 2)
    assert calls(imaging) == ["shutdown", "image", "start"]
    row = living(imaging, pool)[0]
    assert (row.stage, row.status) == ("preparing", "unavailable")
    imaging.clock.forward(seconds=120)
    imaging.work()
    row = living(imaging, pool)[0]
    assert (row.stage, row.status, row.deadline_at) == ("ready", "available", None)
    assert imaging.machines().machines[0].power is Power.RUNNING
    done = [code for code in imaging.codes() if code in ("desktop.step_done", "desktop.ready")]
    assert done.count("desktop.step_done") == 4
    assert done.count("desktop.ready") == 1


@pytest.mark.parametrize(("last", "status"), [("set_unavailable", "unavailable"), ("set_available", "available")])
def test_the_last_step_says_whether_it_is_offered(imaging: Fleet, last: str, status: str) -> None:
    pool = imaging.pool(start_below=1, stop_at=1, actions=steps(last))
    imaging.fill(pool)
    settle(imaging, 1)
    assert [(row.stage, row.status) for row in living(imaging, pool)] == [("ready", status)]
    assert calls(imaging) == []


def test_a_desktop_between_its_steps_counts_as_a_build_and_an_agents_word_changes_nothing(fleet: Fleet) -> None:
    fleet.center("other", kind="fake")
    pool = fleet.pool(start_below=1, stop_at=3, center_id="other", actions=steps(("set_available", 600)))
    fleet.fill(pool)
    row = living(fleet, pool)[0]
    agent = fleet.agent(row.id)
    agent.report(facts=agent.facts, sessions=[])
    agent.report(facts=agent.facts, sessions=[])
    fleet.fill(pool)
    assert [row.stage for row in living(fleet, pool)] == ["preparing"]
    assert fleet.row(t.pools, pool).counts["building"] == 1
    fleet.clock.forward(seconds=600)
    fleet.work()
    assert [row.stage for row in living(fleet, pool)] == ["ready"]


def test_what_is_so_already_is_not_asked_for(imaging: Fleet) -> None:
    pool = imaging.pool(start_below=1, stop_at=1, actions=steps("start", "poweroff", ("poweroff", 30)))
    imaging.fill(pool)
    settle(imaging)
    assert calls(imaging) == ["shutdown"]
    assert [row.stage for row in living(imaging, pool)] == ["ready"]


def test_a_refusal_that_lasts_leaves_the_desktop_to_be_looked_at(fleet: Fleet) -> None:
    fleet.broker = replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "bare": Refusing})
    pool = fleet.pool(start_below=1, stop_at=1, actions=steps("snapshot", "set_available"))
    fleet.fill(pool)
    settle(fleet, 2)
    assert [row.stage for row in living(fleet, pool)] == ["preparing"]
    settle(fleet, 24)
    assert [(row.stage, row.status) for row in living(fleet, pool)] == [("ready", "unavailable")]
    assert "desktop.step_refused" in fleet.codes()
    assert fleet.state_of(pool).failures_in_row == 0


@pytest.mark.capability("S114", "S116")
@pytest.mark.parametrize(
    "point",
    ["step.before_call", "step.after_call", "step.before_call:2", "step.after_call:2", "step.before_record",
     "step.before_record:2", "step.before_record:3", "step.after_record", "step.after_record:2", "step.after_record:3"],
)  # fmt: skip
def test_a_kill_at_any_step_repeats_none_and_forgets_none(imaging: Fleet, point: str) -> None:
    pool = imaging.pool(start_below=2, stop_at=2, actions=steps("poweroff", "snapshot", "set_available"))

    def build(other: Fleet) -> None:
        provision.refill(other.broker, pool)
        for _ in range(6):
            other.clock.forward(seconds=15)
            other.work()

    killed(imaging, point, build)
    for _ in range(4):
        finish(imaging)
    assert [(row.stage, row.status) for row in living(imaging, pool)] == [("ready", "available")] * 2
    assert Counter(calls(imaging)) == {"shutdown": 2, "image": 2}


def test_a_pool_that_shrinks_takes_desktops_between_their_steps_first(imaging: Fleet) -> None:
    pool = imaging.pool(start_below=2, stop_at=2, enforce=True, actions=steps(("set_available", 60)))
    imaging.fill(pool)
    imaging.limits(pool, 1, 1)
    imaging.fill(pool)
    imaging.clock.forward(seconds=60)
    imaging.work()
    assert [row.stage for row in living(imaging, pool)] == ["ready"]
    assert len(imaging.machines().machines) == 1
