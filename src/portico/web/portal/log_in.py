"""Log in, log out, and the new password that may be due in between."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.directories import LOCAL
from portico.domain.tenants import Tenant, at_door
from portico.errors import DirectoryError, Invalid, NotFound, RateLimited
from portico.services import attempts, login, long_login, passkey_login, reach, sessions, sign_on
from portico.services.attempts import Attempt, LoggedIn, Outcome
from portico.services.broker import Broker
from portico.services.directories import by_redirect
from portico.services.long_login import Arrived, Waiting
from portico.services.sessions import SignedIn
from portico.web import devices, patience
from portico.web.guard import HALFWAY, PageRoute, local_path, posted, posted_unknown, see, signed_in
from portico.web.rendering import N_, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_TYPED = 1024  # characters of a name or password that are looked at
WAIT_COOKIE = "__Host-portico-wait"  # the key of a session that is still to come
LOOK_AGAIN_SECONDS = 2
LEAVE_SECONDS = 5.0


@router.get("/login")
@router.get("/t/{path}")
def show_log_in(request: Request, next: str = "/", expired: bool = False, path: str = "") -> Response:
    """Show the log-in form, or lead on who is logged in already."""
    cookie = request.cookies.get(sessions.COOKIE, "")
    if cookie and not expired and sessions.find(broker_of(request), cookie):
        return see(request, local_path(next))
    return form_page(request, path, next=local_path(next), expired=expired)


@router.post("/login")
@router.post("/t/{path}")
async def log_in(request: Request, form: Annotated[FormData, Depends(posted_unknown)], path: str = "") -> Response:
    """Log in and go where the person wanted to; refusals stand beside the form, which keeps the name."""
    typed = {field: str(form.get(field) or "")[:MAX_TYPED] for field in ("username", "password", "directory")}
    target, errors, wait, status = local_path(str(form.get("next") or "/")), _missing(typed), 0, 422
    tenant = tenant_at(request, path)
    outcome = None
    if not errors:
        broker, client = broker_of(request), devices.browser(request)
        wanted = attempts.attempt(
            broker, typed["username"], typed["password"], client,
            tenant_id=tenant.id if tenant else "", directory_id=typed["directory"],
        )  # fmt: skip
        try:
            outcome = await patience.outcome_of(broker, wanted)
        except RateLimited as problem:
            errors, wait, status = {"form": problem.sentence}, int(problem.retry_after), 429
        else:
            if outcome is None:
                return _wait_page(request, wanted.key.value, Waiting(1), target, path)
    if isinstance(outcome, LoggedIn):
        return _enter(request, outcome.secret, outcome.me, target)
    if outcome is not None:
        wait, status = outcome.retry_after, 429 if outcome.retry_after else 401
    reason = outcome.reason if outcome else None
    return await run_in_threadpool(
        form_page, request, path, status, next=target, username=typed["username"], chosen=typed["directory"], errors=errors,
        reason=reason, wait=wait,
    )  # fmt: skip


@router.get("/login/wait")
def show_wait(request: Request, next: str = "/", path: str = "") -> Response:
    """Tell what has become of a log-in that takes long, and go on as soon as it has ended."""
    value, target = request.cookies.get(WAIT_COOKIE, ""), local_path(next)
    found = long_login.look(broker_of(request), value)
    if isinstance(found, Waiting):
        return _wait_page(request, value, found, target, path)
    if isinstance(found, Arrived):
        answer = _enter(request, value, found.me, target)
    else:
        status = 429 if found.retry_after else 401
        answer = form_page(request, path, status, next=target, reason=found.reason, wait=found.retry_after)
    answer.delete_cookie(WAIT_COOKIE, secure=True, httponly=True, samesite="strict", path="/")
    return answer


@router.post("/log-out")
def log_out(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """End the portal session, and the one at the provider that vouched for it. Desktops stay as they are."""
    sessions.end(broker_of(request), request.state.me)
    elsewhere = _leave(request, request.state.me)
    # A page leads there: the policy of our forms lets no answer to one lead to another site.
    if elsewhere:
        answer: Response = page(request, "portal/onward.html", target=elsewhere, title=N_("You are logged out"))
    else:
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
    except DirectoryError as problem:
        return {"form": problem.sentence}
    return {}


def _leave(request: Request, me: SignedIn) -> str:
    """Return the provider's page that ends the session there, "" where there is none or it does not answer."""
    asked = sign_on.leave(broker_of(request), me, origin_of_request(request) + "/login")
    try:
        return asked.result(LEAVE_SECONDS) if asked is not None else ""
    except (DirectoryError, TimeoutError):
        return ""


