"""Recordings in the console: the player, and the content that it plays."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.services import configure, recordings
from portico.services.sessions import SignedIn
from portico.web.admin.frame import area_of
from portico.web.guard import PageRoute, administrator
from portico.web.portal import viewer_texts
from portico.web.portal.connections import VIEWER_CSP, translated_json
from portico.web.recorded import plain
from portico.web.rendering import broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin/recordings")


@router.get("/{recording_id}/replay")
def replay(request: Request, me: Annotated[SignedIn, Depends(administrator)], recording_id: str) -> Response:
    """Show a recording in the player."""
    area_of(me, "recordings")
    item = configure.get_item(broker_of(request), me.actor, "recordings", recording_id)
    kind = "asciicast" if item["protocol"] == "ssh" else "frames"
    answer = page(
        request,
        "admin/replay.html",
        me,
        recording=item,
        format=kind,
        texts=viewer_texts.PLAYER,
        translated_json=translated_json,
    )
    answer.headers["Content-Security-Policy"] = VIEWER_CSP
    return answer


@router.get("/{recording_id}/content")
def content(request: Request, me: Annotated[SignedIn, Depends(administrator)], recording_id: str) -> Response:
    """Send what was recorded to the player, in clear."""
    area_of(me, "recordings")
    return plain(recordings.open_plain(broker_of(request), me.actor, recording_id))
