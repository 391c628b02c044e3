"""Who is at the door of a page: the session behind the cookie, and proof that a POST comes from our own pages."""

import hmac
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Depends
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portico.domain import access
from portico.domain.tenants import at_door
from portico.errors import Denied, Invalid, PorticoError
from portico.services import sessions
from portico.services.sessions import SignedIn
from portico.web.problem_pages import problem_page
from portico.web.rendering import N_, broker_of

PASSWORD_PATHS = ("/password", "/log-out")
HALFWAY = {"code": "/login/code", "setup": "/second-factor"}  # where what is due is done
MAX_FIELDS = 2_000
DEFAULT_PORTS = {"https": 443, "http": 80}


class GoTo(Exception):
    """This page cannot be shown now: another one comes first."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.location = location


def signed_in(request: Request) -> SignedIn:
    """Return who is logged in; leads to the log-in page, or to the password page where a new password is due."""
    cookie = request.cookies.get(sessions.COOKIE, "")
    me = sessions.find(broker_of(request), cookie) if cookie else None
    if me is None and (step := halfway(request)) is not None:
        raise GoTo(HALFWAY[step.pending])
    if me is None:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        back = here if request.method == "GET" and "fragment" not in request.query_params else "/"
        raise GoTo(f"/login?next={quote(back, safe='')}" + ("&expired=1" if cookie else ""))
    if me.user.must_change_password and request.url.path not in PASSWORD_PATHS:
        raise GoTo("/password")
    request.state.me = me
    return me


def halfway(request: Request) -> SignedIn | None:
    """Return who has given a right password and still owes the second factor."""
    cookie = request.cookies.get(sessions.COOKIE, "")
    me = sessions.find(broker_of(request), cookie, halfway=True) if cookie else None
    return me if me is not None and me.pending else None


def on_the_way(request: Request) -> SignedIn:
    """Return who owes the second factor, or is logged in; leads everybody else to the log-in page."""
    me = halfway(request)
    if me is None:
        return signed_in(request)
    request.state.me = me
    return me


async def posted_on_the_way(request: Request, me: SignedIn = Depends(on_the_way)) -> FormData:
    """Return the form of a POST as `posted` does, also of who owes the second factor. Raises Denied."""
    return await posted(request, me)


def administrator(me: SignedIn = Depends(signed_in)) -> SignedIn:
    """Return who is logged in if the console has anything for them. Raises Denied."""
    if not access.is_administrator(me.actor):
        raise Denied(N_("Your role has no access to the console."))
    return me


async def posted(request: Request, me: SignedIn = Depends(signed_in)) -> FormData:
    """Return the form of a POST that comes from one of our pages, shown to this very session. Raises Denied."""
    check_origin(request)
    form = await read_form(request)
    token = request.headers.get("x-csrf-token") or str(form.get("csrf") or "")
    if not hmac.compare_digest(token.encode(), me.csrf.encode()):
        raise Denied(
            N_("This form was opened in a session that has ended. Go back, load the page again and repeat it.")
        )
    return form


async def posted_unknown(request: Request) -> FormData:
    """Return the form of a POST by somebody who is not logged in: our own page is proven by the origin. Raises Denied."""
    check_origin(request)
    return await read_form(request)


async def read_form(request: Request) -> FormData:
    """Read a form without files. Raises Invalid when it is none."""
    try:
        return await request.form(max_files=0, max_fields=MAX_FIELDS)
    except Exception as problem:  # Starlette, python-multipart and codecs each raise their own.
        raise Invalid(N_("The form that was sent cannot be read."), detail=str(problem)) from problem


def check_origin(request: Request) -> None:
    """Refuse what another site made the browser send: every browser of today sends Origin or Sec-Fetch-Site. Raises Denied."""
    origin = request.headers.get("origin", "null")
    site = request.headers.get("sec-fetch-site", "")
    config = broker_of(request).config
    ours = {origin_of(url) for url in (config.public_url, *config.other_urls)}
    ours |= {("https", *own) for own in _doors(request)}
    foreign = (origin != "null" and origin_of(origin) not in ours) or (site and site != "same-origin")
    if foreign or (origin == "null" and not site):
        raise Denied(
            N_("This request did not come from a page of this site."), detail=f"origin {origin!r}, site {site!r}"
        )


def _doors(request: Request) -> list[tuple[str, int]]:
    """Return host and port by which the request came, when the host is that of a tenant's own log-in page."""
    host = (request.url.hostname or "").casefold()
    known = at_door(broker_of(request).snapshots.get().tenants.values(), host)
    return [(host, request.url.port or DEFAULT_PORTS["https"])] if known is not None else []


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of a URL, the default port filled in; None when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, (parts.hostname or "").lower(), port) if parts.hostname else None


def local_path(target: str) -> str:
    """Return where to go after log-in: a path of ours, or the portal when `target` is anything else."""
    plain = target.startswith("/") and not target.startswith("//") and target.isprintable() and "\\" not in target
    return target if plain and not urlsplit(target).netloc and not target.startswith("/login") else "/"


def see(request: Request, location: str) -> Response:
    """Lead the browser to another page of ours, whether it asked by itself or through htmx."""
    if request.headers.get("hx-request") == "true":
        return Response(status_code=204, headers={"HX-Redirect": location})
    return RedirectResponse(location, status_code=303)


class PageRoute(APIRoute):
    """A route whose refusals are pages: trouble becomes a page with its sentence, nobody logged in becomes the log-in page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of FastAPI."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except GoTo as way:
                return see(request, way.location)
            except PorticoError as problem:
                return problem_page(request, problem)
            except RequestValidationError:
                return problem_page(request, Invalid(N_("The address of this page is not complete.")))

        return guarded
