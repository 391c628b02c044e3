"""Logging in and out over the API, and who one is."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.domain.model import Reason
from portico.errors import DirectoryError, Invalid
from portico.services import attempts, login, long_login, radius_code, second_factor, sessions
from portico.services.long_login import Arrived, Waiting
from portico.services.sessions import SignedIn
from portico.web import devices, patience
from portico.web.api.described import answers, errors, record, takes
from portico.web.caller import Anyone, Body, broker_of
from portico.web.problems import refused

router = APIRouter(tags=["Session"])

TOKEN = record("token expires_at user", token="string", expires_at="string", user="object")  # noqa: S106 - a type, no password
_WAITING = record("login position retry_after", login="string", position="integer", retry_after="integer")
_CODE = record(
    "login code message waiting retry_after",
    login="string",
    code="boolean",
    message="string",
    waiting="boolean",
    retry_after="integer",
)
LOOK_AGAIN_SECONDS = 2


@router.post(
    "/login",
    operation_id="login",
    summary="Log in and get a bearer token",
    responses=answers(200, TOKEN, "Logged in.")
    | answers(202, _WAITING, "A directory is slow: ask POST /login/waiting.")
    | errors(400, 401, 422, 429),
    openapi_extra=takes("Login", {"username": "ada", "password": "correct horse battery staple"}) | {"security": []},
)
async def log_in(request: Request, body: Body) -> Response:
    """Answer a token for the Authorization header; 202 when a directory is slow: ask again with the key that it holds."""
    name, domain = text(body, "username"), text(body, "domain", required=False)
    password = text(body, "password", longest=1024)
    typed = f"{domain}\\{name}" if domain else name
    broker = broker_of(request)
    wanted = attempts.attempt(broker, typed, password, devices.program(request, body), "api")
    answer = await patience.outcome_of(broker, wanted)
    if answer is None:
        return _not_yet(wanted.key.value, Waiting(1))
    if isinstance(answer, login.Refused):
        return refused(request, answer.reason, answer.retry_after)
    return arrived(request, answer.secret, answer.me)


@router.post(
    "/login/waiting",
    operation_id="look_at_login",
    summary="What has become of a log-in that takes long",
    responses=answers(200, TOKEN, "Logged in.") | answers(202, _WAITING, "Not yet.") | errors(400, 401, 422, 429),
    openapi_extra=takes(record("login", login="string")) | {"security": []},
)
def look_at_log_in(request: Request, body: Body) -> Response:
    """Answer a token once the directory has answered, 202 until then."""
    value = text(body, "login")
    found = long_login.look(broker_of(request), value)
    if isinstance(found, Waiting):
        return _not_yet(value, found)
    if isinstance(found, Arrived):
        return _checked(request, value, found.me) if found.me.pending == "code" else arrived(request, value, found.me)
    return refused(request, found.reason, found.retry_after)


@router.post(
    "/login/code",
    operation_id="enter_code",
    summary="The code of a second factor, which a log-in has asked for",
    responses=answers(200, TOKEN, "Logged in.")
    | answers(202, _CODE, "More is asked (`code`), or it is still being checked (`waiting`): ask POST /login/waiting.")
    | errors(400, 401, 409, 422, 429, 503),
    openapi_extra=takes(record("login code", login="string", code="string", by="string")) | {"security": []},
)
async def enter_code(request: Request, body: Body) -> Response:
    """Answer a token for a right code. It may be empty where a phone is to be asked; `by` is "radius" for who has an app as well."""
    broker, value = broker_of(request), text(body, "login")
    code, by = text(body, "code", required=False), text(body, "by", required=False)
    me = await run_in_threadpool(sessions.find, broker, value, halfway=True)
    if me is None or me.pending != "code":
        return refused(request, Reason("login.too_long"), 0)
    if not await run_in_threadpool(radius_code.is_asked, broker, me, code, by):
        await run_in_threadpool(second_factor.check, broker, me, code)
        return arrived(request, value, replace(me, pending=""))
    running = await run_in_threadpool(radius_code.begin, broker, me, code)
    with suppress(TimeoutError):  # The answer tells so.
        await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running)), radius_code.PATIENCE_SECONDS)
    return await run_in_threadpool(_checked, request, value, me)


def _checked(request: Request, value: str, me: SignedIn) -> Response:
    """Answer what has become of a code that RADIUS servers were asked about. Raises Invalid, DirectoryError."""
    seen = radius_code.look(broker_of(request), me)
    if seen.state == "done":
        return arrived(request, value, replace(me, pending=""))
    if seen.state == "waiting":
        waits = {"login": value, "waiting": True, "retry_after": LOOK_AGAIN_SECONDS}
        return JSONResponse(waits, 202, {"Retry-After": str(LOOK_AGAIN_SECONDS)})
    if seen.state == "down":
        raise DirectoryError("The server that checks codes does not answer. Try again, or use a code from your paper.")
    if seen.state in radius_code.WRONG:
        sentence = {
            "refused": "This code is not right.",
            "unanswered": "Nobody has confirmed the log-in in time. Try again.",
        }[seen.state]
        raise Invalid("The code is not right.", {"code": f"{sentence} {seen.message}".strip()})
    return JSONResponse({"login": value, "code": True, "message": seen.message, "retry_after": 0}, 202)


def arrived(request: Request, token: str, me: SignedIn) -> Response:
    """Answer a token, or what is still due."""
    if me.pending == "code":
        return JSONResponse({"login": token, "code": True, "retry_after": 0}, 202)
    if me.pending:
        return refused(request, Reason("login.setup_due"), 0)
    shown = me_json(me)
    return JSONResponse({"token": token, "expires_at": shown["expires_at"], "user": shown})


def _not_yet(value: str, waiting: Waiting) -> Response:
    body = {"login": value, "position": waiting.position, "retry_after": LOOK_AGAIN_SECONDS}
    return JSONResponse(body, 202, {"Retry-After": str(LOOK_AGAIN_SECONDS)})


@router.post("/logout", operation_id="logout", status_code=204, responses=errors(401), summary="End this session")
def log_out(request: Request, me: Anyone) -> Response:
    """End the session that the token belongs to."""
    sessions.end(broker_of(request), me)
    return Response(status_code=204)


@router.get("/me", operation_id="get_me", responses=answers(200, "Me", "Who calls.") | errors(401), summary="Who I am")
def read_me(me: Anyone) -> Response:
    """Answer who calls, with role and policy."""
    return JSONResponse(me_json(me))


@router.post(
    "/me/password",
    operation_id="change_password",
    status_code=204,
    summary="Choose a new password; other sessions end",
    responses=errors(400, 401, 422, 429),
    openapi_extra=takes(record("old new", old="string", new="string")),
)
def change_password(request: Request, me: Anyone, body: Body) -> Response:
    """Change the caller's own password."""
    login.change_password(broker_of(request), me, text(body, "old", longest=1024), text(body, "new", longest=1024))
    return Response(status_code=204)


def text(body: dict[str, Any], name: str, *, longest: int = 200, required: bool = True) -> str:
    """Read a text of a body. Raises Invalid naming the field."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > longest or "\0" in value or (required and not value):
        raise Invalid("One field needs your attention.", {name: f"Give a text of 1 to {longest} characters."})
    try:
        value.encode()
    except UnicodeEncodeError as problem:
        raise Invalid("One field needs your attention.", {name: "Remove the control characters."}) from problem
    return value


def me_json(me: SignedIn) -> dict[str, Any]:
    """Return who somebody is, for the API."""
    user, role = me.user, me.role
    return {
        "id": user.id,
        "login_name": user.login_name,
        "display_name": user.display_name,
        "email": user.email,
        "tenant_id": user.tenant_id,
        "must_change_password": user.must_change_password,
        "role": {
            "id": role.id,
            "name": role.name,
            "areas": dict(role.areas),
            "may_release": role.may_release,
            "may_power": role.may_power,
        },
        "policy": {"id": me.policy.id, "name": me.policy.name},
        "expires_at": me.expires_at.isoformat().replace("+00:00", "Z"),
        "preferences": dict(me.preferences),
    }
