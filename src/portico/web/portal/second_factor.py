"""The second factor: its code at the log-in, and the page where it is set up and removed."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.errors import Conflict, Invalid, RateLimited
from portico.services import passkeys, second_factor
from portico.services.sessions import SignedIn
from portico.web.guard import GoTo, PageRoute, halfway, local_path, on_the_way, posted_on_the_way, see
from portico.web.rendering import broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_CODE = 60


@router.get("/login/code")
def showcode_page(request: Request, next: str = "/") -> Response:
    """Ask for the code of who has given a right password."""
    me = halfway(request)
    if me is None or me.pending != "code":
        raise GoTo(local_path(next))
    return code_page(request, me, next)


@router.post("/login/code")
def entercode_page(request: Request, form: Annotated[FormData, Depends(posted_on_the_way)]) -> Response:
    """Let somebody on by a right code."""
    me: SignedIn = request.state.me
    target = local_path(str(form.get("next") or "/"))
    try:
        second_factor.check(broker_of(request), me, str(form.get("code") or "")[:MAX_CODE])
    except Invalid as problem:
        return code_page(request, me, target, 422, errors=problem.fields)
    except RateLimited as problem:
        return code_page(request, me, target, 429, errors={"code": problem.sentence})
    return see(request, "/?arrived=1" if target == "/" else target)


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


def code_page(request: Request, me: SignedIn, target: str, status: int = 200, **shown: Any) -> Response:
    """Ask for a code, or a passkey where there is one."""
    has_passkey = bool(passkeys.list_own(broker_of(request), me))
    return page(
        request,
        "portal/code.html",
        None,
        status,
        halfway=me,
        next=local_path(target),
        has_passkey=has_passkey,
        **{"errors": {}, **shown},
    )


def setup_page(request: Request, me: SignedIn, status: int = 200, **shown: Any) -> Response:
    """Show the page to somebody who is logged in, or, with nothing else around it, to whom it is demanded of."""
    kept = passkeys.list_own(broker_of(request), me)
    made = None if me.user.second_factor and not kept else second_factor.begin_if_none(broker_of(request), me)
    # The picture is our own SVG, without a script, a style or a text of anybody's.
    picture = Markup(made.picture) if made else ""  # noqa: S704
    due = me.pending == "setup"
    return page(
        request, "portal/second_factor.html", None if due else me, status, halfway=me, due=due, made=made, picture=picture, passkeys=kept,
        **{"errors": {}, **shown},
    )  # fmt: skip
