"""The console's first page: four numbers, what needs attention, the pools, and a guide for a new broker."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.services import guide, overview, trends
from portico.services.sessions import SignedIn
from portico.web.admin import charts
from portico.web.admin.frame import console
from portico.web.guard import PageRoute, administrator
from portico.web.rendering import N_, Page, broker_of

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

OVERVIEW = Page("admin/overview.html", ("live",))
# The way from an empty broker to an open desktop: what services.guide calls the step, words, where to do it, and the role's area.
STEPS = (
    ("center", N_("Connect a cloud"), N_("A center tells Portico where desktops come from."), "/admin/centers/new", "centers"),
    ("image", N_("Choose an image"), N_("Scanning the center brings its images; make a pool from one."), "/admin/images", "images"),
    ("pool", N_("Make a pool"), N_("A pool builds desktops from the image before they are needed."), "/admin/pools/new", "pools"),
    ("offer", N_("Let someone in"), N_("A policy offers the pool to its people."), "/admin/policies", "policies"),
    ("open", N_("Open it"), N_("Open the desktop from the portal, as its people will."), "/", ""),
)  # fmt: skip


@router.get("")
def show(request: Request, me: Annotated[SignedIn, Depends(administrator)]) -> Response:
    """Show how the fleet is doing."""
    broker = broker_of(request)
    found = overview.overview(broker, me.actor)
    steps = _steps(request, me)
    trend = trends.day(broker, me.actor)
    nodes = [
        (noun, node)
        for noun, known in (("brokers", found.brokers), ("gateways", found.gateways))
        if access.may(me.actor, noun)
        for node in known
    ]
    chart = charts.demand(trend.demand, broker.now())
    return console(
        request, OVERVIEW, me, found=found, steps=steps, trend=trend, chart=chart, nodes=nodes, here="overview"
    )


def _steps(request: Request, me: SignedIn) -> list[tuple[bool, str, str, str]]:
    """Return the guide; nothing once somebody has opened a desktop."""
    way = guide.steps(broker_of(request), me.actor)
    if way.done["open"]:
        return []
    links = {"pool": f"/admin/pools/new?image={way.image_id}" if way.image_id else "/admin/pools/new"}
    if way.policy_id and way.pool_id:
        links["offer"] = f"/admin/policies/{way.policy_id}?tab=settings&offer={way.pool_id}"
    return [
        (way.done[step], title, about, links.get(step, link))
        for step, title, about, link, area in STEPS
        if not area
        or (access.may(me.actor, area, access.Level.EDIT) and (area == "images" or access.may_make(me.actor, area)))
    ]
