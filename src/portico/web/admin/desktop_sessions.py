"""Live sessions on desktops: who is at work where, and ending that for them."""

from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.domain.access import Actor
from portico.errors import Invalid
from portico.services import desktop_sessions
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.web.admin.frame import area_of, console
from portico.web.guard import PageRoute, administrator, local_path, posted, see
from portico.web.rendering import N_, Page, broker_of

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin/desktop-sessions")

LIST = Page("admin/desktop_sessions.html", ("rows",))
ACTIONS: Mapping[str, tuple[Callable[[Broker, Actor, str], None], str]] = {
    "disconnect": (desktop_sessions.disconnect, "disconnected"),
    "log-out": (desktop_sessions.log_out, "logged-out"),
    "release": (desktop_sessions.release, "released"),
}


@router.get("")
def browse(request: Request, me: Annotated[SignedIn, Depends(administrator)], q: str = "") -> Response:
    """Show who holds which desktop."""
    area = area_of(me, "desktop-sessions")
    rows = desktop_sessions.held(broker_of(request), me.actor, q.strip()[:100])
    return console(request, LIST, me, area=area, rows=rows, query=q)


@router.post("/{assignment_id}/do/{action}")
def act(request: Request, form: Annotated[FormData, Depends(posted)], assignment_id: str, action: str) -> Response:
    """Do it and go back to where it was asked for."""
    me: SignedIn = request.state.me
    area_of(me, "desktop-sessions", access.Level.EDIT)
    if action not in ACTIONS:
        raise Invalid(N_("There is no such action."))
    do, note = ACTIONS[action]
    do(broker_of(request), me.actor, assignment_id)
    return see(request, f"{local_path(str(form.get('back') or '/admin/desktop-sessions'))}?done={note}")
