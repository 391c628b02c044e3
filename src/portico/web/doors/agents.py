"""The door for agents: enrolment, reports, and the held-open channel for commands (wire.agent)."""

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Unauthenticated
from portico.services import agents
from portico.services.agents import AgentId
from portico.web.caller import Body, bearer_of, broker_of
from portico.web.doors.messages import AgentEnrolment, AgentReport, checked
from portico.web.doors.polling import hold, number_of

router = APIRouter(prefix="/agent/v1", include_in_schema=False)


def agent_of(request: Request) -> AgentId:
    """Return the agent that calls. Raises Unauthenticated."""
    bearer = bearer_of(request)
    agent = agents.authenticate(broker_of(request), bearer) if bearer else None
    if agent is None:
        raise Unauthenticated("This agent is not enrolled, or not any more. Enrol it with a new token.")
    return agent


@router.get("/ca")
def ca(request: Request) -> Response:
    """Answer the CA's certificate, which is public; an agent compares its fingerprint."""
    return Response(agents.ca_pem(broker_of(request)), media_type="application/x-pem-file")


@router.post("/enroll")
def enroll(request: Request, body: Body) -> Response:
    """Take a one-time token for a credential."""
    return JSONResponse(agents.enroll(broker_of(request), checked(AgentEnrolment, body)))


@router.post("/report")
def report(request: Request, agent: Annotated[AgentId, Depends(agent_of)], body: Body) -> Response:
    """Take what an agent saw."""
    return JSONResponse(agents.report(broker_of(request), agent, checked(AgentReport, body)))


@router.get("/commands")
async def commands(request: Request) -> Response:
    """Answer the commands for an agent, as soon as there is one."""
    wait = number_of(request, "wait", 25)
    agent = await to_thread.run_sync(agent_of, request)
    found = await hold(request, lambda: agents.commands(broker_of(request), agent), bool, wait)
    return JSONResponse({"commands": found})
