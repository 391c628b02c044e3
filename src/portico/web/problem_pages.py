"""Trouble as a page: what happened, what to do, and a code for the help desk; never a stack trace."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico import logs
from portico.errors import PorticoError, Unavailable
from portico.web.problems import STATUS
from portico.web.rendering import N_, page

log = logs.get(__name__)

TITLES = {
    401: N_("You are not logged in"),
    403: N_("This is not open to you"),
    404: N_("There is no such page"),
    409: N_("This has changed meanwhile"),
    410: N_("This is over"),
    412: N_("This has changed meanwhile"),
    422: N_("This cannot be used"),
    429: N_("Too many tries"),
    500: N_("This did not work"),
    503: N_("Something does not answer"),
}
REMEDIES = {
    403: N_("If you need it, ask your administrator."),
    404: N_("It may have been deleted. Go back to the start and look for it there."),
    409: N_("Load the page again to see how it is now."),
    500: N_("Try again. If it happens again, give the code below to your administrator."),
    503: N_("Try again in a few seconds."),
}


def status_of(problem: PorticoError) -> int:
    """Return the HTTP status of trouble, by the nearest class that has one."""
    return next((STATUS[kind] for kind in type(problem).__mro__ if kind in STATUS), 500)


def problem_page(request: Request, problem: PorticoError) -> Response:
    """Render the page of some trouble, or JSON where a script asked."""
    status = status_of(problem)
    log.info("page refused", code=problem.code, path=request.url.path, detail=problem.detail)
    headers = {"Retry-After": str(int(problem.retry_after))} if isinstance(problem, Unavailable) else {}
    if "application/json" in request.headers.get("accept", ""):
        body = {
            "code": problem.code,
            "title": TITLES.get(status, TITLES[500]),
            "detail": problem.sentence,
            "status": status,
        }
        return JSONResponse(body, status, headers, media_type="application/problem+json")
    answer = page(
        request,
        "problem.html",
        getattr(request.state, "me", None),
        status,
        title=TITLES.get(status, TITLES[500]),
        sentence=problem.sentence,
        remedy=REMEDIES.get(status, ""),
        code=problem.code,
        params=problem.params,
        correlation=getattr(request.state, "request_id", ""),
    )
    answer.headers.update(headers)
    return answer
