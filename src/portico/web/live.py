"""What has changed, told to open pages: one change feed per broker, fanned out to every page that listens.

A page is told only which areas changed, never what: it asks for its fragment again and gets what its person may see.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import StreamingResponse

from portico import logs
from portico.domain import access
from portico.errors import PorticoError
from portico.services import events, sessions
from portico.services.broker import Broker
from portico.services.events import EventLine
from portico.services.sessions import SignedIn
from portico.web.guard import PageRoute, signed_in
from portico.web.rendering import broker_of

log = logs.get(__name__)
router = APIRouter(route_class=PageRoute, include_in_schema=False)

LOOK_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 3_000
BATCH = 500
WAITING_LIMIT = 64  # changes that a slow page may lag behind; then it is told that everything changed
WINDOW_SECONDS = 5.0
CHECK_EVERY = 4  # heartbeats between two looks whether the session still lives
# The noun of an event's code → the areas of pages that show it.
AREA_OF = {
    "center": "centers", "image": "images", "desktop": "desktops", "pool": "pools", "policy": "policies", "plan": "plans",
    "user": "users", "role": "roles", "session": "sessions", "login": "sessions", "gateway": "gateways", "broker": "brokers",
    "job": "jobs", "assignment": "assignments", "connection": "assignments", "agent": "desktops", "machine": "centers",
    "protocol-plan": "plans", "power-plan": "plans", "release-plan": "plans", "setting": "settings",
}  # fmt: skip
FOR_EVERYONE = frozenset({"desktops", "pools", "policies", "assignments"})  # what may change somebody's offers


@dataclass(eq=False)
class Listener:
    """One open page: whose it is, and what it has not been told yet."""

    me: SignedIn
    waiting: asyncio.Queue[frozenset[str]] = field(default_factory=lambda: asyncio.Queue(WAITING_LIMIT))


class Feed:
    """Reads the events each second while somebody listens, and tells every listener of its own tenant's."""

    def __init__(self, broker: Broker) -> None:
        """Start with nobody listening."""
        self._broker = broker
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._window: Window | None = None

    async def begin(self) -> None:
        """Mark where the feed begins, if nobody listens yet: what happens from now on is told."""
        if self._window is None:
            self._window = Window(await anyio.to_thread.run_sync(events.last_id, self._broker))

    def join(self, listener: Listener) -> None:
        """Tell this listener from now on."""
        self._listeners.add(listener)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def leave(self, listener: Listener) -> None:
        """Tell this listener no more; the last one out stops the reading."""
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = self._window = None

    async def _run(self) -> None:
        while True:
            try:
                await self.begin()
                if self._window is not None:
                    lines = await anyio.to_thread.run_sync(events.all_after, self._broker, self._window.after, BATCH)
                    self._tell(self._window.fresh(lines))
            except PorticoError as problem:  # The database is away: pages stay as they are and are told later.
                log.warning("change feed could not read", code=problem.code)
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, lines: list[EventLine]) -> None:
        for listener in list(self._listeners) if lines else ():
            areas = frozenset(area for line in lines if (area := _shown_to(listener.me, line)))
            if not areas:
                continue
            try:
                listener.waiting.put_nowait(areas)
            except asyncio.QueueFull:
                while not listener.waiting.empty():
                    listener.waiting.get_nowait()
                listener.waiting.put_nowait(frozenset())  # empty: everything may have changed


class Window:
    """The last seconds of the feed, read again each time: numbers may be committed out of order."""

    def __init__(self, after: int) -> None:
        """Begin after the event of this number."""
        self.after = after
        self._seen: dict[int, float] = {}

    def fresh(self, lines: list[EventLine]) -> list[EventLine]:
        """Return the lines that were not seen before, and move the window on."""
        now = time.monotonic()
        new = [line for line in lines if line.id not in self._seen]
        self._seen.update((line.id, now) for line in new)
        old = [number for number, at in self._seen.items() if now - at > WINDOW_SECONDS]
        for number in old:
            del self._seen[number]
        self.after = max(old, default=self.after)
        return new


def feed_of(request: Request) -> Feed:
    """Return the one feed of this broker, made at its first listener."""
    state = request.app.state
    if not hasattr(state, "change_feed"):
        state.change_feed = Feed(broker_of(request))
    feed: Feed = state.change_feed
    return feed


@router.get("/live")
async def live(request: Request, me: Annotated[SignedIn, Depends(signed_in)]) -> StreamingResponse:
    """Stream which areas change, for as long as the page is open and its session lives."""
    await feed_of(request).begin()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(changes(request, me), media_type="text/event-stream", headers=headers)


async def changes(request: Request, me: SignedIn) -> AsyncIterator[str]:
    """Yield server-sent events: `changed` with the areas, `ended` when the session is over, comments in between."""
    feed, listener = feed_of(request), Listener(me)
    feed.join(listener)
    beats = 0
    try:
        yield f"retry: {RETRY_MILLISECONDS}\n\n"
        while True:
            try:
                areas = await asyncio.wait_for(listener.waiting.get(), HEARTBEAT_SECONDS)
                yield f"event: changed\ndata: {json.dumps({'topics': sorted(areas)})}\n\n"
            except TimeoutError:
                beats += 1
                if beats % CHECK_EVERY == 0 and not await _still_there(request):
                    yield "event: ended\ndata: {}\n\n"
                    return
                yield ": still here\n\n"
    finally:
        feed.leave(listener)


async def _still_there(request: Request) -> bool:
    cookie = request.cookies.get(sessions.COOKIE, "")
    return await anyio.to_thread.run_sync(sessions.find, broker_of(request), cookie) is not None


def _shown_to(me: SignedIn, line: EventLine) -> str:
    """Return the area of an event if this person's pages may show it, else nothing."""
    if line.tenant_id not in (me.user.tenant_id, None):
        return ""
    area = AREA_OF.get(line.code.partition(".")[0].partition("_")[0], "")
    return area if area in FOR_EVERYONE or access.may(me.actor, area) else ""
