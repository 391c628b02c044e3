"""The command palette: every area, every object by name, and the main actions, found by the server."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.services import configure
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web.admin import cells
from portico.web.admin.areas import AREAS
from portico.web.admin.frame import console
from portico.web.guard import PageRoute, administrator
from portico.web.rendering import Page, broker_of, speak, translate

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

PALETTE = Page("admin/palette.html", ("results",))
SEARCHED = ("desktops", "pools", "policies", "users", "centers", "images", "roles")
OBJECTS_EACH = 5


@dataclass(frozen=True, slots=True)
class Hit:
    """One line of the palette."""

    title: str
    kind: str
    icon: str
    link: str


@router.get("/palette")
def find(request: Request, me: Annotated[SignedIn, Depends(administrator)], q: str = "") -> Response:
    """Show what the typed words find."""
    speak(request, me)
    words = q.strip().casefold()[:100]
    hits = [hit for hit in _places(me) if words in hit.title.casefold()]
    if words:
        hits += _objects(request, me, words)
    return console(request, PALETTE, me, query=q, hits=hits[:30])


def _places(me: SignedIn) -> list[Hit]:
    found = []
    for area in AREAS.values():
        if access.may_handle(me.actor, area.noun, area.access):
            found.append(Hit(translate(area.title), "area", area.icon, f"/admin/{area.noun}"))
    for area in AREAS.values():
        if (
            area.create
            and access.may_make(me.actor, area.noun)
            and access.may_handle(me.actor, area.noun, area.access, access.Level.EDIT)
        ):
            found.append(Hit(translate(area.create), "action", "plus", f"/admin/{area.noun}/new"))
    return found


def _objects(request: Request, me: SignedIn, words: str) -> list[Hit]:
    found = []
    for noun in SEARCHED:
        area = AREAS[noun]
        if not access.may_handle(me.actor, area.noun, area.access):
            continue
        query = Query(search=f'"{words}"' if ":" in words else words, limit=OBJECTS_EACH, sort=area.sort)
        for item in configure.list_items(broker_of(request), me.actor, noun, query).items:
            found.append(Hit(cells.title_of(noun, item), translate(area.one), area.icon, f"/admin/{noun}/{item['id']}"))
    return found
