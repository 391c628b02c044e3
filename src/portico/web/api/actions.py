"""Actions of administrators as sub-resources: power, release, refill, unlock and the like."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.domain.model import PowerAction
from portico.errors import Invalid
from portico.services import configure_tokens, gateways, operate, power, release, second_factor
from portico.web.api.described import answers, errors, record, takes
from portico.web.caller import Body, Me, broker_of

router = APIRouter()

JOB = record("job", job="string")
_SECRET = record("secret", secret="string")  # noqa: S106 - a type, no password
FAILURES = errors(400, 401, 403, 404, 409, 422, 503)


def queued(job_id: str) -> JSONResponse:
    """Answer work that a job does."""
    return JSONResponse({"job": job_id}, 202, {"Location": f"/api/v1/jobs/{job_id}"})


@router.post("/desktops/{id}/power", status_code=202, tags=["Desktops"], operation_id="power_desktop",
             summary="Start, stop or otherwise change a desktop's power", responses=answers(202, JOB, "The job that does it.") | FAILURES,
             openapi_extra=takes({"type": "object", "required": ["action"], "properties": {"action": {"enum": list(PowerAction)}}},
                                 {"action": "stop"}))  # fmt: skip
def power_desktop(request: Request, id: str, me: Me, body: Body) -> Response:
    """Queue a power action."""
    return queued(power.power(broker_of(request), me.actor, id, _action(body)))


@router.post("/desktops/{id}/release", status_code=204, tags=["Desktops"], operation_id="release_desktop",
             summary="Take a desktop back from whoever has it", responses=FAILURES)  # fmt: skip
def release_desktop(request: Request, id: str, me: Me) -> Response:
    """Release all assignments of a desktop."""
    release.release_desktop(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.delete("/desktops/{id}", status_code=202, tags=["Desktops"], operation_id="delete_desktop",
               summary="Delete a desktop and its machine", responses=answers(202, JOB, "The job that does it.") | FAILURES)  # fmt: skip
def delete_desktop(request: Request, id: str, me: Me) -> Response:
    """Queue the deletion of a desktop."""
    return queued(power.delete_desktop(broker_of(request), me.actor, id))


@router.post("/tokens/{id}/rotate", tags=["API tokens"], operation_id="rotate_token", summary="A new secret for a token",
             responses=answers(200, _SECRET, "The new secret, shown this once.") | FAILURES,
             openapi_extra=takes({"type": "object", "properties": {"hours": {"type": "integer", "minimum": 0, "maximum": 168}}},
                                 {"hours": 24}))  # fmt: skip
def rotate_token(request: Request, id: str, me: Me, body: Body) -> Response:
    """Change it; the one before is good for some more hours."""
    hours = body.get("hours", 24)
    if not isinstance(hours, int) or isinstance(hours, bool):
        raise Invalid("The token was not changed.", {"hours": "Give a whole number."})
    made = configure_tokens.rotate(broker_of(request), me.actor, id, hours)
    return JSONResponse(made, headers={"Cache-Control": "no-store"})


@router.post("/pools/{id}/refill", status_code=202, tags=["Pools"], operation_id="refill_pool",
             summary="Look at a pool's limits now", responses=answers(202, JOB, "The job that does it.") | FAILURES)  # fmt: skip
def refill_pool(request: Request, id: str, me: Me) -> Response:
    """Queue a look at a pool's limits."""
    return queued(operate.refill(broker_of(request), me.actor, id))


@router.post("/users/{id}/unlock", status_code=204, tags=["Users"], operation_id="unlock_user",
             summary="Let a user who was locked out try again", responses=FAILURES)  # fmt: skip
def unlock_user(request: Request, id: str, me: Me) -> Response:
    """End a lock-out."""
    operate.unlock(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/users/{id}/second-factor/reset", status_code=204, tags=["Users"], operation_id="reset_second_factor",
             summary="Take a lost second factor from a user", responses=FAILURES)  # fmt: skip
def reset_second_factor(request: Request, id: str, me: Me) -> Response:
    """Let a user in by the password alone, until a new one is set up."""
    second_factor.reset(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/users/{id}/sessions/end", tags=["Users"], operation_id="end_user_sessions", summary="Log a user out everywhere",
             responses=answers(200, record("ended", ended="integer"), "How many sessions ended.") | FAILURES)  # fmt: skip
def end_user_sessions(request: Request, id: str, me: Me) -> Response:
    """End all sessions of a user."""
    return JSONResponse({"ended": operate.end_sessions(broker_of(request), me.actor, id)})


@router.post("/sessions/{id}/end", status_code=204, tags=["Sessions"], operation_id="end_session",
             summary="Log a user out of one session", responses=FAILURES)  # fmt: skip
def end_session(request: Request, id: str, me: Me) -> Response:
    """End a session."""
    operate.end_session(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/gateways/tokens", status_code=201, tags=["Gateways"], operation_id="create_gateway_token",
             summary="Make a one-time token with which a gateway enrols",
             responses=answers(201, record("token", token="string"), "The token; it is shown once.") | FAILURES)  # noqa: S106  # fmt: skip
def create_gateway_token(request: Request, me: Me, realm: str = "") -> Response:
    """Make an enrolment token, for a gateway of a realm if one is named."""
    return JSONResponse({"token": gateways.new_token(broker_of(request), me.actor, realm[:40])}, 201)


def _action(body: dict[str, Any]) -> PowerAction:
    try:
        return PowerAction(str(body.get("action")))
    except ValueError as problem:
        sentence = f"Choose one of {', '.join(PowerAction)}."
        raise Invalid("One field needs your attention.", {"action": sentence}) from problem
