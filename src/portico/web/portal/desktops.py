"""The one screen of the portal: what may be opened, and why something may not."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.model import NoDesktop, Offer, PowerAction, Reason
from portico.errors import Denied, Invalid
from portico.services import connect, portal, power, rdp_files, release
from portico.services.sessions import SignedIn
from portico.web.caller import client_of
from portico.web.guard import PageRoute, posted, see, signed_in
from portico.web.rendering import N_, Page, broker_of, page

router = APIRouter(route_class=PageRoute, include_in_schema=False)

HOME = Page("portal/desktops.html", ("cards",))
OPENS = ("open", "start", "reconnect")
DONE = {
    "released": N_("The desktop was given back."),
    "restarting": N_("The desktop restarts. It can be opened again in a moment."),
    "logging-out": N_("You are being logged out of the desktop."),
}


@router.get("/")
def show_desktops(
    request: Request, me: Annotated[SignedIn, Depends(signed_in)], arrived: bool = False, done: str = ""
) -> Response:
    """Show what the person may open."""
    return home(request, me, arrived=arrived, done=done)


@router.post("/connect")
def open_desktop(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Take the offered desktop and go to its page; a refusal stands on its card."""
    me: SignedIn = request.state.me
    offer, protocol = str(form.get("offer") or "")[:200], str(form.get("protocol") or "")[:20] or None
    # An RDP client comes through the gateway's own door for it; the others each need a port.
    native = form.get("in") == "client" and protocol not in (None, rdp_files.PROTOCOL)
    client = client_of(request, "connect" if native else "web")
    outcome = connect.connect(broker_of(request), me, offer, client, protocol)
    if isinstance(outcome, NoDesktop):
        return home(request, me, status=409, refused={offer: outcome.reason})
    return see(request, f"/connections/{outcome.id}" + ("?in=client" if form.get("in") == "client" else ""))


@router.post("/assignments/{assignment_id}/{action}")
def act(request: Request, form: Annotated[FormData, Depends(posted)], assignment_id: str, action: str) -> Response:
    """Restart, give back, or log out of the desktop that the person has."""
    broker, me = broker_of(request), request.state.me
    if action == "restart":
        power.own_power(broker, me, assignment_id, PowerAction.REBOOT)
        return see(request, "/?done=restarting")
    if action == "release":
        release.release(broker, me, assignment_id)
        return see(request, "/?done=released")
    if action == "log-out":
        release.log_out(broker, me, assignment_id)
        return see(request, "/?done=logging-out")
    raise Invalid(N_("There is no such action."))


def home(
    request: Request,
    me: SignedIn,
    status: int = 200,
    refused: Mapping[str, Reason] | None = None,
    **more: object,
) -> Response:
    """Render the desktops, with refusals by offer id."""
    if not me.role.may_log_in:
        raise Denied(N_("Your role may not use the portal."))
    found = portal.offers(broker_of(request), me)
    only = found.offers[0] if len(found.offers) == 1 else None
    auto = only if only and me.policy.auto_open and more.get("arrived") and only.action in OPENS else None
    return page(
        request,
        HOME,
        me,
        status,
        offers=found.offers,
        refusals=found.refusals,
        refused=dict(refused or {}),
        auto=auto,
        note=DONE.get(str(more.get("done") or ""), ""),
        tone=tone,
        kinds=KINDS,
        actions=ACTIONS,
        clients=CLIENTS,
        browser=connect.DOORS,
    )


def tone(offer: Offer) -> str:
    """Return the tone of an offer's card."""
    return {
        "ready": "ready",
        "in use": "use",
        "disconnected": "use",
        "preparing": "working",
        "unavailable": "trouble",
    }.get(offer.state, "off")


KINDS = {
    "linux": (N_("Linux desktop"), "monitor"),
    "windows": (N_("Windows desktop"), "layout-grid"),
    "application": (N_("Application"), "app-window"),
    "": (N_("Desktop"), "monitor"),
}
CLIENTS = {  # protocols as the programs that speak them are known
    "rdp": N_("RDP client"),
    "vnc": N_("VNC viewer"),
    "ssh": N_("SSH client"),
    "rgs": N_("HP ZCentral receiver"),
    "tgx": N_("TGX receiver"),
    "nomachine": N_("NoMachine client"),
    "dcv": N_("DCV client"),
    "pcoip": N_("PCoIP client"),
}
ACTIONS = {
    "open": (N_("Open"), "arrow-right"),
    "start": (N_("Start and open"), "power"),
    "reconnect": (N_("Reconnect"), "plug"),
}
