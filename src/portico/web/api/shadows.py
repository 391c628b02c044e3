"""Joining somebody's session, with the person's consent: to watch, or to help."""

from dataclasses import asdict

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Invalid
from portico.services import shadowing
from portico.web.api.described import answers, errors, record, takes
from portico.web.api.session import text
from portico.web.caller import Body, Me, broker_of

router = APIRouter(tags=["Joining sessions"])

SHADOW = record("id mode state protocol desktop user_name", **dict.fromkeys(("id", "mode", "state", "protocol", "desktop", "user_name"), "string"))  # fmt: skip


@router.post("/shadows", operation_id="create_shadow", status_code=201, summary="Ask the person of an open connection whether one may join",
             responses=answers(201, SHADOW, "The question is on its way; `state` is \"asked\".") | errors(400, 401, 403, 404, 409, 422),
             openapi_extra=takes(record("connection mode", connection="string", mode="string"),
                                 {"connection": "6b0a3c1e-6f0e-4a53-9a43-0a8f6f1d2c11", "mode": "view"}))  # fmt: skip
def create(request: Request, me: Me, body: Body) -> Response:
    """Ask."""
    made = shadowing.ask(broker_of(request), me.actor, text(body, "connection"), text(body, "mode"))
    found = shadowing.find(broker_of(request), me.actor, made)
    return JSONResponse(asdict(found), 201, {"Location": f"{request.url.path}/{made}"})


@router.get("/shadows/{id}", operation_id="get_shadow", summary="What has become of a question of mine",
            responses=answers(200, SHADOW, "asked, unanswered, declined, agreed, open or ended.") | errors(401, 403, 404))  # fmt: skip
def read(request: Request, id: str, me: Me) -> Response:
    """Answer its state."""
    return JSONResponse(asdict(shadowing.find(broker_of(request), me.actor, id)))


@router.post("/shadows/{id}/ticket", operation_id="create_shadow_ticket", status_code=201,
             summary="Get a ticket with which one joins the session at its gateway, good once and for a minute",
             responses=answers(201, record("ticket url", ticket="string", url="string"), "The ticket.") | errors(401, 403, 404, 409, 503))  # fmt: skip
def ticket(request: Request, id: str, me: Me) -> Response:
    """Answer a ticket, which is never to be put into a URL."""
    return JSONResponse(shadowing.ticket(broker_of(request), me.actor, id), 201, {"Cache-Control": "no-store"})


@router.delete("/shadows/{id}", operation_id="delete_shadow", status_code=204, summary="Leave, or take the question back",
               responses=errors(401, 403, 404))  # fmt: skip
def end(request: Request, id: str, me: Me) -> Response:
    """End it."""
    shadowing.end(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/connections/{id}/shadows/{shadow_id}", operation_id="answer_shadow", status_code=204,
             summary="Say whether somebody may join a session of mine", responses=errors(400, 401, 403, 404, 409, 422),
             openapi_extra=takes({"type": "object", "required": ["agrees"], "properties": {"agrees": {"type": "boolean"}}},
                                 {"agrees": True}))  # fmt: skip
def answer(request: Request, id: str, shadow_id: str, me: Me, body: Body) -> Response:
    """Hear the person's word."""
    agrees = body.get("agrees")
    if not isinstance(agrees, bool):
        raise Invalid("Say whether you agree.", {"agrees": "true or false is wanted."})
    shadowing.answer(broker_of(request), me, id, shadow_id, agrees=agrees)
    return Response(status_code=204)
