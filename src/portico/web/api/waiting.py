"""What an administrator decides about agents that wait to be admitted."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portico.errors import Invalid
from portico.services import waiting
from portico.web.api.actions import FAILURES
from portico.web.api.described import record, takes
from portico.web.caller import Body, Me, broker_of

router = APIRouter()


@router.post("/waiting-agents/{id}/admit", status_code=204, tags=["Waiting agents"], operation_id="admit_waiting_agent",
             summary="Admit an agent to the desktop whose UUID it states, or to the one that is named; the agent before it loses its credential",
             responses=FAILURES, openapi_extra=takes(record("", desktop_id="string")))  # fmt: skip
def admit_waiting_agent(request: Request, id: str, me: Me, body: Body) -> Response:
    """Admit it."""
    desktop_id = body.get("desktop_id")
    if desktop_id is not None and not isinstance(desktop_id, str):
        raise Invalid("The agent cannot be admitted so.", {"desktop_id": "Give the id of a desktop, or nothing."})
    waiting.admit(broker_of(request), me.actor, id, desktop_id)
    return Response(status_code=204)


@router.post("/waiting-agents/{id}/refuse", status_code=204, tags=["Waiting agents"], operation_id="refuse_waiting_agent",
             summary="Refuse an agent that waits", responses=FAILURES)  # fmt: skip
def refuse_waiting_agent(request: Request, id: str, me: Me) -> Response:
    """Refuse it."""
    waiting.refuse(broker_of(request), me.actor, id)
    return Response(status_code=204)
