"""What somebody would get, played through without a trace."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.domain.model import Client
from portico.errors import Invalid
from portico.services import reach
from portico.services.replay import Replayed, replay
from portico.web.api.connections import offer_json
from portico.web.api.described import answers, errors, record
from portico.web.caller import Me, broker_of
from portico.web.reasons import reason_json

router = APIRouter(tags=["Users"])


def _parameter(name: str, text: str, *, required: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": text,
        "schema": {"type": "string", "maxLength": 300},
    }


_SAID = ("name", "os_version", "maker", "model", "software")
_REPLAYED = record(
    "user at rule groups role policy location offers refusals", **dict.fromkeys(("user", "at", "role", "policy", "location"), "string"),
    refusal="object", rule="object", groups="array", offers="array", refusals="array",
)  # fmt: skip
_ASKED = [
    _parameter("user", "Login name or id.", required=True),
    _parameter("client", "Address of the device; empty: unknown."),
    _parameter("system", "windows, macos, linux, chromeos, android or ios."),
    _parameter("name", "Name of the device."),
    _parameter("mac", "Address of its network card."),
    _parameter("os_version", "Version of its system."),
    _parameter("maker", "Its maker."),
    _parameter("model", "Its model."),
    _parameter("software", "The browser or program, such as Firefox 128."),
    _parameter("kind", '"web" (default) or "connect".'),
    _parameter("entrance", "Host by which the portal is used."),
    _parameter("at", "As of this moment, ISO 8601 with its zone; empty: now."),
]


@router.get("/explain", operation_id="explain_user", summary="What a user would get: role, policy, location, offers, and why not more",
            responses=answers(200, _REPLAYED, "What would be decided; nothing is written.") | errors(401, 403, 404, 422),
            openapi_extra={"parameters": _ASKED})  # fmt: skip
def explain(request: Request, me: Me) -> Response:
    """Answer it."""
    asked = request.query_params
    found = replay(
        broker_of(request), me.actor, asked.get("user", "")[:200], client_from(request), moment(asked.get("at", ""))
    )
    return JSONResponse(as_json(found))


def client_from(request: Request) -> Client:
    """Return the device that the query describes."""
    asked = {
        name: request.query_params.get(name, "")[:300]
        for name in ("client", "system", "kind", "entrance", "mac", *_SAID)
    }
    said: dict[str, Any] = {name: asked[name] for name in _SAID}
    macs = tuple(asked["mac"].lower().replace("-", ":").split()[:8])
    made = Client(asked["client"][:40], asked["kind"] or "web", os=asked["system"], macs=macs, **said)
    return replace(made, entrance=reach.entrance(broker_of(request), asked["entrance"]) if asked["entrance"] else "")


def moment(text: str) -> datetime | None:
    """Read a moment. Raises Invalid."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as problem:
        raise Invalid("The moment is not understood.", {"at": "Write it like 2026-12-01T08:00+01:00."}) from problem
    if found.tzinfo is None:
        raise Invalid("The moment has no time zone.", {"at": "Write it like 2026-12-01T08:00+01:00."})
    return found


def as_json(found: Replayed) -> dict[str, Any]:
    """Return what was decided, for the API."""
    return {
        "user": found.login_name,
        "at": found.at.isoformat(),
        "refusal": reason_json(found.refusal) if found.refusal else None,
        "rule": reason_json(found.rule) if found.rule else None,
        "groups": list(found.groups),
        "role": found.role,
        "policy": found.policy,
        "location": found.location,
        "offers": [
            offer_json(one.offer)
            | {"gateway": one.gateway, "obstacle": reason_json(one.obstacle) if one.obstacle else None}
            for one in found.offers
        ],
        "refusals": [reason_json(reason) for reason in found.refusals],
    }
