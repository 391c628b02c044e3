"""The console's first page: four numbers, what needs attention, the pools, and a guide for a new broker."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.services import configure, overview, trends
from portico.services.configure import Query
from portico.services.sessions import SignedIn
from portico.web.admin import charts
from portico.web.admin.frame import console
from portico.web.guard import PageRoute, administrator
from portico.web.rendering import N_, Page, broker_of

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

OVERVIEW = Page("admin/overview.html", ("live",))
# The way from an empty broker to an open desktop: noun that must exist, words, where to do it.
STEPS = (
    ("centers", N_("Connect a cloud"), N_("A center tells Portico where desktops come from."), "/admin/centers/new"),
    ("images", N_("Choose an image"), N_("Scanning the center brings its images."), "/admin/images"),
    (
        "pools",
        N_("Make a pool"),
        N_("A pool builds desktops from the image before they are needed."),
        "/admin/pools/new",
    ),
    ("users", N_("Let someone in"), N_("Add a person, and offer them the pool by a policy."), "/admin/users/new"),
    ("desktops", N_("Open it"), N_("Open the desktop from the portal, as its people will."), "/"),
)


@router.get("")
def show(request: Request, me: Annotated[SignedIn, Depends(administrator)]) -> Response:
    """Show how the fleet is doing."""
    broker = broker_of(request)
    found = overview.overview(broker, me.actor)
    steps = [] if found.pools else _steps(request, me)
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
    shown = []
    for noun, title, about, link in STEPS:
        if not access.may(me.actor, noun):
            continue
        total = configure.list_items(broker_of(request), me.actor, noun, Query(limit=1)).total
        shown.append((total > (1 if noun == "users" else 0), title, about, link))
    return shown
