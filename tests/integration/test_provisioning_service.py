"""Pools make desktops: limits, quotas, failures, unknown outcomes, inventory."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, CLIENT, Bare, Fleet, second

from portico.domain import patience
from portico.domain.model import PowerAction
from portico.domain.templates import NAME_TAGS
from portico.errors import Conflict
from portico.jobs.runner import Runner
from portico.ports.cloud import Capabilities, MachineSpec
from portico.services import configure, connect, inventory, power, provision
from portico.services.claims import Claim
from portico.services.portal import offers
from portico.store import desktops, jobs
from portico.store import tables as t

pytestmark = pytest.mark.capability("S029", "S093")


def living(fleet: Fleet, pool: str) -> list:
    return fleet.rows(t.desktops, t.desktops.c.built_for_pool == pool, t.desktops.c.deleted_at.is_(None))


def nothing_leaked(fleet: Fleet) -> None:
    """Each machine is one desktop's, each desktop has one machine."""
    machines = Counter(machine.desktop_id for machine in fleet.machines().machines)
    rows = fleet.rows(t.desktops, t.desktops.c.deleted_at.is_(None))
    assert machines == Counter(row.id for row in rows)


@pytest.mark.capability("S009", "S010", "S095", "S098", "S099", "S109")
def test_a_pool_builds_up_to_its_limits_and_counts_what_it_has(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=3, stop_at=5)
    fleet.fill(pool)
    built = living(fleet, pool)
    assert [row.stage for row in built] == ["ready"] * 3
    assert sorted(row.name for row in built) == ["desktop-1", "desktop-2", "desktop-3"]
    counts = fleet.row(t.pools, pool).counts
    assert (counts["total"], counts["unassigned"], counts["building"]) == (3, 3, 0)
    fleet.limits(pool, 50, 5)
    fleet.fill(pool)
    assert len(living(fleet, pool)) == 5
    nothing_leaked(fleet)


@pytest.mark.capability("S095", "S098")
def test_builds_in_flight_count_so_that_two_looks_make_no_more_than_one(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=4, stop_at=10)
    for _ in range(3):
        provision.refill(fleet.broker, pool)
    assert len(living(fleet, pool)) == 4
    fleet.work()
    assert len(fleet.machines().machines) == 4


@pytest.mark.capability("S096")
def test_unavailable_desktops_count_as_unassigned(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=2, stop_at=10, start_unavailable=True)
    fleet.fill(pool)
    fleet.fill(pool)
    assert [row.status for row in living(fleet, pool)] == ["unavailable"] * 2


@pytest.mark.capability("S098", "S116")
def test_brokers_that_refill_at_once_never_pass_the_limit(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=20, stop_at=7)
    brokers = [fleet] if fleet.broker.db.is_sqlite else [fleet, second(fleet), second(fleet)]
    barrier = threading.Barrier(6)

    def refill(number: int) -> None:
        barrier.wait(30)
        provision.refill(brokers[number % len(brokers)].broker, pool)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(refill, range(6)))
    assert len(living(fleet, pool)) == 7
    fleet.work()
    nothing_leaked(fleet)
    for other in brokers[1:]:
        other.broker.db.dispose()


@pytest.mark.capability("S102")
def test_two_pools_that_name_alike_at_once_share_no_name(fleet: Fleet) -> None:
    pools = [fleet.pool(name, start_below=5, stop_at=5) for name in ("one", "two")]
    barrier = threading.Barrier(2)

    def refill(pool: str) -> None:
        barrier.wait(30)
        provision.refill(fleet.broker, pool)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(refill, pools))
    names = [row.name for row in fleet.rows(t.desktops)]
    assert len(names) == 10
    assert len(set(names)) == 10


