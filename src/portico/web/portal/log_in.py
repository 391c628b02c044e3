"""Log in, log out, and the new password that may be due in between."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.model import Client
from portico.errors import Invalid, RateLimited
from portico.services import login, reach, sessions
from portico.services.login import Refused
from portico.services.sessions import SignedIn
from portico.web.guard import PageRoute, local_path, posted, posted_unknown, see, signed_in
from portico.web.rendering import N_, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_TYPED = 1024  # characters of a name or password that are looked at


def client_of(request: Request) -> Client:
    """Return the device in front of the person, as far as the request tells."""
    address = request.client.host if request.client else ""
    came_by = reach.entrance(broker_of(request), request.headers.get("host", ""))
    return Client(address, "web", user_agent=request.headers.get("user-agent", "")[:400], entrance=came_by)


@router.get("/login")
def show_log_in(request: Request, next: str = "/", expired: bool = False) -> Response:
    """Show the log-in form, or lead on who is logged in already."""
    cookie = request.cookies.get(sessions.COOKIE, "")
    if cookie and not expired and sessions.find(broker_of(request), cookie):
        return see(request, local_path(next))
    return page(request, "portal/log_in.html", next=local_path(next), expired=expired, username="", errors={}, wait=0)


@router.post("/login")
def log_in(request: Request, form: Annotated[FormData, Depends(posted_unknown)]) -> Response:
    """Log in and go where the person wanted to; refusals stand beside the form, which keeps the name."""
    name, password = (str(form.get(field) or "")[:MAX_TYPED] for field in ("username", "password"))
    target = local_path(str(form.get("next") or "/"))
    errors: dict[str, str] = {}
    if not name.strip():
        errors["username"] = N_("Type your user name.")
    if not password:
        errors["password"] = N_("Type your password.")
    outcome, wait, status = None, 0, 422
    if not errors:
        try:
            outcome = login.login(broker_of(request), name, password, client_of(request))
        except RateLimited as problem:
            errors, wait, status = {"form": problem.sentence}, int(problem.retry_after), 429
    if outcome is None or isinstance(outcome, Refused):
        reason = outcome.reason if outcome else None
        wait = outcome.retry_after if outcome else wait
        status = (429 if wait else 401) if outcome else status
        answer = page(
            request, "portal/log_in.html", status=status, next=target, expired=False, username=name, errors=errors,
            reason=reason, wait=wait,
        )  # fmt: skip
        if wait:
            answer.headers["Retry-After"] = str(wait)
        return answer
    target = "/?arrived=1" if target == "/" else target
    went = see(request, "/password" if outcome.me.user.must_change_password else target)
    went.set_cookie(sessions.COOKIE, outcome.secret, secure=True, httponly=True, samesite="strict", path="/")
    return went


@router.post("/log-out")
def log_out(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """End the portal session. Desktops stay as they are."""
    sessions.end(broker_of(request), request.state.me)
    answer = see(request, "/login")
    answer.delete_cookie(sessions.COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


@router.get("/password")
def show_password(request: Request, me: Annotated[SignedIn, Depends(signed_in)]) -> Response:
    """Show the form for a new password that stands before everything else."""
    return page(request, "portal/password.html", me, errors={})


@router.post("/password")
def change_password(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Change the password and go on to the desktops."""
    errors = change(request, form)
    if errors:
        return page(request, "portal/password.html", request.state.me, 422, errors=errors)
    return see(request, "/?arrived=1")


def change(request: Request, form: FormData) -> dict[str, str]:
    """Change the password of who is logged in; returns what is wrong, by field."""
    old, new, again = (str(form.get(field) or "")[:MAX_TYPED] for field in ("old", "new", "again"))
    if new != again:
        return {"again": N_("The two new passwords differ. Type the same one twice.")}
    try:
        login.change_password(broker_of(request), request.state.me, old, new)
    except Invalid as problem:
        return problem.fields or {"form": problem.sentence}
    return {}
