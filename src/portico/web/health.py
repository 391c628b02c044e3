"""For load balancers and orchestrators: is this broker alive, and can it serve?"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from portico.services import housekeeping
from portico.web.caller import broker_of

router = APIRouter(include_in_schema=False)


@router.get("/livez")
async def livez() -> Response:
    """Answer that the process runs."""
    return PlainTextResponse("ok\n")


@router.get("/readyz")
@router.get("/healthz")
def healthz(request: Request) -> Response:
    """Answer 200 when the broker can serve, 503 when a load balancer should ask another one."""
    health = housekeeping.health(broker_of(request))
    return JSONResponse({"ok": health.ok, "parts": dict(health.parts)}, 200 if health.ok else 503)
