"""The way to a desktop, stage by stage, and the full-window viewer at its end."""

import json
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from portico.services import connect, one_time, rdp_files, reach, release, shadowing
from portico.services.connect import Connecting
from portico.services.sessions import SignedIn
from portico.web.guard import PageRoute, posted, see, signed_in
from portico.web.portal import viewer_texts
from portico.web.rendering import N_, Page, broker_of, page, translate

router = APIRouter(route_class=PageRoute, include_in_schema=False)

ARRIVAL = Page("portal/arrival.html", ("progress",))
STAGES = (
    ("finding", N_("Finding a desktop")),
    ("starting", N_("Starting")),
    ("preparing", N_("Preparing")),
    ("connecting", N_("Connecting")),
)
# xterm.js and noVNC set styles of elements and paint from blobs, IronRDP is WebAssembly in a data URL: this page alone allows it.
VIEWER_CSP = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)


@router.get("/connections/{connection_id}")
def show(request: Request, me: Annotated[SignedIn, Depends(signed_in)], connection_id: str) -> Response:
    """Show how far the desktop is; when it is ready, the viewer."""
    found = connect.view(broker_of(request), me, connection_id)
    is_fragment = "fragment" in request.query_params
    as_file = (
        request.query_params.get("in") == "client" and found.protocol in ("", rdp_files.PROTOCOL) and not found.address
    )
    if found.state in ("ready", "open") and _in_browser(found) and not as_file:
        return Response(status_code=204, headers={"HX-Refresh": "true"}) if is_fragment else _viewer(request, me, found)
    return _arrival(request, me, found, as_file=as_file)


@router.post("/connections/{connection_id}/ticket")
def give_ticket(request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str) -> Response:
    """Hand out a ticket for the gateway, as JSON to the viewer's script."""
    answer = connect.ticket(broker_of(request), request.state.me, connection_id)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.post("/connections/{connection_id}/file")
def give_file(request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str) -> Response:
    """Hand out a file for a client of the person's device."""
    broker, me = broker_of(request), request.state.me
    found = connect.view(broker, me, connection_id)
    is_own = found.launch is not None and found.launch["kind"] == "file"
    made = (
        found.launch
        if is_own and found.launch
        else rdp_files.make(broker, me, connection_id, by_port=form.get("way") == "port")
    )
    name = made["name"].encode("ascii", "ignore").decode().replace('"', "") or "desktop"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(made["text"].encode(), media_type=made["type"], headers=headers)


@router.post("/connections/{connection_id}/password")
def show_password(request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str) -> Response:
    """Show a one-time password for a client of the person's device."""
    broker, me = broker_of(request), request.state.me
    log_in = one_time.make(broker, me, connection_id)
    found = connect.view(broker, me, connection_id)
    answer = _arrival(request, me, found, log_in=log_in)
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/connections/{connection_id}/shadows/{shadow_id}")
def answer_shadow(
    request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str, shadow_id: str
) -> Response:
    """Hear whether somebody may join the session."""
    agrees = form.get("answer") == "yes"
    shadowing.answer(broker_of(request), request.state.me, connection_id, shadow_id, agrees=agrees)
    return Response(status_code=204)


@router.post("/connections/{connection_id}/disconnect")
def disconnect(request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str) -> Response:
    """End the connection; what runs on the desktop runs on."""
    connect.disconnect(broker_of(request), request.state.me, connection_id)
    return see(request, "/")


@router.post("/connections/{connection_id}/log-out")
def log_out(request: Request, form: Annotated[FormData, Depends(posted)], connection_id: str) -> Response:
    """End the person's session on the desktop."""
    broker, me = broker_of(request), request.state.me
    release.log_out(broker, me, connect.view(broker, me, connection_id).assignment_id)
    return see(request, "/?done=logging-out")


def _arrival(
    request: Request, me: SignedIn, found: Connecting, *, as_file: bool = False, log_in: one_time.LogIn | None = None
) -> Response:
    now = [key for key, _ in STAGES].index(_stage(found)) if _stage(found) in dict(STAGES) else 0
    return page(
        request,
        ARRIVAL,
        me,
        connection=found,
        has_port=as_file and rdp_files.has_port(broker_of(request)),
        stages=STAGES,
        now_at=now,
        waiting=found.state == "waiting",
        as_file=as_file,
        has_password=found.protocol in one_time.PROTOCOLS,
        log_in=log_in,
    )


def _stage(found: Connecting) -> str:
    return str(found.progress.stage)


def _in_browser(found: Connecting) -> bool:
    return found.launch is None or found.launch.get("kind") == "browser"


def _viewer(request: Request, me: SignedIn, found: Connecting) -> Response:
    answer = page(
        request, "portal/viewer.html", me, connection=found, texts=viewer_texts.TEXTS, translated_json=translated_json
    )
    answer.headers["Content-Security-Policy"] = viewer_csp(reach.origins(broker_of(request)))
    return answer


def viewer_csp(origins: Sequence[str]) -> str:
    """Return the policy of the viewer's page, which may also speak to gateways of other origins."""
    sockets = " ".join(origin.replace("https:", "wss:", 1) for origin in origins)
    return VIEWER_CSP.replace("connect-src 'self'", f"connect-src 'self' {sockets}".rstrip())


def translated_json(texts: dict[str, str]) -> str:
    """Return the texts in the page's language, as JSON that is safe inside a script element."""
    return json.dumps({key: translate(text) for key, text in texts.items()}).replace("<", "\\u003c")