@pytest.mark.capability("S102")
def test_a_name_may_be_given_again_when_its_desktop_is_gone(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    fleet.cloud().delete(living(fleet, pool)[0].external_id)
    fleet.scan()
    fleet.change(t.pools, pool, next_sequence=1)
    fleet.fill(pool)
    assert [row.name for row in living(fleet, pool)] == ["desktop-1"]


@pytest.mark.capability("S102")
def test_every_tag_that_a_form_accepts_is_filled_in(fleet: Fleet) -> None:
    template = "-".join(f"{{{tag}}}" for tag in NAME_TAGS)
    pool = fleet.pool("Lab", start_below=1, stop_at=1, name_template=template)
    fleet.fill(pool)
    parts = living(fleet, pool)[0].name.split("-")
    assert parts[:4] == ["1", "Lab", CENTER, "Tenant"]
    assert len(parts[4]) == 4


@pytest.mark.capability("S005")
def test_a_full_quota_pauses_a_pool_and_it_goes_on_when_there_is_room(fleet: Fleet) -> None:
    fleet.settings(quota=2)
    pool = fleet.pool(start_below=5, stop_at=5)
    fleet.fill(pool)
    assert Counter(row.stage for row in living(fleet, pool)) == {"ready": 2, "intent": 3}
    assert fleet.state_of(pool).stopped_reason == "pool.quota"
    for _ in range(15):  # however long it takes, nothing fails and nobody is told twice
        fleet.clock.forward(61)
        fleet.work()
    assert fleet.codes().count("pool.quota") == 1
    assert "desktop.build_failed" not in fleet.codes()
    fleet.settings(quota=10)
    fleet.clock.forward(61)
    fleet.work()
    assert [row.stage for row in living(fleet, pool)] == ["ready"] * 5
    assert fleet.state_of(pool).stopped_reason == ""
    nothing_leaked(fleet)


@pytest.mark.capability("S093")
def test_three_failed_builds_stop_a_pool_and_say_why(fleet: Fleet) -> None:
    fleet.settings(errors="create:refused")
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    state = fleet.state_of(pool)
    assert (state.failures_in_row, state.stopped_reason) == (1, "pool.waiting_after_failure")
    for _ in range(6):
        fleet.clock.forward(minutes=10)
        fleet.work()
    assert fleet.state_of(pool).stopped_reason == "pool.stopped_by_errors"
    assert fleet.codes().count("desktop.build_failed") == 3
    assert fleet.codes().count("pool.stopped_by_errors") == 1
    assert fleet.machines().machines == ()
    fleet.line(pool)
    assert offers(fleet.broker, fleet.log_in()).offers == ()


@pytest.mark.capability("S093")
def test_a_machine_that_the_cloud_cannot_build_is_removed_and_counted(fleet: Fleet) -> None:
    fleet.settings(errors="create:build_error")
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    assert fleet.machines().machines == ()
    assert living(fleet, pool) == []
    assert fleet.state_of(pool).failures_in_row == 1


@pytest.mark.capability("S092", "S093")
def test_a_pool_whose_rule_misses_what_it_builds_stops_and_says_so(fleet: Fleet) -> None:
    rule = {"rules": [{"attribute": "name", "operator": "bw", "text": "other"}]}
    pool = fleet.pool(start_below=2, stop_at=9, rule=rule)
    fleet.fill(pool)
    fleet.fill(pool)
    assert fleet.state_of(pool).stopped_reason == "pool.rule_misses_builds"
    assert len(living(fleet, pool)) == 2


@pytest.mark.capability("S009")
def test_a_create_whose_answer_was_lost_is_adopted_and_never_doubled(fleet: Fleet) -> None:
    fleet.settings(errors="create:crash_after_accept")
    pool = fleet.pool(start_below=2, stop_at=2)
    fleet.fill(pool)
    fleet.scan()
    fleet.scan()
    fleet.clock.forward(minutes=10)
    fleet.work()
    assert [row.stage for row in living(fleet, pool)] == ["ready", "ready"]
    assert fleet.codes().count("desktop.adopted") == 2
    nothing_leaked(fleet)


@pytest.mark.capability("S009")
def test_a_create_that_never_came_true_is_repeated_only_after_two_complete_passes(fleet: Fleet) -> None:
    fleet.settings(errors="create:error")
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    assert living(fleet, pool)[0].stage == "creating"
    fleet.settings()
    fleet.scan()
    fleet.scan()
    assert living(fleet, pool)[0].stage == "creating"  # its deadline has not passed
    fleet.clock.forward(provision.CREATE_SECONDS + 1)
    fleet.settings(errors="scan:partial")
    fleet.scan()
    fleet.scan()
    assert living(fleet, pool)[0].stage == "creating"  # what a partial pass does not see may be there
    fleet.settings()
    fleet.scan()
    assert living(fleet, pool)[0].stage == "creating"
    fleet.scan()
    assert living(fleet, pool)[0].stage == "intent"
    fleet.work()
    assert living(fleet, pool)[0].stage == "ready"
    nothing_leaked(fleet)


@pytest.mark.capability("S009")
def test_an_overdue_create_makes_the_next_pass_a_full_one(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.change(t.centers, CENTER, body={"full_pass_seconds": 900})
    fleet.scan()
    fleet.settings(errors="create:error")
    fleet.fill(pool)
    fleet.settings()
    fleet.clock.forward(provision.CREATE_SECONDS + 1)
    for _ in range(2):
        inventory.scan(fleet.broker, CENTER)
    assert living(fleet, pool)[0].stage == "intent"


@pytest.mark.capability("S090", "S029")
def test_a_machine_deleted_outside_ends_its_assignment_and_the_pool_refills(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=2)
    fleet.fill(pool)
    line = fleet.line(pool)
    me = fleet.log_in()
    mine = connect.connect(fleet.broker, me, f"{line}.0", CLIENT)
    fleet.cloud().delete(fleet.row(t.desktops, mine.desktop_id).external_id)
    fleet.scan()
    assert fleet.row(t.desktops, mine.desktop_id).stage == "gone"
    assert fleet.row(t.assignments, mine.assignment_id).state == "released"
    assert "desktop.deleted_outside" in fleet.codes()
    assert connect.view(fleet.broker, me, mine.id).state == "closed"
    fleet.work()
    assert len(living(fleet, pool)) == 1


@pytest.mark.capability("S090")
def test_a_partial_pass_takes_nothing_for_gone(fleet: Fleet) -> None:
    found = fleet.desktops(6)
    fleet.settings(errors="scan:partial")
    fleet.scan()
    assert all(fleet.row(t.desktops, row.id).stage == "ready" for row in found)
    fleet.settings()
    for row in found:
        fleet.cloud().delete(row.external_id)
    fleet.scan()
    assert all(fleet.row(t.desktops, row.id).stage == "gone" for row in found)


@pytest.mark.capability("S090")
def test_a_center_that_is_away_is_shown_so_and_loses_nothing(fleet: Fleet) -> None:
    found = fleet.desktops(2)
    fleet.settings(errors="scan:error")
    with pytest.raises(Exception, match="failed, as ordered"):
        fleet.scan()
    assert fleet.row(t.centers, CENTER).status == "offline"
    fleet.settings(build_seconds="soon")
    with pytest.raises(Exception, match="cannot be used"):
        fleet.scan()
    assert "cannot be used" in fleet.row(t.centers, CENTER).status_reason
    fleet.settings()
    fleet.scan()
    assert fleet.row(t.centers, CENTER).status == "online"
    assert all(fleet.row(t.desktops, row.id).stage == "ready" for row in found)


def test_a_center_whose_settings_cannot_be_used_leaves_no_build_in_doubt(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    provision.refill(fleet.broker, pool)
    fleet.settings(build_seconds="soon")
    fleet.work()
    assert living(fleet, pool)[0].stage == "intent"
    fleet.settings()
    fleet.clock.forward(minutes=5)
    fleet.work()
    assert living(fleet, pool)[0].stage == "ready"


@pytest.mark.capability("S090", "S102")
def test_a_machine_renamed_in_the_cloud_is_renamed_here_even_to_a_name_that_another_has(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=2, stop_at=2)
    fleet.fill(pool)
    first, other = living(fleet, pool)
    cloud = fleet.cloud()
    with cloud._journal.writing() as (records, write):
        write(records[first.external_id]._replace(name=other.name))
    fleet.scan()
    assert fleet.row(t.desktops, first.id).name == other.name
    nothing_leaked(fleet)


@pytest.mark.capability("S090")
def test_two_machines_of_one_name_are_two_desktops(fleet: Fleet) -> None:
    for id in ("a", "b"):
        fleet.cloud().create(MachineSpec(id, "elsewhere", "same", "fake-linux"))
    fleet.scan()
    assert [row.name for row in fleet.rows(t.desktops)] == ["same", "same"]


@pytest.mark.capability("S111", "S112")
def test_a_center_says_whether_what_is_found_may_be_deleted_and_offered(fleet: Fleet) -> None:
    fleet.change(t.centers, CENTER, body={"new_as_deletable": True, "start_unavailable": True})
    found = fleet.desktops(1)[0]
    assert (found.deletable, found.status) == (True, "unavailable")


@pytest.mark.capability("S111", "S112")
def test_a_pool_says_whether_what_it_builds_may_be_deleted_and_offered(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1, deletable=False, start_unavailable=True)
    fleet.fill(pool)
    built = living(fleet, pool)[0]
    assert (built.deletable, built.status) == (False, "unavailable")
    with pytest.raises(Conflict, match="not marked as deletable"):
        power.delete_desktop(fleet.broker, actor(fleet.broker), built.id)


@pytest.mark.capability("S111")
def test_a_machine_with_our_tag_and_no_row_is_reported_once_and_left_alone(fleet: Fleet) -> None:
    fleet.cloud().create(MachineSpec("stray", fleet.broker.deployment_id, "stray", "fake-linux"))
    fleet.scan()
    fleet.scan()
    assert fleet.codes().count("machine.unknown") == 1
    assert len(fleet.machines().machines) == 1
    assert fleet.rows(t.desktops) == []


@pytest.mark.capability("S111")
def test_a_machine_that_lingers_after_its_deletion_is_deleted_again_and_no_stranger(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    built = living(fleet, pool)[0]
    fleet.limits(pool, 0, 0)
    power.delete_desktop(fleet.broker, actor(fleet.broker), built.id)
    fleet.work()
    cloud = fleet.cloud()
    with cloud._journal.writing() as (records, write):
        write(records[built.external_id]._replace(gone=False))
    fleet.scan()
    assert fleet.machines().machines == ()
    assert "machine.unknown" not in fleet.codes()


@pytest.mark.capability("S111")
def test_a_desktop_is_not_taken_for_gone_while_its_create_may_come_true(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.settings(errors="create:error")
    fleet.fill(pool)
    doubtful = living(fleet, pool)[0]
    fleet.settings()
    fleet.limits(pool, 0, 0)
    power.delete_desktop(fleet.broker, actor(fleet.broker), doubtful.id)
    fleet.work()
    fleet.scan()
    assert fleet.row(t.desktops, doubtful.id).stage == "deleting"
    fleet.cloud().create(MachineSpec(doubtful.id, fleet.broker.deployment_id, doubtful.name, "fake-linux"))
    fleet.clock.forward(provision.CREATE_SECONDS + 1)
    fleet.work()
    assert fleet.row(t.desktops, doubtful.id).stage == "gone"
    assert fleet.machines().machines == ()


@pytest.mark.capability("S090")
def test_power_actions_reach_the_cloud_and_what_it_refuses_is_said(fleet: Fleet) -> None:
    found = fleet.desktops(1)[0]
    power.power(fleet.broker, actor(fleet.broker), found.id, PowerAction.STOP)
    fleet.work()
    fleet.scan()
    assert fleet.row(t.desktops, found.id).power == "stopped"
    power.power(fleet.broker, actor(fleet.broker), found.id, PowerAction.REBOOT)
    fleet.work()
    assert "desktop.power_refused" in fleet.codes()


@pytest.mark.capability("S097")
def test_saving_a_pool_and_a_failed_stop_are_followed_by_a_look_at_its_limits(fleet: Fleet, with_hooks: None) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.change(t.pools, pool, stopped_reason="pool.stopped_by_errors", failures_in_row=3)
    configure.update_item(fleet.broker, actor(fleet.broker), "pools", pool, {"notes": "x"})
    fleet.work()
    assert [row.stage for row in living(fleet, pool)] == ["ready"]


def test_what_a_deleted_pool_had_ordered_is_not_built(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=3, stop_at=3)
    provision.refill(fleet.broker, pool)
    fleet.change(t.pools, pool, deleted_at=fleet.clock())
    fleet.work()
    assert living(fleet, pool) == []
    assert fleet.machines().machines == ()


def test_a_build_whose_claim_was_taken_over_asks_nothing_of_the_cloud(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    provision.refill(fleet.broker, pool)
    row = living(fleet, pool)[0]
    job = fleet.rows(t.jobs, t.jobs.c.kind == "desktop_build")[0]
    with fleet.broker.db.write() as conn:
        assert jobs.claim(conn, job, "other", fleet.clock(), 60) == 1
    with pytest.raises(Conflict):
        provision.build(fleet.broker, row.id, Claim(job.id, 0))
    assert fleet.machines().machines == ()
    with fleet.broker.db.read() as conn:
        assert desktops.list_of_pool(conn, pool)[0].stage == "intent"


class Crowded(Bare):
    """A cloud that counts how many create calls run in it at once."""

    running: ClassVar[int] = 0
    most: ClassVar[int] = 0
    meet: ClassVar[threading.Semaphore]
    door: ClassVar[threading.Lock] = threading.Lock()

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), creates_at_a_time=2)

    def create(self, spec: MachineSpec) -> str:
        with Crowded.door:
            Crowded.running += 1
            Crowded.most = max(Crowded.most, Crowded.running)
        Crowded.meet.acquire(timeout=0.3)  # time for others to come in, if they may
        try:
            return super().create(spec)
        finally:
            with Crowded.door:
                Crowded.running -= 1


@pytest.mark.capability("S009", "S116")
def test_all_brokers_together_keep_to_the_creates_that_a_center_takes_at_a_time(fleet: Fleet) -> None:
    Crowded.running = Crowded.most = 0
    Crowded.meet = threading.Semaphore(0)
    crowded = Fleet(replace(fleet.broker, cloud_drivers={**fleet.broker.cloud_drivers, "bare": Crowded}), fleet.clock)
    brokers = [crowded] * 4 if fleet.broker.db.is_sqlite else [crowded, *(second(crowded) for _ in range(3))]
    pool = crowded.pool(start_below=7, stop_at=7)
    provision.refill(crowded.broker, pool)

    def work(one: Fleet) -> None:
        runner = Runner(one.broker)
        runner.run_due()
        runner.stop(0)

    for _ in range(10):
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(work, brokers))
        fleet.clock.forward(provision.TURN_SECONDS)
    fleet.scan()
    assert [row.stage for row in living(fleet, pool)] == ["ready"] * 7
    assert Crowded.most == 2
    nothing_leaked(fleet)
    for other in {id(one.broker): one.broker for one in brokers[1:]}.values():
        if other is not crowded.broker:
            other.db.dispose()


@pytest.mark.capability("S009")
def test_what_a_cloud_never_answered_holds_up_the_others_only_for_a_while(fleet: Fleet) -> None:
    fleet.settings(errors="create:error")
    pool = fleet.pool(start_below=5, stop_at=5)
    fleet.fill(pool)
    fleet.settings()
    stages = Counter(row.stage for row in living(fleet, pool))
    assert stages == {"creating": 3, "intent": 2}
    fleet.clock.forward(provision.CREATE_SECONDS + 1)
    fleet.work()
    assert Counter(row.stage for row in living(fleet, pool))["ready"] >= 2


@pytest.mark.capability("S009", "S093")
def test_a_slow_image_is_given_the_time_that_it_needs(fleet: Fleet) -> None:
    """A machine that boots for 50 minutes is not a failure, and the next one of its image is given three times as long."""
    slow = fleet.center("slow", kind="fake")
    pool = fleet.pool(start_below=1, stop_at=2, center_id=slow)
    fleet.fill(pool)
    inventory.scan(fleet.broker, slow, full=True)
    row = living(fleet, pool)[0]
    assert row.stage == "preparing"
    assert row.deadline_at - fleet.clock() == patience.UNKNOWN_BOOT
    fleet.clock.forward(minutes=50)
    fleet.agent(row.id)
    inventory.scan(fleet.broker, slow, full=True)
    assert fleet.row(t.desktops, row.id).stage == "ready"
    [image] = fleet.rows(t.images, t.images.c.center_id == slow, t.images.c.external_id == "fake-linux")
    assert image.boot_seconds == 50 * 60
    fleet.limits(pool, 2, 2)
    fleet.fill(pool)
    inventory.scan(fleet.broker, slow, full=True)
    [second_one] = [one for one in living(fleet, pool) if one.id != row.id]
    assert second_one.deadline_at - fleet.clock() == timedelta(minutes=150)
    fleet.clock.forward(minutes=151)
    inventory.scan(fleet.broker, slow, full=True)
    assert fleet.row(t.desktops, second_one.id).stage in ("failed", "deleting")


@pytest.mark.capability("S009", "S087")
def test_a_changed_password_is_no_fault_of_the_pools(fleet: Fleet) -> None:
    fleet.settings(errors="create:login")
    pool = fleet.pool(start_below=4, stop_at=4)
    fleet.fill(pool)
    for _ in range(4):
        fleet.clock.forward(provision.LOGIN_SECONDS)
        fleet.work()
    assert {row.stage for row in living(fleet, pool)} == {"intent"}
    assert (fleet.row(t.pools, pool).failures_in_row, fleet.row(t.pools, pool).stopped_reason) == (0, "")
    fleet.settings()
    fleet.clock.forward(provision.LOGIN_SECONDS)
    fleet.work()
    assert [row.stage for row in living(fleet, pool)] == ["ready"] * 4
    nothing_leaked(fleet)
