"""The door for gateways: enrolment, tickets, reports, and the held-open channel for messages (wire.gateway)."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Unauthenticated
from portico.services import agents, gateways, recordings
from portico.services.gateways import GatewayId
from portico.web.caller import Body, bearer_of, broker_of
from portico.web.doors.messages import GatewayEnrolment, GatewayReport, Redemption, checked
from portico.web.doors.polling import LONGEST_SECONDS, hold, number_of

router = APIRouter(prefix="/gateway/v1", include_in_schema=False)


def gateway_of(request: Request) -> GatewayId:
    """Return the gateway that calls. Raises Unauthenticated."""
    bearer = bearer_of(request)
    gateway = gateways.authenticate(broker_of(request), bearer) if bearer else None
    if gateway is None:
        raise Unauthenticated("This gateway is not enrolled, or not any more. Enrol it with a new token.")
    return gateway


Caller = Annotated[GatewayId, Depends(gateway_of)]


@router.get("/ca")
def ca(request: Request) -> Response:
    """Answer the CA's certificate, which is public; a gateway compares its fingerprint."""
    return Response(agents.ca_pem(broker_of(request)), media_type="application/x-pem-file")


@router.post("/enroll")
def enroll(request: Request, body: Body) -> Response:
    """Take a one-time token for a credential."""
    return JSONResponse(gateways.enroll(broker_of(request), checked(GatewayEnrolment, body)))


@router.post("/redeem")
def redeem(request: Request, gateway: Caller, body: Body) -> Response:
    """Take an entry ticket, once, for what the gateway must know to connect."""
    grant = gateways.redeem(broker_of(request), gateway, checked(Redemption, body))
    return JSONResponse(grant, headers={"Cache-Control": "no-store"})


@router.post("/report")
def report(request: Request, gateway: Caller, body: Body) -> Response:
    """Take what a gateway saw."""
    return JSONResponse(gateways.report(broker_of(request), gateway, checked(GatewayReport, body)))


@router.post("/recordings/{recording_id}")
async def recording(request: Request, recording_id: str) -> Response:
    """Take a piece of a recording."""
    offset, digest = number_of(request, "offset", 0), request.query_params.get("sha256", "")[:64]
    gateway = await to_thread.run_sync(gateway_of, request)
    content = await request.body()
    broker = broker_of(request)
    taken = await to_thread.run_sync(recordings.take, broker, gateway.id, recording_id[:40], offset, content, digest)
    return JSONResponse(taken)


@router.get("/control")
async def control(request: Request) -> Response:
    """Answer what brokers want of a gateway, as soon as there is something."""
    after = number_of(request, "after", 0)
    gateway = await to_thread.run_sync(gateway_of, request)
    found = await hold(
        request,
        lambda: gateways.control(broker_of(request), gateway, after),
        lambda answer: bool(answer["messages"]),
        LONGEST_SECONDS,
    )
    return JSONResponse(found)
