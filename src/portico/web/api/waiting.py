"""Agents that wait to be admitted, and the join keys that admit them."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.errors import Invalid
from portico.services import join_keys, waiting
from portico.web.api.described import answers, errors, record, takes
from portico.web.caller import Body, Me, broker_of

router = APIRouter()

FAILURES = errors(400, 401, 403, 404, 409, 422)
WAITING = record("id state instance_id", id="string", state="string", instance_id="string", hostname="string", addresses="array",
                 macs="array", source_address="string", reason="", desktop_id="", desktop="", agent_version="string",
                 created_at="string", seen_at="string")  # fmt: skip
KEY = record(
    "id name", id="string", name="string", center_id="", uses="integer", created_at="string", expires_at="", used_at=""
)
MADE = record("id name key", id="string", name="string", key="string", expires_at="")


def _items(schema: object) -> dict[str, object]:
    return {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": schema}}}


@router.get("/waiting-agents", tags=["Desktops"], operation_id="list_waiting_agents", summary="List the agents that wait to be admitted",
            responses=answers(200, _items(WAITING), "The oldest 500.") | errors(401, 403))  # fmt: skip
def list_waiting_agents(request: Request, me: Me) -> Response:
    """List who waits."""
    return JSONResponse({"items": waiting.list_waiting(broker_of(request), me.actor)})


@router.post("/waiting-agents/{id}/admit", status_code=204, tags=["Desktops"], operation_id="admit_waiting_agent",
             summary="Admit an agent to the desktop whose UUID it states; the agent before it loses its credential", responses=FAILURES)  # fmt: skip
def admit_waiting_agent(request: Request, id: str, me: Me) -> Response:
    """Admit it."""
    waiting.admit(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.post("/waiting-agents/{id}/refuse", status_code=204, tags=["Desktops"], operation_id="refuse_waiting_agent",
             summary="Refuse an agent that waits", responses=FAILURES)  # fmt: skip
def refuse_waiting_agent(request: Request, id: str, me: Me) -> Response:
    """Refuse it."""
    waiting.refuse(broker_of(request), me.actor, id)
    return Response(status_code=204)


@router.get("/join-keys", tags=["Desktops"], operation_id="list_join_keys", summary="List the keys that admit the agents of images",
            responses=answers(200, _items(KEY), "All that are not revoked.") | errors(401, 403))  # fmt: skip
def list_join_keys(request: Request, me: Me) -> Response:
    """List the keys, without their secrets."""
    return JSONResponse({"items": join_keys.list_keys(broker_of(request), me.actor)})


@router.post("/join-keys", status_code=201, tags=["Desktops"], operation_id="create_join_key", summary="Make a key that admits the agents of an image",
             responses=answers(201, MADE, "The key; it is shown once.") | errors(400, 401, 403, 422),
             openapi_extra=takes(record("name", name="string", center_id="string", days="integer"), {"name": "Debian desktops", "days": 365}))  # fmt: skip
def create_join_key(request: Request, me: Me, body: Body) -> Response:
    """Make a key."""
    name, center_id, days = body.get("name"), body.get("center_id"), body.get("days")
    wrong = {}
    if not isinstance(name, str):
        wrong["name"] = "Give a name."
    if center_id is not None and not isinstance(center_id, str):
        wrong["center_id"] = "Give the id of a center, or nothing."
    if days is not None and (not isinstance(days, int) or isinstance(days, bool)):
        wrong["days"] = "Give a number of days, or nothing."
    if wrong:
        raise Invalid("The key cannot be made so.", wrong)
    return JSONResponse(join_keys.create(broker_of(request), me.actor, str(name), center_id, days), 201)


@router.delete("/join-keys/{id}", status_code=204, tags=["Desktops"], operation_id="revoke_join_key", summary="Revoke a join key",
               responses=FAILURES)  # fmt: skip
def revoke_join_key(request: Request, id: str, me: Me) -> Response:
    """Revoke it."""
    join_keys.revoke(broker_of(request), me.actor, id)
    return Response(status_code=204)
