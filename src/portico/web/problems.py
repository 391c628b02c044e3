"""Trouble as HTTP: the one place that knows status numbers. RFC 9457 problem documents for machines, pages for people."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico import logs
from portico.domain.model import NoDesktop, Reason
from portico.errors import (
    AgentUnreachable,
    CloudNotFound,
    CloudRefused,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    PorticoError,
    RateLimited,
    Stale,
    Unauthenticated,
    Unavailable,
)
from portico.services.gateways import Gone
from portico.services.recordings import Full
from portico.web.reasons import reason_json

log = logs.get(__name__)

MEDIA_TYPE = "application/problem+json"
DOORS = ("/agent/", "/gateway/")
MACHINES = ("/api/", "/scim/", *DOORS)

STATUS: Mapping[type[PorticoError], int] = {
    Invalid: 422,
    Unauthenticated: 401,
    Denied: 403,
    NotFound: 404,
    Stale: 412,
    Conflict: 409,
    RateLimited: 429,
    CloudRefused: 409,
    CloudNotFound: 409,
    AgentUnreachable: 503,
    Unavailable: 503,
    Gone: 410,
    Full: 507,
}
TITLES: Mapping[int, str] = {
    400: "The request is malformed",
    401: "You are not logged in",
    403: "You may not do this",
    404: "There is no such thing",
    405: "This cannot be done here",
    409: "This does not fit the present state",
    410: "This is over",
    412: "It was changed meanwhile",
    413: "The request is too large",
    415: "Send JSON",
    422: "Something needs your attention",
    429: "Too many tries",
    500: "This did not work",
    503: "Something does not answer",
    507: "There is no room",
}


class BadRequest(Exception):
    """What came cannot be read at all; `fields` name what is malformed."""

    def __init__(self, sentence: str, status: int = 400, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status
        self.fields = dict(fields or {})


def status_of(problem: PorticoError) -> int:
    """Return the status of trouble, by the nearest class that has one."""
    return next((STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS), 500)


def document(request: Request, status: int, code: str, sentence: str, **more: Any) -> JSONResponse:
    """Build a problem document. `more` holds members of its own, such as errors and reason."""
    body = {
        "type": f"urn:portico:problem:{code}",
        "title": TITLES.get(status, "This did not work"),
        "status": status,
        "detail": sentence,
        "code": code,
        "instance": f"urn:portico:request:{getattr(request.state, 'request_id', '')}",
        **more,
    }
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def no_desktop(request: Request, answer: NoDesktop) -> JSONResponse:
    """Build the answer to a connection that cannot be made, with the chain of reasons."""
    shown = reason_json(answer.reason)
    return document(request, 409, answer.reason.code, shown["sentence"], reason=shown)


def refused(request: Request, reason: Reason, retry_after: int) -> JSONResponse:
    """Build the answer to a log-in that was refused."""
    shown = reason_json(reason)
    answer = document(request, 429 if retry_after else 401, reason.code, shown["sentence"], reason=shown)
    if retry_after:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


async def on_problem(request: Request, problem: Exception) -> Response:
    """Answer trouble of ours."""
    assert isinstance(problem, PorticoError)
    if not request.url.path.startswith(MACHINES):
        page: Response = request.app.state.problem_page(request, problem)
        return page
    status = status_of(problem)
    if status == 422 and request.url.path.startswith(DOORS):
        status = 400  # What a machine sends wrongly is no form to mend.
    if problem.detail:
        log.info("request refused", code=problem.code, detail=problem.detail)
    more: dict[str, Any] = {}
    if isinstance(problem, Invalid):
        more["errors"] = [{"field": name, "detail": text} for name, text in problem.fields.items()]
    if problem.params:
        more["params"] = {
            key: value for key, value in problem.params.items() if isinstance(value, str | int | float | list)
        }
    answer = document(request, status, problem.code, problem.sentence, **more)
    if isinstance(problem, Unavailable):
        answer.headers["Retry-After"] = str(ceil(problem.retry_after))
    return answer


async def on_bad_request(request: Request, problem: Exception) -> Response:
    """Answer what cannot be read."""
    assert isinstance(problem, BadRequest)
    errors = [{"field": name, "detail": text} for name, text in problem.fields.items()]
    return document(request, problem.status, "malformed", problem.sentence, errors=errors)


async def on_validation(request: Request, problem: Exception) -> Response:
    """Answer a path or query that does not fit its description."""
    assert isinstance(problem, RequestValidationError)
    fields = {".".join(str(part) for part in error["loc"][1:]): str(error["msg"]) for error in problem.errors()}
    return await on_problem(request, Invalid("The request does not fit its description.", fields))


async def on_http(request: Request, problem: Exception) -> Response:
    """Answer what the framework refuses: unknown paths and methods, bodies that are too large."""
    assert isinstance(problem, HTTPException)
    if request.url.path.startswith(MACHINES) or problem.status_code not in (401, 403, 404):
        sentence = TITLES.get(problem.status_code, "This did not work")
        answer: Response = document(request, problem.status_code, f"http.{problem.status_code}", f"{sentence}.")
    else:
        found: PorticoError = (
            NotFound("There is no such page.") if problem.status_code == 404 else Denied("You may not do this.")
        )
        answer = request.app.state.problem_page(request, found)
    answer.headers.update(problem.headers or {})
    return answer


def plain_page(request: Request, problem: PorticoError) -> Response:
    """Answer as a problem document where no pages are installed."""
    return document(request, status_of(problem), problem.code, problem.sentence)


HANDLERS: Mapping[Any, Any] = {
    PorticoError: on_problem,
    BadRequest: on_bad_request,
    RequestValidationError: on_validation,
    HTTPException: on_http,
}
