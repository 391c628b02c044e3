"""What a change would do, shown before it is saved or deleted: in numbers, in words."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from portico.domain import access
from portico.services import consequences
from portico.services.sessions import SignedIn
from portico.web import forms
from portico.web.admin.frame import area_of
from portico.web.forms import Widget
from portico.web.guard import PageRoute, posted
from portico.web.rendering import broker_of, page
from portico.web.words import NN_

router = APIRouter(route_class=PageRoute, include_in_schema=False, prefix="/admin")

# What decides on the size of a pool, as far as its form is read for a preview.
SIZES = (
    Widget("provisioning.limits.enabled", "", "flag"), Widget("provisioning.limits.start_below", "", "number"),
    Widget("provisioning.limits.stop_at", "", "number"), Widget("provisioning.enforce", "", "flag"),
    Widget("provisioning.count_only_available", "", "flag"), Widget("provisioning.time_zone", ""),
    Widget(
        "provisioning.time_limits", "", "lines",
        columns=(Widget("weekdays", "", "days"), Widget("start", ""), Widget("stop", ""), Widget("start_below", "", "number"),
                 Widget("stop_at", "", "number")),
    ),
)  # fmt: skip
# What is touched → the words for one and for many.
CHANGED = {
    "users": NN_("It holds for %(num)d user.", "It holds for %(num)d users."),
    "policies": NN_("%(num)d policy uses it.", "%(num)d policies use it."),
}
DELETED = {
    "users": NN_("%(num)d user has it.", "%(num)d users have it."),
    "policies": CHANGED["policies"],
    "kept desktops": NN_(
        "%(num)d desktop belongs to it. It stays, and this pool offers it no more.",
        "%(num)d desktops belong to it. They stay, and this pool offers them no more.",
    ),
    "machines": NN_(
        "%(num)d machine and its disk are deleted in the cloud.",
        "%(num)d machines and their disks are deleted in the cloud.",
    ),
    "floating addresses": NN_("%(num)d floating IP is given back.", "%(num)d floating IPs are given back."),
    "people at work": NN_(
        "%(num)d person has a desktop there and loses it.", "%(num)d people have a desktop there and lose it."
    ),
    "holders": NN_("%(num)d person has it. Take it back first.", "%(num)d people have it. Take it back first."),
    "desktops": NN_(
        "%(num)d desktop disappears from Portico. The machine itself stays in the cloud.",
        "%(num)d desktops disappear from Portico. The machines themselves stay in the cloud.",
    ),
    "held desktops": NN_("%(num)d desktop is taken back.", "%(num)d desktops are taken back."),
    "portal sessions": NN_("%(num)d portal session ends.", "%(num)d portal sessions end."),
    "connections": NN_("It carries %(num)d connection, which ends.", "It carries %(num)d connections, which end."),
}


@router.post("/pools/{pool_id}/preview")
def builds(request: Request, form: Annotated[FormData, Depends(posted)], pool_id: str) -> Response:
    """Show how many desktops the limits that are being typed would build and delete at once."""
    me: SignedIn = request.state.me
    area_of(me, "pools", access.Level.EDIT)
    typed, _ = forms.read(form, SIZES)
    wanted = "" if pool_id == "new" else pool_id
    effect = consequences.of_provisioning(broker_of(request), me.actor, wanted, typed["provisioning"])
    return page(request, "admin/builds.html", me, builds=effect)
