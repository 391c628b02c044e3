"""What the gateway tells the brokers: openings and endings at once, and that it lives every ten seconds; kept until it is answered."""

import asyncio
import os
import secrets
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from portico import logs
from portico.errors import Unavailable
from portico.gateway.broker import Broker
from portico.wire.gateway import VERSION

log = logs.get(__name__)

HEARTBEAT_SECONDS = 10.0
RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)
MAX_EVENTS = 10_000
MAX_A_REPORT = 500


class Reports:
    """The outgoing events of one life of this gateway (its `boot_id`)."""

    def __init__(self, broker: Broker, live: Callable[[], list[str]]) -> None:
        self._broker = broker
        self._live = live
        self._events: deque[dict[str, Any]] = deque()
        self._sequence = 0
        self._reports = 0
        self._wake = asyncio.Event()
        self._measured = (time.monotonic(), _cpu_seconds())
        self.boot_id = secrets.token_hex(8)
        self.rdp_port = 0  # where RDP clients with a routing token come in

    def add(self, kind: str, connection: str, reason: str, bytes_in: int, bytes_out: int, **more: object) -> None:
        """Keep an event until a broker has it. When too many wait the oldest go; `live` then repairs what they left."""
        self._sequence += 1
        self._events.append(
            {
                "kind": kind,
                "connection": connection,
                "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "sequence": self._sequence,
                "reason": reason,
                "bytes_in": bytes_in,
                "bytes_out": bytes_out,
                **more,
            }
        )
        if len(self._events) > MAX_EVENTS:
            self._events.popleft()
            log.warning("too many events wait for a broker, the oldest was dropped")
        self._wake.set()

    async def run(self) -> None:
        """Report for ever."""
        failures = 0
        while True:
            try:
                await self.send()
                failures = 0
            except Unavailable as problem:
                if failures == 0:
                    log.warning(
                        "cannot report", because=problem.sentence, detail=problem.detail, events=len(self._events)
                    )
                await asyncio.sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
                continue
            if self._events:
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def send(self) -> None:
        """Send one report and forget the events that were answered. Raises Unavailable."""
        events = list(self._events)[:MAX_A_REPORT]
        self._reports += 1
        live = self._live()
        answer = await self._broker.report(
            {
                "v": VERSION,
                "boot_id": self.boot_id,
                "sequence": self._reports,
                "load": {"sessions": len(live), "cpu": self._cpu(), "rdp_port": self.rdp_port},
                "live": live,
                "events": events,
            }
        )
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY):
            # An answer too, though a sad one: sent again it would be refused again and hold up all that follow.
            log.error("the broker cannot read our report", status=answer.status, events=len(events))
        elif answer.status == HTTPStatus.UNAUTHORIZED:
            raise Unavailable(
                "The broker does not know this gateway any more: enroll it again with a new token.", "HTTP 401"
            )
        elif answer.status != HTTPStatus.OK:
            raise Unavailable("The broker did not take the report.", f"HTTP {answer.status}")
        while events and self._events and self._events[0]["sequence"] <= events[-1]["sequence"]:
            self._events.popleft()

    def _cpu(self) -> float:
        """The share of one core used since the last report."""
        then, used = self._measured
        self._measured = (time.monotonic(), _cpu_seconds())
        elapsed = self._measured[0] - then
        return round((self._measured[1] - used) / elapsed, 3) if elapsed > 0 else 0.0


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system
