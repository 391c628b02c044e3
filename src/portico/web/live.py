"""What has changed, told to open pages: one change feed per tenant and broker, fanned out to every page that listens.

A page is told only which areas changed, never what: it asks for its fragment again and gets what its person may see.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import StreamingResponse

from portico import logs
from portico.domain import access
from portico.domain.access import Actor
from portico.domain.model import Role
from portico.errors import PorticoError
from portico.services import events, sessions
from portico.services.broker import Broker
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
SEEN_LIMIT = 2_000
CHECK_EVERY = 4  # heartbeats between two looks whether the session still lives
# The noun of an event's code → the areas of pages that show it.
AREA_OF = {
    "center": "centers", "image": "images", "desktop": "desktops", "pool": "pools", "policy": "policies", "plan": "plans",
    "user": "users", "role": "roles", "session": "sessions", "login": "sessions", "gateway": "gateways", "broker": "brokers",
    "job": "jobs", "assignment": "assignments", "connection": "assignments",
}  # fmt: skip
FOR_EVERYONE = frozenset({"desktops", "pools", "policies", "assignments"})  # what may change somebody's offers


@dataclass(eq=False)
class Listener:
    """One open page: whose it is, and what it has not been told yet."""

    me: SignedIn
    waiting: asyncio.Queue[frozenset[str]] = field(default_factory=lambda: asyncio.Queue(WAITING_LIMIT))


class Feed:
    """Reads the events of one tenant each second while somebody listens."""

    def __init__(self, broker: Broker, tenant_id: str) -> None:
        """Start with nobody listening."""
        areas = {area: "view" for area in access.AREAS}
        self._broker = broker
        self._actor = Actor("", "change feed", tenant_id, Role("", tenant_id, "change feed", areas))
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None

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
            self._task = None

    async def _run(self) -> None:
        seen: dict[int, None] = {}
        after = 0
        first = True
        while True:
            try:
                lines = await anyio.to_thread.run_sync(events.feed, self._broker, self._actor, after, BATCH)
            except PorticoError as problem:  # The database is away: pages stay as they are and are told later.
                log.warning("change feed could not read", code=problem.code)
                lines = []
            fresh = [line for line in lines if line.id not in seen]
            seen.update(dict.fromkeys(line.id for line in fresh))
            for old in list(seen)[: max(0, len(seen) - SEEN_LIMIT)]:
                del seen[old]
            after = max((line.id for line in lines), default=after)
            if fresh and not first:
                self._tell(fresh)
            first = first and len(lines) == BATCH
            await asyncio.sleep(LOOK_SECONDS)

    def _tell(self, lines: list[Any]) -> None:
        for listener in list(self._listeners):
            areas = frozenset(area for line in lines if (area := _shown_to(listener.me, line)))
            if not areas:
                continue
            try:
                listener.waiting.put_nowait(areas)
            except asyncio.QueueFull:
                while not listener.waiting.empty():
                    listener.waiting.get_nowait()
                listener.waiting.put_nowait(frozenset())  # empty: everything may have changed


def feed_of(request: Request, tenant_id: str) -> Feed:
    """Return the feed of a tenant, made at the first listener of this broker."""
    feeds: dict[str, Feed] = getattr(request.app.state, "change_feeds", None) or {}
    request.app.state.change_feeds = feeds
    return feeds.setdefault(tenant_id, Feed(broker_of(request), tenant_id))


@router.get("/live")
async def live(request: Request, me: Annotated[SignedIn, Depends(signed_in)]) -> StreamingResponse:
    """Stream which areas change, for as long as the page is open and its session lives."""
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(changes(request, me), media_type="text/event-stream", headers=headers)


async def changes(request: Request, me: SignedIn) -> AsyncIterator[str]:
    """Yield server-sent events: `changed` with the areas, `ended` when the session is over, comments in between."""
    feed, listener = feed_of(request, me.user.tenant_id), Listener(me)
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


def _shown_to(me: SignedIn, line: Any) -> str:
    """Return the area of an event if this person's pages may show it, else nothing."""
    area = AREA_OF.get(str(line.code).partition(".")[0].partition("_")[0], "")
    if not area or area in FOR_EVERYONE or access.may(me.actor, area):
        return area
    return ""
