"""Joining somebody's session from the console: ask, wait for the word, and look."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.services import reach, shadowing
from portico.services.sessions import SignedIn
from portico.web.admin.frame import area_of, console
from portico.web.guard import PageRoute, administrator, posted, see
from portico.web.portal import viewer_texts
from portico.web.portal.connections import translated_json, viewer_csp
from portico.web.rendering import Page, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin/shadows")

WAITING = Page("admin/shadow.html", ("progress",))


@router.post("")
def ask(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Ask the person of a connection."""
    me: SignedIn = request.state.me
    connection, mode = str(form.get("connection") or ""), str(form.get("mode") or "")
    return see(request, f"/admin/shadows/{shadowing.ask(broker_of(request), me.actor, connection, mode)}")


@router.get("/{shadow_id}")
def show(request: Request, me: Annotated[SignedIn, Depends(administrator)], shadow_id: str) -> Response:
    """Show what has become of the question; once it is agreed to, the session."""
    found = shadowing.find(broker_of(request), me.actor, shadow_id)
    if found.state not in ("agreed", "open"):
        return console(request, WAITING, me, area=area_of(me, "desktop-sessions"), shadow=found)
    if "fragment" in request.query_params:
        return Response(status_code=204, headers={"HX-Refresh": "true"})
    answer = page(
        request, "admin/shadow_view.html", me, shadow=found, texts=viewer_texts.TEXTS, translated_json=translated_json
    )
    answer.headers["Content-Security-Policy"] = viewer_csp(reach.origins(broker_of(request)))
    return answer


@router.post("/{shadow_id}/ticket")
def give_ticket(request: Request, form: Annotated[FormData, Depends(posted)], shadow_id: str) -> Response:
    """Hand out a ticket for the gateway, as JSON to the viewer's script."""
    answer = shadowing.ticket(broker_of(request), request.state.me.actor, shadow_id)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.post("/{shadow_id}/end")
def end(request: Request, form: Annotated[FormData, Depends(posted)], shadow_id: str) -> Response:
    """Leave the session, or take the question back."""
    shadowing.end(broker_of(request), request.state.me.actor, shadow_id)
    return see(request, "/admin/desktop-sessions")
