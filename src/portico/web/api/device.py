"""Logging a program in from a browser (RFC 8628): a code for people, and a key to ask by."""

from dataclasses import replace

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.services import device_login
from portico.services.attempts import Refused
from portico.web import devices
from portico.web.api.described import answers, errors, record, takes
from portico.web.api.session import TOKEN, arrived, text
from portico.web.caller import Body, broker_of
from portico.web.problems import refused

router = APIRouter(tags=["Session"])

_BEGUN = record(
    "device_code user_code verification_uri expires_in interval",
    **dict.fromkeys(("device_code", "user_code", "verification_uri"), "string"), expires_in="integer", interval="integer",
)  # fmt: skip


@router.post("/login/device", operation_id="begin_device_login", status_code=201, summary="Begin to log a program in from a browser",
             responses=answers(201, _BEGUN, "What to show, and the key to ask by.") | errors(400, 422, 429),
             openapi_extra=takes(record("", name="string")) | {"security": []})  # fmt: skip
def begin(request: Request, body: Body) -> Response:
    """Answer a code for people and a key for the program."""
    broker = broker_of(request)
    name, client = text(body, "name", longest=100, required=False), devices.program(request, body)
    begun = device_login.begin(broker, replace(client, name=name or client.name))
    page = f"{broker.config.public_url.rstrip('/')}/device"
    shown = {
        "device_code": begun.key.value, "user_code": begun.user_code, "verification_uri": page,
        "verification_uri_complete": f"{page}?code={begun.user_code}", "expires_in": device_login.MINUTES * 60,
        "interval": device_login.INTERVAL_SECONDS,
    }  # fmt: skip
    return JSONResponse(shown, 201)


@router.post("/login/device/token", operation_id="look_at_device_login", summary="What has become of it",
             responses=answers(200, TOKEN, "Logged in.") | answers(202, record("interval", interval="integer"), "Nobody has answered yet.")
             | errors(400, 401, 422), openapi_extra=takes(record("device_code", device_code="string")) | {"security": []})  # fmt: skip
def look(request: Request, body: Body) -> Response:
    """Answer a token once somebody has said yes, 202 until then."""
    value = text(body, "device_code")
    found = device_login.look(broker_of(request), value)
    if found is None:
        return JSONResponse({"interval": device_login.INTERVAL_SECONDS}, 202)
    return (
        refused(request, found.reason, found.retry_after)
        if isinstance(found, Refused)
        else arrived(request, value, found)
    )