def answer_to(request: Request, wanted: Attempt, outcome: Outcome | None, target: str, path: str) -> Response:
    """Answer a log-in without anything typed: go on, wait, or show the form with the refusal."""
    if outcome is None:
        return _wait_page(request, wanted.key.value, Waiting(1), target, path)
    if isinstance(outcome, LoggedIn):
        return _enter(request, outcome.secret, outcome.me, target)
    status = 429 if outcome.retry_after else 401
    return form_page(request, path, status, next=target, reason=outcome.reason, wait=outcome.retry_after)


def tenant_at(request: Request, path: str) -> Tenant | None:
    """Return whose log-in page this is, by its path or the host's name. Raises NotFound."""
    tenants = broker_of(request).snapshots.get().tenants
    host = (request.url.hostname or "").casefold()
    found = at_door(tenants.values(), host, path)
    if path and found is None:
        raise NotFound(N_("There is no log-in page here."))
    return found


def form_page(request: Request, path: str, status: int = 200, **shown: Any) -> Response:
    """Show the log-in form of a door. Raises NotFound where there is none."""
    tenant, broker = tenant_at(request, path), broker_of(request)
    defaults: dict[str, Any] = {
        "expired": False, "username": "", "errors": {}, "reason": None, "wait": 0, "chosen": "", "next": "/",
    }  # fmt: skip
    whose = tenant.id if tenant else broker.snapshots.get().home
    answer = page(
        request, "portal/log_in.html", status=status, action=f"/t/{path}" if path else "/login", path=path, tenant=tenant,
        choices=_choices(broker, whose), providers=sign_on.offered(broker, whose),
        by_passkey=passkey_login.offered(broker, tenant.id if tenant else ""), **{**defaults, **shown},
    )  # fmt: skip
    devices.ask_for_hints(answer)
    if shown.get("wait"):
        answer.headers["Retry-After"] = str(shown["wait"])
    return answer


def origin_of_request(request: Request) -> str:
    """Return the origin of ours by which somebody came: a tenant's host name, one of the configuration's, else the public URL."""
    broker, host = broker_of(request), request.headers.get("host", "")
    if at_door(broker.snapshots.get().tenants.values(), (request.url.hostname or "").casefold()) is not None:
        return f"https://{host}"
    return reach.entrance(broker, host) or broker.config.public_url.rstrip("/")


def _choices(broker: Broker, whose: str) -> list[tuple[str, str]]:
    """Return the directories of a tenant to choose from; none where there is only one place to come from."""
    known = broker.snapshots.get().directories.values()
    mine = [one for one in known if one.tenant_id == whose and one.active and not by_redirect(broker, one)]
    mine.sort(key=lambda one: (one.position, one.name.casefold()))
    return [(one.id, one.name) for one in mine] + [(LOCAL, N_("Portico itself"))] if len(mine) > 1 else []


def _missing(typed: dict[str, str]) -> dict[str, str]:
    errors = {} if typed["username"].strip() else {"username": N_("Type your user name.")}
    return errors if typed["password"] else errors | {"password": N_("Type your password.")}


def _enter(request: Request, value: str, me: SignedIn, target: str) -> Response:
    went = see(request, onward(me, target))
    went.set_cookie(sessions.COOKIE, value, secure=True, httponly=True, samesite="strict", path="/")
    devices.remember(went, me.client)
    return went


def onward(me: SignedIn, target: str) -> str:
    """Return where somebody goes who has just logged in: first to what is due."""
    if me.pending:
        return f"{HALFWAY[me.pending]}?next={quote(target, safe='')}"
    if me.user.must_change_password:
        return "/password"
    return "/?arrived=1" if target == "/" else target


def _wait_page(request: Request, value: str, waiting: Waiting, target: str, path: str) -> Response:
    answer = page(
        request,
        "portal/wait.html",
        status=202,
        position=waiting.position,
        next=target,
        path=path,
        seconds=LOOK_AGAIN_SECONDS,
    )
    answer.set_cookie(WAIT_COOKIE, value, secure=True, httponly=True, samesite="strict", path="/")
    return answer
