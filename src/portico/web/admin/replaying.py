"""What somebody would get: a user's page, from where and as of when."""

from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.locations import SYSTEMS
from portico.domain.model import Client
from portico.errors import DirectoryError, Invalid
from portico.services import configure
from portico.services.replay import Replayed, replay
from portico.services.sessions import SignedIn
from portico.web.admin.frame import area_of, console
from portico.web.guard import PageRoute, administrator
from portico.web.rendering import N_, broker_of, speak

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")


@router.get("/users/{user_id}/explain")
def explain(request: Request, me: Annotated[SignedIn, Depends(administrator)], user_id: str) -> Response:
    """Show it, for the device and the moment that the query names."""
    speak(request, me)
    area, broker, asked = area_of(me, "users"), broker_of(request), request.query_params
    item = configure.get_item(broker, me.actor, "users", user_id)
    typed = {name: asked.get(name, "").strip()[:60] for name in ("client", "system", "kind", "at")}
    found: Replayed | None = None
    wrong = ""
    try:
        client = Client(typed["client"][:40], typed["kind"] or "web", os=typed["system"])
        found = replay(broker, me.actor, user_id, client, _moment(typed["at"], me))
    except (Invalid, DirectoryError) as problem:
        wrong = problem.sentence
    context: dict[str, Any] = {
        "item": item,
        "found": found,
        "typed": typed,
        "wrong": wrong,
        "systems": sorted({system for _, system in SYSTEMS}),
    }
    return console(request, "admin/explain.html", me, area=area, **context)


def _moment(text: str, me: SignedIn) -> datetime | None:
    """Read what a field for date and time holds, in the person's own time zone. Raises Invalid."""
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
        zone = ZoneInfo(me.preferences["zone"]) if me.preferences.get("zone") else UTC
    except (ValueError, KeyError, OSError) as problem:
        raise Invalid(N_("The moment is not understood. Choose a date and a time.")) from problem
    return typed if typed.tzinfo else typed.replace(tzinfo=zone)
