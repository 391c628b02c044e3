"""The doors of SAML: a provider's page sends a form here, its administrator reads who we are, its log-outs end sessions.

The form comes from another site, so that the browser leaves our cookies out. It is not looked at then, but sent once more by a
page of our own; that one counts, since it proves that it is ours and brings the cookie of the log-in that is on its way.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from portico.errors import DirectoryError, DirectoryRefused, Invalid, RateLimited
from portico.services import sign_on, sign_on_door
from portico.web.guard import PageRoute, posted_unknown, read_form
from portico.web.portal.log_in import origin_of_request
from portico.web.portal.sign_on import WAY_COOKIE, arrive, refused
from portico.web.rendering import N_, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/login/saml/{directory_id}")

MAX_ANSWER = 400_000  # characters; groups by the thousand fit
MAX_NOTICE = 40_000


@router.post("/acs")
async def take(request: Request, directory_id: str) -> Response:
    """Let a provider's answer, which another site sent, be sent once more by ourselves."""
    sign_on.provider(broker_of(request), directory_id)
    text = _answer(await read_form(request))
    back = f"/login/saml/{directory_id}/back"
    return page(request, "portal/send_on.html", action=back, answer=text)


@router.post("/back")
async def come_back(
    request: Request, directory_id: str, form: Annotated[FormData, Depends(posted_unknown)]
) -> Response:
    """Let in whom the provider vouches for; whoever began at the provider's own page begins here now."""
    broker, answer = broker_of(request), {"SAMLResponse": _answer(form)}
    sealed = request.cookies.get(WAY_COOKIE, "")
    if not sealed:
        try:
            unasked = await run_in_threadpool(sign_on_door.is_unasked, broker, directory_id, answer)
        except (DirectoryError, RateLimited) as problem:
            return await run_in_threadpool(refused, request, "", problem)
        if unasked:  # Nothing of it counts; the provider knows them by now, so asking it takes no typing.
            return page(request, "portal/onward.html", target=f"/login/with/{directory_id}", title=N_("Log in"))
    way = sign_on.unseal(broker, sealed)
    if way.directory_id != directory_id:
        raise Invalid(N_("This answer belongs to another log-in. Begin again."))
    return await arrive(request, way, answer)


@router.get("/metadata")
def describe(request: Request, directory_id: str) -> Response:
    """Show who we are to the provider."""
    described = sign_on_door.description(broker_of(request), directory_id)
    headers = {"Content-Disposition": 'inline; filename="portico-metadata.xml"'}
    return Response(described, media_type="application/samlmetadata+xml", headers=headers)


@router.get("/logout")
def end(request: Request, directory_id: str) -> Response:
    """Take a notice of a log-out that is an address, or the answer to one of ours."""
    query = str(request.url.query)
    if "SAMLRequest" not in request.query_params:
        return RedirectResponse("/login", 303)
    return _ended(request, directory_id, {"query": query})


@router.post("/logout")
async def end_by_form(request: Request, directory_id: str) -> Response:
    """Take a notice of a log-out that is a form, or the answer to one of ours. Its signature says whose it is."""
    form = await read_form(request)
    told = {name: str(form.get(name) or "") for name in ("SAMLRequest", "RelayState")}
    if not told["SAMLRequest"]:
        return RedirectResponse("/login", 303)
    return await run_in_threadpool(_ended, request, directory_id, told)


def _ended(request: Request, directory_id: str, told: dict[str, str]) -> Response:
    if sum(len(value) for value in told.values()) > MAX_NOTICE:
        raise Invalid(N_("This notice is too long."))
    here = origin_of_request(request) + sign_on_door.LOGOUT_PATH.format(directory_id)
    try:
        target = sign_on_door.logged_out(broker_of(request), directory_id, here, told)
    except DirectoryRefused as problem:
        raise Invalid(problem.sentence, detail=problem.detail) from problem
    return RedirectResponse(target or "/login", 303)


def _answer(form: FormData) -> str:
    text = form.get("SAMLResponse")
    if not isinstance(text, str) or not text:
        raise Invalid(N_("The provider sent no answer. Begin again."))
    if len(text) > MAX_ANSWER:
        raise Invalid(N_("The provider's answer is too long. Let it send fewer groups."))
    return text
