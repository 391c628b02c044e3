"""The work queue: each job once, one per lane, retaken from the dead."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update
from tests.brokers import OTHER, TENANT, actor
from tests.fleet import CENTER, CLIENT, SCOPE, Fleet, second

from portico.domain.jobs import CenterScan, DesktopPower, Nothing, OfPool
from portico.errors import CloudError, Conflict
from portico.jobs import cadence
from portico.jobs.runner import Runner
from portico.services import configure, connect, housekeeping, queue
from portico.services.claims import Claim
from portico.services.queueing import When, enqueue
from portico.store import jobs
from portico.store import tables as t

pytestmark = pytest.mark.capability("S116")
DEADLINE = 60


def put(fleet: Fleet, kind: str, payload: Any, **more: Any) -> str:
    with fleet.broker.db.write() as conn:
        return enqueue(fleet.broker, conn, kind, payload, **more)


def insert_jobs(fleet: Fleet, *rows: dict[str, Any]) -> None:
    now = fleet.clock()
    usual = {
        "tenant_id": None, "kind": "pool_refill", "version": 1, "state": "queued", "run_at": now, "attempts": 0, "fence": 0,
        "error": "", "reason": None, "created_at": now, "payload": {"pool_id": "none"},
    }  # fmt: skip
    with fleet.broker.db.write() as conn:
        conn.execute(insert(t.jobs), [usual | {"lane": row["id"], "waiting_key": row["id"]} | row for row in rows])


def take(fleet: Fleet, job_id: str, seconds: int = 60) -> int | None:
    with fleet.broker.db.write() as conn:
        return jobs.claim(conn, fleet.row(t.jobs, job_id), fleet.broker.id, fleet.clock(), seconds)


def until(condition: Any) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        threading.Event().wait(0.05)


@pytest.mark.capability("S115", "S116")
def test_each_of_many_jobs_runs_once_however_many_claim(fleet: Fleet) -> None:
    insert_jobs(fleet, *({"id": f"j{n:03}", "lane": f"lane{n % 100}"} for n in range(300)))
    brokers = [fleet] if fleet.broker.db.is_sqlite else [fleet, second(fleet)]
    ran: Counter[str] = Counter()
    running: Counter[str] = Counter()
    crowded = []
    guard = threading.Lock()
    barrier = threading.Barrier(6)

    def work(number: int) -> None:
        db, mine = brokers[number % len(brokers)].broker.db, f"broker{number % len(brokers)}"
        barrier.wait(DEADLINE)
        while True:
            with db.read() as conn:
                due = jobs.due(conn, fleet.clock(), {"pool_refill": 1}, 20)
                left = jobs.count_by_state(conn, SCOPE).get("queued", 0)
            if not left:
                return
            for row in due:
                with db.write() as conn:
                    fence = jobs.claim(conn, row, mine, fleet.clock(), 60)
                if fence is None:
                    continue
                with guard:
                    ran[row.id] += 1
                    running[row.lane] += 1
                    crowded.extend([row.lane] * (running[row.lane] > 1))
                with guard:
                    running[row.lane] -= 1
                with db.write() as conn:
                    assert jobs.finish(conn, row.id, fence, jobs.DONE, fleet.clock())

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert (len(ran), set(ran.values()), crowded) == (300, {1}, [])
    for other in brokers[1:]:
        other.broker.db.dispose()


def test_one_waits_per_key_and_the_sooner_time_counts(fleet: Fleet) -> None:
    pool = fleet.pool()
    later = fleet.clock() + timedelta(hours=1)
    first = put(fleet, "pool_refill", OfPool(pool), when=When(later))
    put(fleet, "pool_refill", OfPool(pool))
    put(fleet, "pool_refill", OfPool(pool), when=When(later))
    waiting = fleet.rows(t.jobs, t.jobs.c.kind == "pool_refill")
    assert [(row.id, row.run_at) for row in waiting] == [(first, fleet.clock())]


def test_a_job_that_is_wanted_again_while_it_runs_waits_for_its_lane(fleet: Fleet) -> None:
    pool = fleet.pool()
    first = put(fleet, "pool_refill", OfPool(pool))
    fence = take(fleet, first)
    second_one = put(fleet, "pool_refill", OfPool(pool))
    assert second_one != first
    assert put(fleet, "pool_refill", OfPool(pool)) == second_one
    with fleet.broker.db.read() as conn:
        assert jobs.due(conn, fleet.clock(), {"pool_refill": 1}, 9) == []
    assert take(fleet, second_one) is None
    with fleet.broker.db.write() as conn:
        jobs.finish(conn, first, fence or 0, jobs.DONE, fleet.clock())
    assert take(fleet, second_one) == 1


def test_who_wants_a_job_that_waits_keeps_it_from_running_before_his_change_is_there(fleet: Fleet) -> None:
    """Else the job could count what the change has not written yet, and nobody would look again."""
    if fleet.broker.db.is_sqlite:
        return  # there is one writer at a time
    pool = fleet.pool()
    job = put(fleet, "pool_refill", OfPool(pool))
    claimed = threading.Event()

    def claim() -> None:
        take(fleet, job)
        claimed.set()

    with fleet.broker.db.write() as conn:
        enqueue(fleet.broker, conn, "pool_refill", OfPool(pool))
        thread = threading.Thread(target=claim)
        thread.start()
        assert not claimed.wait(0.5)
    assert claimed.wait(DEADLINE)
    thread.join()


def test_a_dead_brokers_job_is_retaken_and_its_writes_are_refused(fleet: Fleet) -> None:
    job = put(fleet, "purge", Nothing())
    first = take(fleet, job)
    with fleet.broker.db.write() as conn:
        assert jobs.retake(conn, fleet.clock()) == 0
    fleet.clock.forward(61)
    with fleet.broker.db.write() as conn:
        assert jobs.retake(conn, fleet.clock()) == 1
    again = take(fleet, job)
    assert (first, again) == (1, 2)
    with fleet.broker.db.write() as conn:
        with pytest.raises(Conflict):
            Claim(job, 1).check(conn)
        Claim(job, 2).check(conn)
        assert not jobs.finish(conn, job, 1, jobs.DONE, fleet.clock())
        assert not jobs.run_again(conn, job, 1, fleet.clock())
        assert jobs.finish(conn, job, 2, jobs.DONE, fleet.clock())


def test_what_runs_is_renewed_and_what_nobody_is_at_is_not(fleet: Fleet) -> None:
    insert_jobs(fleet, {"id": "held"}, {"id": "lost"})
    take(fleet, "held")
    take(fleet, "lost")  # its end could not be written down
    fleet.clock.forward(50)
    with fleet.broker.db.write() as conn:
        jobs.renew(conn, fleet.broker.id, ["held"], fleet.clock() + timedelta(seconds=60))
    fleet.clock.forward(20)
    with fleet.broker.db.write() as conn:
        assert jobs.retake(conn, fleet.clock()) == 1
    assert (fleet.row(t.jobs, "held").state, fleet.row(t.jobs, "lost").state) == ("running", "queued")


def test_alone_a_starting_broker_takes_over_at_once(fleet: Fleet) -> None:
    insert_jobs(fleet, {"id": "left"})
    with fleet.broker.db.write() as conn:
        jobs.claim(conn, fleet.row(t.jobs, "left"), "dead", fleet.clock(), 60)
        assert jobs.retake(conn, fleet.clock(), fleet.broker.id) == 1


def test_failures_are_tried_again_later_each_time_and_then_said(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    fleet.fill(pool)
    desktop = fleet.rows(t.desktops)[0]
    fleet.settings(errors="power:error")
    job = put(fleet, "desktop_power", DesktopPower(desktop.id, "stop"), tenant_id=TENANT)
    waits = []
    for _ in range(9):
        Runner(fleet.broker).run_due()
        row = fleet.row(t.jobs, job)
        if row.state != "queued":
            break
        waits.append((row.run_at - fleet.clock()).total_seconds())
        fleet.clock.at = row.run_at
    assert waits == [30, 60, 120, 240]
    assert (row.state, row.attempts) == ("failed", 5)
    assert fleet.codes().count("job.failed") == 1
    queue.retry(fleet.broker, actor(fleet.broker), job)
    fleet.settings()
    fleet.work()
    fleet.scan()
    assert fleet.row(t.desktops, desktop.id).power == "stopped"


def test_periodic_jobs_come_again_also_when_they_failed_or_their_center_is_away(fleet: Fleet) -> None:
    fleet.settings(errors="scan:error")
    cadence.ensure(fleet.broker)
    for _ in range(5):
        Runner(fleet.broker).run_due()
        fleet.clock.forward(minutes=2)
    waiting = {row.kind for row in fleet.rows(t.jobs, t.jobs.c.state == "queued")}
    assert {"center_scan", "agents_lost", "purge"} <= waiting
    fleet.change(t.centers, CENTER, deleted_at=fleet.clock())
    for _ in range(3):
        Runner(fleet.broker).run_due()
        fleet.clock.forward(minutes=2)
    assert fleet.rows(t.jobs, t.jobs.c.state == "queued", t.jobs.c.kind == "center_scan") == []


def test_a_periodic_job_that_fails_for_good_is_queued_anew(fleet: Fleet) -> None:
    pool = fleet.pool(start_below=1, stop_at=1)
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.pools).values(body={"provisioning": "broken"}))
    put(fleet, "pool_stats", OfPool(pool))
    for _ in range(4):
        Runner(fleet.broker).run_due()
        fleet.clock.forward(minutes=5)
    states = Counter(row.state for row in fleet.rows(t.jobs, t.jobs.c.kind == "pool_stats"))
    assert states == {"failed": 1, "queued": 1}


def test_kinds_and_versions_of_a_newer_broker_are_left_alone_and_hold_up_nothing(fleet: Fleet) -> None:
    newer = [{"id": f"v{n}", "version": 9} for n in range(25)]
    insert_jobs(fleet, *newer, {"id": "kind", "kind": "something_new"})
    fleet.clock.forward(1)
    mine = put(fleet, "agents_lost", Nothing())
    Runner(fleet.broker).run_due()
    assert fleet.row(t.jobs, mine).state == "done"
    assert {fleet.row(t.jobs, row["id"]).state for row in newer} | {fleet.row(t.jobs, "kind").state} == {"queued"}


@pytest.mark.capability("S089", "S097", "S109")
def test_new_pools_and_centers_get_their_regular_jobs(fleet: Fleet, with_hooks: None) -> None:
    me = actor(fleet.broker)
    center = configure.create_item(fleet.broker, me, "centers", {"name": "New", "kind": "bare", "settings": {}})
    pool = configure.create_item(fleet.broker, me, "pools", {"name": "New"})
    queued = {(row.kind, row.payload.get("center_id", row.payload.get("pool_id"))) for row in fleet.rows(t.jobs)}
    assert {("center_scan", center["id"]), ("pool_refill", pool["id"]), ("pool_members", pool["id"])} <= queued
    cadence.ensure(fleet.broker)
    cadence.ensure(fleet.broker)
    kinds = Counter(row.kind for row in fleet.rows(t.jobs, t.jobs.c.state == "queued") if pool["id"] in row.lane)
    assert kinds == {"pool_refill": 1, "pool_members": 1, "pool_stats": 1, "pool_history_stats": 1}


def test_an_asked_for_scan_is_followed_by_ordinary_ones(fleet: Fleet) -> None:
    put(fleet, "center_scan", CenterScan(CENTER, full=True))
    Runner(fleet.broker).run_due()
    waiting = fleet.rows(t.jobs, t.jobs.c.kind == "center_scan", t.jobs.c.state == "queued")
    assert [row.payload["full"] for row in waiting] == [False]


@pytest.mark.capability("S114")
def test_a_runner_works_until_it_is_stopped_and_leaves_nothing_half_done(fleet: Fleet) -> None:
    runner = Runner(fleet.broker)
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        kind, Settings = "slow", fleet.broker.cloud_drivers["bare"].Settings

        def __init__(self, *_: Any) -> None:
            begun.set()
            go_on.wait(DEADLINE)
            raise CloudError("too slow")

    fleet.broker.cloud_drivers["slow"] = Slow  # type: ignore[index]
    fleet.center("slow", kind="slow")
    runner.start(alone=True)
    until(lambda: begun.is_set())
    until(lambda: fleet.rows(t.jobs, t.jobs.c.kind == "purge", t.jobs.c.state == "done"))
    stopping = threading.Thread(target=runner.stop)
    stopping.start()
    go_on.set()
    stopping.join(DEADLINE)
    assert fleet.rows(t.jobs, t.jobs.c.state == "running") == []
    late = put(fleet, "agents_lost", Nothing(), when=When(fleet.clock()))
    assert fleet.row(t.jobs, late).state == "queued"


def test_purging_honours_each_tenants_setting(fleet: Fleet) -> None:
    me = actor(fleet.broker)
    configure.update_item(fleet.broker, me, "settings", "logs.days", {"value": 5})
    with fleet.broker.db.write() as conn:
        event = {
            "at": fleet.clock(),
            "level": "info",
            "code": "login.ok",
            "params": {},
            "actor": "x",
            "correlation": "",
        }
        conn.execute(insert(t.events), [event | {"tenant_id": TENANT}, event | {"tenant_id": OTHER}])
        answer = {"user_id": "user", "request_hash": "x", "answer": {}, "created_at": fleet.clock()}
        conn.execute(insert(t.idempotency).values(key="old", **answer))
    desktop = fleet.desktops(1)[0]
    fleet.cloud().delete(desktop.external_id)
    fleet.scan()
    fleet.clock.forward(days=6)
    removed = housekeeping.purge(fleet.broker)
    assert removed["idempotency"] == 1
    assert removed["desktops"] == 1
    assert {row.tenant_id for row in fleet.rows(t.events, t.events.c.code == "login.ok")} == {OTHER}
    fleet.clock.forward(days=30)
    housekeeping.purge(fleet.broker)
    assert fleet.rows(t.events) == []


def test_what_still_hangs_together_is_not_purged(fleet: Fleet) -> None:
    fleet.desktops(1)
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", replace(CLIENT, kind="connect"), "vnc")
    fleet.clock.forward(days=40)
    housekeeping.purge(fleet.broker)
    assert fleet.row(t.assignments, got.assignment_id).state == "assigned"  # type: ignore[union-attr]
    fleet.cloud().delete(fleet.rows(t.desktops)[0].external_id)
    fleet.scan()
    fleet.clock.forward(days=40)
    for _ in range(2):
        housekeeping.purge(fleet.broker)
    assert (fleet.rows(t.assignments), fleet.rows(t.desktops), fleet.rows(t.connections)) == ([], [], [])


def test_a_broker_of_another_claim_sees_only_what_waits(fleet: Fleet) -> None:
    other = replace(fleet.broker, id="other")
    job = put(fleet, "agents_lost", Nothing())
    take(fleet, job)
    assert Runner(other).run_due() == 0
    with fleet.broker.db.write() as conn:
        conn.execute(update(t.jobs).values(lease_until=fleet.clock() - timedelta(seconds=1)))
        jobs.retake(conn, fleet.clock())
    assert Runner(other).run_due() == 1
