"""The frame of every console page: navigation by role, breadcrumbs with the tenant, and the note after an action."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from portico.domain import access
from portico.errors import Denied, NotFound
from portico.services import configure
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.web.admin.areas import AREAS, GROUPS, NAVIGATION_TITLES, Area
from portico.web.rendering import N_, Page, broker_of, page

NOTES = {
    "saved": N_("Saved."),
    "created": N_("Created."),
    "deleted": N_("Deleted."),
    "restored": N_("It is back."),
    "queued": N_("Asked for. It shows here as soon as it is done."),
    "released": N_("The desktop is being taken back."),
    "cancelled": N_("The job was cancelled."),
    "retried": N_("The job runs again at once."),
    "ended": N_("The session was ended."),
    "disconnected": N_("The connection was closed."),
    "logged-out": N_("The person is being logged out."),
    "unlocked": N_("The user can log in again."),
    "reset": N_("The second factor was reset. Until they set up a new one, the password alone is enough."),
    "admitted": N_("The agent is admitted; it begins to work within half a minute."),
    "refused": N_("The agent is refused."),
    "kept": N_("It stays where it is."),
    "adopted": N_("It is a desktop again. Set it available when it may be offered."),
    "mended": N_("Done. This is what is found now."),
    "scanning": N_("The center is being scanned. New machines and images show here in a moment."),
}


def area_of(me: SignedIn, noun: str, level: access.Level = access.Level.VIEW) -> Area:
    """Return an area if the role reaches it. Raises NotFound, Denied."""
    area = AREAS.get(noun)
    if area is None:
        raise NotFound(N_("The console has no such page."))
    if not access.may_handle(me.actor, area.noun, area.access, level):
        raise Denied(N_("Your role does not reach this area of the console."))
    return area


def console(
    request: Request, what: Page | str, me: SignedIn, status: int = 200, *, area: Area | None = None, **context: Any
) -> HTMLResponse:
    """Render a page of the console inside its frame."""
    frame: Mapping[str, Any] = {
        "navigation": navigation(me),
        "area": area,
        "here": area.group[0] if area and area.group else area.noun if area else "",
        "note": NOTES.get(request.query_params.get("done", ""), ""),
        "undo": request.query_params.get("undo", "")[:100],
        "counted": request.query_params.get("count", ""),
        "group": [noun for noun in area.group if access.may_handle(me.actor, noun, AREAS[noun].access)] if area else [],
        "can_make": bool(area and area.create and access.may_make(me.actor, area.noun)),
        "can_edit": bool(area and access.may_handle(me.actor, area.noun, area.access, access.Level.EDIT)),
        "areas": AREAS,
        "to_administrator": True,
        "tenant_name": tenant_name(broker_of(request), me),
    }
    return page(request, what, me, status, **{**frame, **context})


def tenant_name(broker: Broker, me: SignedIn) -> str:
    """Return what the tenant is called, for whoever may know; the frame says "Console" otherwise."""
    if not access.may(me.actor, "tenants"):
        return ""
    return str(configure.get_item(broker, me.actor, "tenants", me.user.tenant_id)["name"])


def navigation(me: SignedIn) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Return the groups of the navigation with what this role may view: (noun, title, icon)."""
    shown = []
    for title, nouns in GROUPS:
        entries = [
            (noun, *NAVIGATION_TITLES.get(noun, (AREAS[noun].title, AREAS[noun].icon)))
            for noun in nouns
            if access.may_handle(me.actor, noun, AREAS[noun].access)
        ]
        if entries:
            shown.append((title, entries))
    return shown
