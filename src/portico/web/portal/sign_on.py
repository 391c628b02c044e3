"""To a provider and back: the browser is sent there, returns with an answer, and goes on to the desktops."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TypeVar

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from portico import logs
from portico.domain.model import Reason
from portico.errors import DirectoryError, DirectoryRefused, RateLimited
from portico.services import attempts, sessions, sign_on
from portico.services.attempts import LoggedIn
from portico.services.sign_on import Way
from portico.web import devices
from portico.web.guard import PageRoute, local_path
from portico.web.portal.log_in import form_page, onward, origin_of_request
from portico.web.rendering import N_, broker_of, page

log = logs.get(__name__)
router = APIRouter(route_class=PageRoute, include_in_schema=False)

T = TypeVar("T")
WAY_COOKIE = "__Host-portico-way"
WAIT_SECONDS = 30.0


@router.get("/login/with/{directory_id}")
async def depart(request: Request, directory_id: str, next: str = "/", path: str = "") -> Response:
    """Send the browser to a provider."""
    broker = broker_of(request)
    back = origin_of_request(request) + sign_on.way_back(broker, directory_id)
    try:
        departure = await _ended(await run_in_threadpool(sign_on.begin, broker, directory_id, back))
    except (DirectoryError, RateLimited) as problem:
        return await run_in_threadpool(refused, request, path, problem)
    way = Way(directory_id, back, local_path(next), path, departure.kept, broker.now().timestamp())
    went = RedirectResponse(departure.url, 303)
    # Lax: the browser comes back from elsewhere and must bring it along.
    went.set_cookie(WAY_COOKIE, sign_on.seal(broker, way), 900, secure=True, httponly=True, samesite="lax", path="/")
    return went


@router.get("/login/back")
async def come_back(request: Request) -> Response:
    """Let in whom the provider vouches for."""
    broker = broker_of(request)
    way = sign_on.unseal(broker, request.cookies.get(WAY_COOKIE, ""))
    return await arrive(request, way, {name: value[:4000] for name, value in request.query_params.items()})


async def arrive(request: Request, way: Way, answer: Mapping[str, str]) -> Response:
    """Have a provider's answer checked, and let in whom it vouches for."""
    broker = broker_of(request)
    try:
        vouched = await _ended(await run_in_threadpool(sign_on.finish, broker, way, answer))
        wanted = attempts.attempt(broker, vouched.identity.login_name, "", devices.browser(request))
        outcome = await run_in_threadpool(sign_on.welcome, broker, way, wanted, vouched)
    except (DirectoryError, RateLimited) as problem:
        log.info("provider's answer refused", directory=way.directory_id, why=problem.detail or problem.sentence)
        return await run_in_threadpool(refused, request, way.path, problem)
    if isinstance(outcome, LoggedIn):
        target = onward(outcome.me, way.next)
        # A page of our own leads on: the browser keeps our strict cookie from a redirect that began elsewhere.
        done: Response = page(request, "portal/onward.html", target=target, title=N_("You are logged in"))
        done.set_cookie(sessions.COOKIE, outcome.secret, secure=True, httponly=True, samesite="strict", path="/")
        devices.remember(done, outcome.me.client)
    else:
        done = await run_in_threadpool(
            form_page, request, way.path, 401, reason=outcome.reason, wait=outcome.retry_after
        )
    done.delete_cookie(WAY_COOKIE, secure=True, httponly=True, samesite="lax", path="/")
    return done


@router.post("/login/ended")
async def end(request: Request) -> Response:
    """Take a provider's notice that somebody has logged out there (Back-Channel Logout 1.0, section 2.5)."""
    form = await request.form(max_files=0, max_fields=10)
    token = str(form.get("logout_token") or "")[: sign_on.MAX_TOKEN]
    try:
        here = origin_of_request(request) + request.url.path
        await run_in_threadpool(sign_on.ended, broker_of(request), here, token)
    except DirectoryRefused as problem:
        return PlainTextResponse(problem.sentence, 400, {"Cache-Control": "no-store"})
    return PlainTextResponse("", 200, {"Cache-Control": "no-store"})


async def _ended(running: "Future[T]") -> T:
    try:
        return await asyncio.wait_for(asyncio.wrap_future(running), WAIT_SECONDS)
    except TimeoutError as problem:
        raise DirectoryError("The provider does not answer.") from problem


def refused(request: Request, path: str, problem: DirectoryError | RateLimited) -> Response:
    """Show the log-in form with why the provider's answer does not count."""
    if isinstance(problem, DirectoryRefused | RateLimited):
        return form_page(request, path, 401, errors={"form": problem.sentence})
    return form_page(request, path, 503, reason=Reason("login.directory_down"))
