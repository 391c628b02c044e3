"""What the console does besides saving: power, taking back, scans, jobs, people, gateways."""

import secrets
from collections.abc import Callable, Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.domain.access import Actor
from portico.domain.model import PowerAction
from portico.errors import Invalid
from portico.services import centers, configure, gateways, leaks, operate, power, queue, release, second_factor, waiting
from portico.services.broker import Broker
from portico.services.sessions import SignedIn
from portico.web.admin.frame import area_of, console
from portico.web.guard import PageRoute, posted, see
from portico.web.rendering import N_, broker_of

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

PASSWORD_BYTES = 12
GOING = ("sessions", "leaks", "waiting-agents")  # what an action may take away: the list is where one goes on
Action = Callable[[Broker, Actor, str], object]


def _power(action: PowerAction) -> Action:
    return lambda broker, actor, id: power.power(broker, actor, id, action)


# (noun, action) → what it does, and the note that tells so.
ACTIONS: Mapping[tuple[str, str], tuple[Action, str]] = {
    ("desktops", "start"): (_power(PowerAction.START), "queued"),
    ("desktops", "shutdown"): (_power(PowerAction.SHUTDOWN), "queued"),
    ("desktops", "stop"): (_power(PowerAction.STOP), "queued"),
    ("desktops", "reboot"): (_power(PowerAction.REBOOT), "queued"),
    ("desktops", "reset"): (_power(PowerAction.RESET), "queued"),
    ("desktops", "suspend"): (_power(PowerAction.SUSPEND), "queued"),
    ("desktops", "resume"): (_power(PowerAction.RESUME), "queued"),
    ("desktops", "rebuild"): (_power(PowerAction.REBUILD), "queued"),
    ("desktops", "release"): (lambda broker, actor, id: release.release_desktop(broker, actor, id), "released"),
    ("desktops", "remove"): (lambda broker, actor, id: power.delete_desktop(broker, actor, id), "queued"),
    ("desktops", "available"): (lambda broker, actor, id: power.set_status(broker, actor, id, True), "saved"),
    ("desktops", "unavailable"): (lambda broker, actor, id: power.set_status(broker, actor, id, False), "saved"),
    ("centers", "scan"): (lambda broker, actor, id: centers.scan_now(broker, actor, id), "scanning"),
    ("leaks", "remove"): (lambda broker, actor, id: leaks.remove(broker, actor, id), "queued"),
    ("leaks", "keep"): (lambda broker, actor, id: leaks.keep(broker, actor, id), "kept"),
    ("leaks", "adopt"): (lambda broker, actor, id: leaks.adopt(broker, actor, id), "adopted"),
    ("waiting-agents", "admit"): (lambda broker, actor, id: waiting.admit(broker, actor, id), "admitted"),
    ("waiting-agents", "refuse"): (lambda broker, actor, id: waiting.refuse(broker, actor, id), "refused"),
    ("pools", "refill"): (lambda broker, actor, id: operate.refill(broker, actor, id), "queued"),
    ("jobs", "cancel"): (lambda broker, actor, id: queue.cancel(broker, actor, id), "cancelled"),
    ("jobs", "retry"): (lambda broker, actor, id: queue.retry(broker, actor, id), "retried"),
    ("users", "unlock"): (lambda broker, actor, id: operate.unlock(broker, actor, id), "unlocked"),
    ("users", "reset-second-factor"): (lambda broker, actor, id: second_factor.reset(broker, actor, id), "reset"),
    ("users", "end-sessions"): (lambda broker, actor, id: operate.end_sessions(broker, actor, id), "ended"),
    ("sessions", "end"): (lambda broker, actor, id: operate.end_session(broker, actor, id), "ended"),
}


@router.post("/gateways/token")
def new_gateway_token(request: Request, form: Annotated[FormData, Depends(posted)]) -> Response:
    """Make a one-time token that admits a gateway, and show it once."""
    me: SignedIn = request.state.me
    area = area_of(me, "gateways", access.Level.EDIT)
    token = gateways.new_token(broker_of(request), me.actor, str(form.get("realm") or "")[:40])
    return console(request, "admin/token.html", me, area=area, token=token)


@router.post("/users/{user_id}/reset-password")
def reset_password(request: Request, form: Annotated[FormData, Depends(posted)], user_id: str) -> Response:
    """Make a new password for a user, and show it once."""
    me: SignedIn = request.state.me
    area = area_of(me, "users", access.Level.EDIT)
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    fields = {"password": password, "must_change_password": True}
    item = configure.update_item(broker_of(request), me.actor, "users", user_id, fields, None)
    return console(request, "admin/secret.html", me, area=area, item=item, password=password)


@router.post("/centers/{center_id}/mend")
def mend(request: Request, form: Annotated[FormData, Depends(posted)], center_id: str) -> Response:
    """Mend what a finding of a center's check offered, and check again."""
    me: SignedIn = request.state.me
    area_of(me, "centers", access.Level.EDIT)
    centers.mend(broker_of(request), me.actor, center_id, str(form.get("fix") or ""))
    return see(request, f"/admin/centers/{center_id}?check=1&done=mended")


@router.post("/{noun}/{item_id}/do/{action}")
def act(request: Request, form: Annotated[FormData, Depends(posted)], noun: str, item_id: str, action: str) -> Response:
    """Do it and go back to where it was asked for."""
    me: SignedIn = request.state.me
    area_of(me, noun, access.Level.EDIT)
    if (noun, action) not in ACTIONS:
        raise Invalid(N_("There is no such action."))
    do, note = ACTIONS[noun, action]
    do(broker_of(request), me.actor, item_id)
    back = f"/admin/{noun}" if noun in GOING or form.get("back") == "list" else f"/admin/{noun}/{item_id}"
    return see(request, f"{back}?done={note}")
