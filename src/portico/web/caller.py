"""Who calls, and what they sent: bearer or cookie with its CSRF header, and a JSON object of bounded size."""

import hmac
import json
from typing import Annotated, Any, cast

from fastapi import Depends
from starlette.requests import Request

from portico.domain.model import Client
from portico.errors import Denied, Unauthenticated
from portico.services import reach, sessions
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.web.problems import BadRequest

CSRF_HEADER = "X-CSRF-Token"


def broker_of(request: Request) -> Broker:
    """Return the broker that the application serves."""
    return cast(Broker, request.app.state.broker)


def bearer_of(request: Request) -> str | None:
    """Return the bearer of the Authorization header (RFC 6750), None without one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    return value if scheme.lower() == "bearer" and value and value.isascii() else None


def client_of(request: Request, kind: str = "api") -> Client:
    """Return the device that calls."""
    address = request.client.host if request.client else ""
    came_by = reach.entrance(broker_of(request), request.headers.get("host", ""))
    user_agent = request.headers.get("user-agent", "")[:300]
    return Client(address=address[:40], kind=kind, user_agent=user_agent, entrance=came_by)


def signed_in(request: Request) -> SignedIn:
    """Return who calls. Raises Unauthenticated."""
    bearer = bearer_of(request)
    address = request.client.host if request.client else ""
    me = sessions.by_bearer(broker_of(request), bearer, address) if bearer else _by_cookie(request)
    if me is None:
        raise Unauthenticated("Log in first: POST /api/v1/login gives a token for the Authorization header.")
    request.state.me = me
    return me


def ready_to_work(request: Request) -> SignedIn:
    """Return who calls, once they have a password of their own. Raises Unauthenticated, Denied."""
    me = signed_in(request)
    if me.user.must_change_password:
        raise Denied("Choose a new password first: POST /api/v1/me/password, or log in to the portal.")
    return me


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body; an absent body is an empty one. Raises BadRequest."""
    raw = await request.body()
    if not raw.strip():
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise BadRequest("Send the body as application/json.", 415)
    try:
        body = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as problem:
        raise BadRequest("The body is not JSON.") from problem
    if not isinstance(body, dict):
        raise BadRequest("Send a JSON object.")
    return body


Me = Annotated[SignedIn, Depends(ready_to_work)]
Anyone = Annotated[SignedIn, Depends(signed_in)]
Body = Annotated[dict[str, Any], Depends(json_object)]


def _by_cookie(request: Request) -> SignedIn | None:
    """Accept the portal's cookie only together with the header that no foreign page can send."""
    cookie, token = request.cookies.get(sessions.COOKIE), request.headers.get(CSRF_HEADER)
    me = sessions.find(broker_of(request), cookie) if cookie and token else None
    return me if me is not None and token and hmac.compare_digest(me.csrf.encode(), token.encode()) else None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
