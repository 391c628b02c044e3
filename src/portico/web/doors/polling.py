"""Holding a request open until there is something to tell, without holding a thread."""

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread
from starlette.requests import Request

from portico.web.problems import BadRequest

T = TypeVar("T")

LOOK_SECONDS = 0.5
LONGEST_SECONDS = 25.0
THREADS = 8


async def hold(request: Request, look: Callable[[], T], is_enough: Callable[[T], bool], wait: float) -> T:
    """Look every half second until it is enough, the time is over, or the client has left; returns the last look.

    Looks share a few threads of their own, so that a thousand waiting agents take none from the people at work.
    """
    limiter = request.app.state.look_limiter
    until = anyio.current_time() + min(wait, LONGEST_SECONDS)
    found = await to_thread.run_sync(look, limiter=limiter)
    while not is_enough(found):
        left = until - anyio.current_time()
        if left <= 0 or await request.is_disconnected():
            break
        await anyio.sleep(min(LOOK_SECONDS, left))
        found = await to_thread.run_sync(look, limiter=limiter)
    return found


def number_of(request: Request, name: str, default: int) -> int:
    """Read a whole number ≥ 0 of the query. Raises BadRequest naming it."""
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise BadRequest("The query is malformed.", fields={name: "Give a whole number."})
    return int(value)
