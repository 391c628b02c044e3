"""Where somebody lets a program in that shows a code."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.errors import Denied, NotFound, RateLimited
from portico.services import device_login
from portico.services.sessions import SignedIn
from portico.web.guard import PageRoute, posted, signed_in
from portico.web.rendering import broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

MAX_CODE = 40


@router.get("/device")
def ask(request: Request, me: Annotated[SignedIn, Depends(signed_in)], code: str = "") -> Response:
    """Ask for the code; one that stands in the address is only filled in, never answered."""
    return _page(request, me, code=code[:MAX_CODE])


@router.post("/device")
def answer(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Show which program it is, or let it in, or keep it out."""
    me: SignedIn = request.state.me
    code, said = str(form.get("code") or "")[:MAX_CODE], str(form.get("answer") or "")
    broker = broker_of(request)
    try:
        if said not in ("yes", "no"):
            return _page(request, me, code=code, asked=device_login.find(broker, me, code))
        device_login.decide(broker, me, code, approve=said == "yes")
    except (NotFound, RateLimited, Denied) as problem:
        return _page(request, me, 422, code=code, errors={"code": problem.sentence})
    return _page(request, me, said=said)


def _page(request: Request, me: SignedIn, status: int = 200, **shown: Any) -> Response:
    defaults: dict[str, Any] = {"code": "", "asked": None, "errors": {}, "said": ""}
    return page(request, "portal/device.html", me, status, **{**defaults, **shown})
