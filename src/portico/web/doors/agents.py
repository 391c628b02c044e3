"""The door for agents: enrolment, reports, and the held-open channel for commands (wire.agent)."""

from functools import cache
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Unauthenticated
from portico.services import agents, waiting
from portico.services.agents import AgentId
from portico.web.caller import Body, bearer_of, broker_of, client_of
from portico.web.doors.messages import AgentEnrolment, AgentJoin, AgentReport, checked
from portico.web.doors.polling import hold, number_of
from portico.web.reasons import reason_json
from portico.wire.packing import pack

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


@router.post("/join")
def join(request: Request, body: Body) -> Response:
    """Let an agent that nobody expects ask to be admitted."""
    found = waiting.ask(broker_of(request), client_of(request).address, checked(AgentJoin, body))
    if found.credentials is not None:
        return JSONResponse({"state": "admitted", **found.credentials})
    reason = reason_json(found.reason)["sentence"] if found.reason else ""
    return JSONResponse({"state": "waiting", "reason": reason, "retry_after": waiting.RETRY_SECONDS})


@router.get("/agent.pyz")
def program(request: Request) -> Response:
    """Answer the agent itself, for a machine that is to have one; nothing in it is secret."""
    return Response(_packed(), media_type="application/zip")


@cache
def _packed() -> bytes:
    return pack()


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
