"""The runner: claims due jobs, runs them in threads, finishes or retries them. All brokers are equal; any takes any job."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from portico import logs
from portico.domain.jobs import KINDS, from_json
from portico.domain.retry import decide
from portico.errors import Conflict, PorticoError, Unavailable
from portico.jobs import cadence
from portico.jobs.table import HANDLERS
from portico.services import housekeeping
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.queueing import When, enqueue
from portico.store import events, jobs

POLL_SECONDS = 0.25
HEARTBEAT_SECONDS = 5.0
RENEW_SECONDS = 20.0
LEASE_SECONDS = 60
CADENCE_SECONDS = 30.0
WORKERS = 6
ENDING = ("center_scan", "center_leaks", "directory_people")  # without a next run, when their center or directory has

log = logs.get(__name__)


class Runner:
    """Runs jobs for one broker until it is stopped."""

    def __init__(self, broker: Broker, workers: int = WORKERS) -> None:
        """Prepare; `start` begins."""
        self._broker = broker
        self._stopping = threading.Event()
        self._number = workers
        self._room = threading.Semaphore(workers)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="job")
        self._at_work: set[str] = set()  # ids of the jobs that a worker is at
        self._threads = [
            threading.Thread(target=self._claim_forever, name="jobs", daemon=True),
            threading.Thread(target=self._live, name="heartbeat", daemon=True),
        ]

    def start(self, *, alone: bool) -> None:
        """Begin. `alone` says that no other broker can be there, so that whatever runs is a dead one's (SQLite)."""
        with self._broker.db.write() as conn:
            jobs.retake(conn, self._broker.now(), self._broker.id if alone else None)
        cadence.ensure(self._broker)
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Claim no more, and wait so long for what runs; the rest is retaken by others when its lease ends."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))
        for _ in range(self._number):  # whoever has all the room knows that nobody is at work
            self._room.acquire(timeout=max(0.0, deadline - time.monotonic()))
        self._workers.shutdown(wait=False, cancel_futures=True)

    def run_due(self) -> int:
        """Run in this thread what is due now and what follows from it at once; returns how many jobs that were."""
        number = 0
        while due := self._due():
            before = number
            for row in due:
                fence = self._claim(row)
                if fence is not None:
                    self._run(row, Claim(row.id, fence, row.attempts + 1))
                    number += 1
            if number == before:
                break
        return number

    def _live(self) -> None:
        """Give signs of life, renew leases, take over from the dead, and see that periodic jobs are queued."""
        renewed = looked = time.monotonic()
        while not self._stopping.wait(HEARTBEAT_SECONDS):
            try:
                housekeeping.beat(self._broker)
                if time.monotonic() - renewed >= RENEW_SECONDS:
                    renewed = time.monotonic()
                    self._renew()
                if time.monotonic() - looked >= CADENCE_SECONDS:
                    looked = time.monotonic()
                    cadence.ensure(self._broker)
            except Exception:
                log.warning("heartbeat failed", exc_info=True)

    def _renew(self) -> None:
        now = self._broker.now()
        with self._broker.db.write() as conn:
            # Only what a worker is at: a job whose end could not be written down is retaken when its lease is over.
            jobs.renew(conn, self._broker.id, list(self._at_work), now + timedelta(seconds=LEASE_SECONDS))
            retaken = jobs.retake(conn, now)
        if retaken:
            log.info("jobs of dead brokers retaken", number=retaken)

    def _claim_forever(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            try:
                while self._claim_some():
                    pass
            except Exception:
                log.warning("looking for jobs failed", exc_info=True)
                self._stopping.wait(1.0)

    def _claim_some(self) -> bool:
        """Claim what is due, as far as there is room; returns whether something was claimed."""
        claimed = False
        lanes: set[str] = set()
        for row in self._due():
            if row.lane in lanes or self._stopping.is_set():
                continue
            if not self._room.acquire(blocking=False):
                return False
            fence = self._claim(row)
            if fence is None:
                self._room.release()
                continue
            lanes.add(row.lane)
            claimed = True
            self._at_work.add(row.id)
            self._workers.submit(self._work, row, Claim(row.id, fence, row.attempts + 1))
        return claimed

    def _due(self) -> list[Any]:
        with self._broker.db.read() as conn:
            return jobs.due(conn, self._broker.now(), {kind: KINDS[kind].version for kind in HANDLERS}, 20)

    def _work(self, row: Any, claim: Claim) -> None:
        """Run a job in a worker's thread."""
        try:
            self._run(row, claim)
        except Exception:
            log.warning("the end of a job could not be written down", kind=row.kind, job=row.id, exc_info=True)
        finally:
            self._at_work.discard(row.id)
            self._room.release()

    def _claim(self, row: Any) -> int | None:
        kind = KINDS[row.kind]
        with self._broker.db.write() as conn:
            return jobs.claim(conn, row, self._broker.id, self._broker.now(), kind.lease_seconds)

    def _run(self, row: Any, claim: Claim) -> None:
        begun = time.monotonic()
        try:
            again = HANDLERS[row.kind](self._broker, from_json(row.kind, row.payload), claim)
            self._end(row, claim, jobs.DONE, "", again)
            outcome = "done"
        except Conflict as problem:
            outcome = f"given up: {problem.sentence}"
            self._end(row, claim, jobs.CANCELLED, problem.sentence, None)
        except PorticoError as problem:
            outcome = problem.sentence
            self._retry(row, claim, problem.sentence, problem.retry_after if isinstance(problem, Unavailable) else None)
        except Exception as problem:
            outcome = type(problem).__name__
            log.error("job failed", kind=row.kind, job=row.id, exc_info=True)
            self._retry(row, claim, f"{type(problem).__name__}: {problem}"[:500], None)
        seconds = round(time.monotonic() - begun, 3)
        quiet = outcome == "done" and KINDS[row.kind].every_seconds is not None
        (log.debug if quiet else log.info)(
            "job", kind=row.kind, job=row.id, outcome=outcome, seconds=seconds, **row.payload
        )

    def _end(self, row: Any, claim: Claim, state: str, error: str, again: float | None) -> None:
        """Finish a job; a periodic one, or one that asked for it, runs again."""
        now, kind = self._broker.now(), KINDS[row.kind]
        with self._broker.db.write() as conn:
            wants_more = again is not None and kind.every_seconds is None and state == jobs.DONE
            if wants_more and jobs.run_again(conn, row.id, claim.fence, now + timedelta(seconds=again or 0)):
                return
            jobs.finish(conn, row.id, claim.fence, state, now, error)
            if kind.every_seconds is not None and (again is not None or row.kind not in ENDING):
                self._next(conn, row, again if again is not None else float(kind.every_seconds))

    def _next(self, conn: Any, row: Any, seconds: float) -> None:
        payload = cadence.next_payload(row.kind, from_json(row.kind, row.payload))
        run_at = self._broker.now() + timedelta(seconds=seconds)
        enqueue(self._broker, conn, row.kind, payload, tenant_id=row.tenant_id, when=When(run_at))

    def _retry(self, row: Any, claim: Claim, error: str, retry_after: float | None) -> None:
        kind, now = KINDS[row.kind], self._broker.now()
        decision = decide(claim.attempt, kind.max_attempts, retry_after)
        if decision is not None:
            with self._broker.db.write() as conn:
                run_at = now + timedelta(seconds=decision.wait_seconds)
                if jobs.run_again(conn, row.id, claim.fence, run_at, error):
                    return
        self._end(row, claim, jobs.FAILED, error, None)
        with self._broker.db.write() as conn:
            params = {"kind": row.kind, "job": row.id, "error": error}
            links = {key: row.payload[key] for key in ("desktop_id", "pool_id", "center_id") if key in row.payload}
            events.add(conn, events.Entry(now, "job.failed", row.tenant_id, level="error", params=params, **links))
