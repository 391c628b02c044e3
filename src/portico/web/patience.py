"""Waiting for a log-in without holding a thread: as long as a page may take, then it is parked."""

import asyncio
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from portico.services import login, long_login
from portico.services.attempts import Attempt, Outcome, Refused
from portico.services.broker import Broker

# Refusals come at whole beats of this length where directories are asked, so that their time tells nothing of who is known where.
BEAT_SECONDS = 0.5


async def outcome_of(
    broker: Broker,
    wanted: Attempt,
    patience: float = long_login.PATIENCE_SECONDS,
    begin: Callable[[Broker, Attempt], login.Begun] = login.begin,
) -> Outcome | None:
    """Return what came of a log-in, or None when it is parked. Raises RateLimited."""
    began = time.monotonic()
    running = await run_in_threadpool(begin, broker, wanted)
    try:
        outcome = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running.outcome)), patience)
    except TimeoutError:
        await run_in_threadpool(long_login.park, broker, wanted, running.line, running.outcome)
        return None
    if isinstance(outcome, Refused) and broker.snapshots.get().directories:
        await asyncio.sleep(-(time.monotonic() - began) % BEAT_SECONDS)
    return outcome
