"""The second factor: its code at the log-in, and the page where it is set up and removed."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.second_factors import factors_of
from portico.errors import Conflict, DirectoryError, Invalid, RateLimited
from portico.services import passkeys, radius_code, second_factor
from portico.services.sessions import SignedIn
from portico.web.guard import GoTo, PageRoute, halfway, local_path, on_the_way, posted, posted_on_the_way, see
from portico.web.rendering import N_, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_CODE = 120
LOOK_AGAIN_SECONDS = 2
DOWN = N_("The server that checks codes does not answer. Try again in a minute, or use a code from your paper.")
# What became of a code that RADIUS servers were asked about, by its state: status of the answer, sentence.
SAID = {
    "refused": (422, N_("This code is not right.")),
    "unanswered": (422, N_("Nobody has confirmed the log-in in time. Try again.")),
    "down": (503, DOWN),
}


@router.get("/login/code")
def showcode_page(request: Request, next: str = "/") -> Response:
    """Ask for the code of who has given a right password."""
    me = halfway(request)
    if me is None or me.pending != "code":
        raise GoTo(local_path(next))
    return _next_step(request, me, local_path(next), fresh=True)


@router.post("/login/code")
async def entercode_page(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Let somebody on by a right code, checked here or by RADIUS servers, which may take their time."""
    me: SignedIn = request.state.me
    broker, target = broker_of(request), local_path(str(form.get("next") or "/"))
    code, by = str(form.get("code") or "")[:MAX_CODE], str(form.get("by") or "")
    if me.pending != "code":
        return see(request, onward(target))
    try:
        if not await run_in_threadpool(radius_code.is_asked, broker, me, code, by):
            await run_in_threadpool(second_factor.check, broker, me, code)
            return see(request, onward(target))
        running = await run_in_threadpool(radius_code.begin, broker, me, code)
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running)), radius_code.PATIENCE_SECONDS)
    except Invalid as problem:
        return await run_in_threadpool(code_page, request, me, target, 422, errors=problem.fields)
    except (RateLimited, Conflict, DirectoryError) as problem:
        status = 429 if isinstance(problem, RateLimited) else 503 if isinstance(problem, DirectoryError) else 409
        return await run_in_threadpool(code_page, request, me, target, status, errors={"code": problem.sentence})
    except TimeoutError:
        pass  # The page asks again.
    return await run_in_threadpool(_next_step, request, me, target)


@router.post("/second-factor/paper")
def make_paper(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Make codes for paper for somebody whose codes RADIUS servers check."""
    me: SignedIn = request.state.me
    return page(request, "portal/recovery_codes.html", me, codes=second_factor.paper(broker_of(request), me))


@router.get("/second-factor")
def show(request: Request, me: Annotated[SignedIn, Depends(on_the_way)]) -> Response:
    """Show how to set a second factor up, or that there is one."""
    if me.pending == "code":
        raise GoTo("/login/code")
    return setup_page(request, me)


@router.post("/second-factor")
def confirm(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Take it into use by a first right code, and show the codes for paper."""
    me: SignedIn = request.state.me
    if me.pending == "code":
        raise GoTo("/login/code")
    try:
        codes = second_factor.confirm(broker_of(request), me, str(form.get("code") or "")[:MAX_CODE])
    except Invalid as problem:
        return setup_page(request, me, 422, errors=problem.fields)
    return page(request, "portal/recovery_codes.html", me, codes=codes)


@router.post("/second-factor/remove")
def remove(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Do without it again."""
    me: SignedIn = request.state.me
    if me.pending:
        raise GoTo("/login/code")
    try:
        second_factor.remove(broker_of(request), me, str(form.get("code") or "")[:MAX_CODE])
    except Invalid as problem:
        return setup_page(request, me, 422, errors=problem.fields)
    except (RateLimited, Conflict) as problem:
        return setup_page(
            request, me, 429 if isinstance(problem, RateLimited) else 409, errors={"code": problem.sentence}
        )
    return see(request, "/account?done=factor")


def onward(target: str) -> str:
    """Return where somebody goes who owes nothing any more."""
    return "/?arrived=1" if target == "/" else target


def _next_step(request: Request, me: SignedIn, target: str, *, fresh: bool = False) -> Response:
    """Show what has become of a code; a `fresh` page tells nothing of one that was answered long ago."""
    seen = radius_code.look(broker_of(request), me)
    if seen.state == "done":
        return see(request, onward(target))
    if seen.state == "waiting":
        return page(request, "portal/wait_code.html", None, 202, halfway=me, next=target, seconds=LOOK_AGAIN_SECONDS)
    waited = request.query_params.get("waited") == "1"
    if seen.state in SAID and (waited or not fresh):
        status, sentence = SAID[seen.state]
        return code_page(request, me, target, status, errors={"code": sentence}, said=seen.message)
    return code_page(request, me, target, asked=seen if seen.state == "challenge" else None)


def code_page(request: Request, me: SignedIn, target: str, status: int = 200, **shown: Any) -> Response:
    """Ask for a code, or a passkey where there is one and it counts."""
    broker, factors = broker_of(request), factors_of(me.role, me.policy)
    try:
        radius = radius_code.of(broker, me)
    except DirectoryError as problem:
        radius, shown = None, {"errors": {"code": problem.sentence}, **shown}
    has_passkey = factors.own and bool(passkeys.list_own(broker, me))
    has_app = factors.own and second_factor.has_app(broker, me)
    return page(
        request,
        "portal/code.html",
        None,
        status,
        halfway=me,
        next=local_path(target),
        has_passkey=has_passkey,
        has_app=has_app,
        radius=radius,
        **{"errors": {}, "asked": None, "said": "", **shown},
    )


def setup_page(request: Request, me: SignedIn, status: int = 200, **shown: Any) -> Response:
    """Show the page to somebody who is logged in, or, with nothing else around it, to whom it is demanded of."""
    kept, factors = passkeys.list_own(broker_of(request), me), factors_of(me.role, me.policy)
    done = not factors.own or (me.user.second_factor and not kept)
    made = None if done else second_factor.begin_if_none(broker_of(request), me)
    # The picture is our own SVG, without a script, a style or a text of anybody's.
    picture = Markup(made.picture) if made else ""  # noqa: S704
    due = me.pending == "setup"
    return page(
        request, "portal/second_factor.html", None if due else me, status, halfway=me, due=due, made=made, picture=picture, passkeys=kept,
        factors=factors, may_be_alone=passkeys.may_be_alone(broker_of(request), me), **{"errors": {}, **shown},
    )  # fmt: skip
