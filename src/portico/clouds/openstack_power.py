"""Switching servers: what is asked in which state, what a machine lacks, and what became of what Nova accepted."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from portico.clouds import openstack_tags as tags
from portico.clouds.openstack_bodies import is_bare_metal
from portico.clouds.openstack_errors import Answer, error_of
from portico.clouds.openstack_find import find_flavor
from portico.clouds.openstack_inventory import TAG_IMAGE
from portico.clouds.openstack_session import CREATE_SECONDS, Api
from portico.domain.model import PowerAction
from portico.errors import CloudError, CloudNotFound, CloudRefused
from portico.ports.cloud import Console

SETTLE_SECONDS = 30.0  # for what is going on with a server already
OUTCOME_SECONDS = 6.0  # for Nova to notice that a hypervisor cannot do what was accepted
CONSOLE_LINES = 200
_POLL_SECONDS = 0.5
_TRIES = 3
_REIMAGE = "2.93"  # the first microversion that rebuilds a server whose root disk is a volume
_PLAIN_REBUILD = "2.92"  # the last one that takes every server for one with a disk of its own: bare metal can be rebuilt with it alone

Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Order:
    """A power action in Nova's words: the call, the states that it may start from, those in which there is nothing to do."""

    body: Mapping[str, Any]
    start: frozenset[str]
    done: frozenset[str] = field(default_factory=frozenset)
    bare_metal: bool = True


def _order(call: str, start: str, done: str = "", bare_metal: bool = True, value: Any = None) -> Order:
    return Order({call: value}, frozenset(start.split()), frozenset(done.split()), bare_metal)


# Nova has one way to stop: the system is asked, and after the image's os_shutdown_timeout (60 s) the power is cut. So STOP,
# which is to cut, and SHUTDOWN, which is to ask, are the same call here.
ORDERS: Mapping[PowerAction, Order] = {
    PowerAction.START: _order("os-start", "SHUTOFF", "ACTIVE"),
    PowerAction.STOP: _order("os-stop", "ACTIVE ERROR", "SHUTOFF"),
    PowerAction.SHUTDOWN: _order("os-stop", "ACTIVE", "SHUTOFF"),
    PowerAction.REBOOT: _order("reboot", "ACTIVE", value={"type": "SOFT"}),
    PowerAction.RESET: _order("reboot", "ACTIVE SHUTOFF PAUSED SUSPENDED ERROR", value={"type": "HARD"}),
    PowerAction.SUSPEND: _order("suspend", "ACTIVE", "SUSPENDED", bare_metal=False),
    PowerAction.RESUME: _order("resume", "SUSPENDED", "ACTIVE", bare_metal=False),
    PowerAction.PAUSE: _order("pause", "ACTIVE", "PAUSED", bare_metal=False),
    PowerAction.UNPAUSE: _order("unpause", "PAUSED", "ACTIVE", bare_metal=False),
    PowerAction.SHELVE: _order("shelve", "ACTIVE SHUTOFF PAUSED SUSPENDED", "SHELVED SHELVED_OFFLOADED", bare_metal=False),
    PowerAction.UNSHELVE: _order("unshelve", "SHELVED SHELVED_OFFLOADED", "ACTIVE", bare_metal=False),
    PowerAction.REBUILD: _order("rebuild", "ACTIVE SHUTOFF ERROR"),
}  # fmt: skip
_WAY_OUT = {
    "SUSPENDED": "Resume it first.",
    "PAUSED": "Unpause it first.",
    "SHUTOFF": "Start it first.",
    "SHELVED": "Unshelve it first.",
    "SHELVED_OFFLOADED": "Unshelve it first.",
    "RESCUE": "End the rescue first.",
    "VERIFY_RESIZE": "Confirm or revert the resize first.",
    "ERROR": "Reset or rebuild it, or delete it.",
}


def power(api: Api, external_id: str, action: PowerAction, wait: Wait = threading.Event().wait) -> None:
    """Start a power action, once nothing else goes on with the server, and see whether the hypervisor takes it.

    Raises CloudNotFound; CloudRefused when the state, the machine or the hypervisor does not allow it; CloudError.
    """
    order = ORDERS[action]
    for number in range(1, _TRIES + 1):
        server = settled(api, external_id, wait)
        sentence = refusal(server, action, is_metal(api, server))
        if sentence:
            raise CloudRefused(sentence, external_id)
        if server["status"] in order.done:
            return
        body, microversion = _body(api, server, action, order)
        answer = _send(api, external_id, body, microversion)
        if answer.is_success:
            _outcome(api, server, action.value, answer.request_id, wait)
            return
        # Something else began between our look and our call: look again.
        if answer.status != 409 or number == _TRIES:
            raise error_of(answer)
        wait(_POLL_SECONDS * number)


def refusal(server: Mapping[str, Any], action: PowerAction, bare_metal: bool) -> str:
    """Return why a server cannot do an action now, "" when it can or has done it already."""
    order, status, name = ORDERS[action], str(server["status"]), server.get("name") or server["id"]
    if bare_metal and not order.bare_metal:
        return f"“{name}” is bare metal, which cannot {action.value}. Shut it down instead, or choose a power plan without this."
    if status in order.start or status in order.done:
        return ""
    way = _WAY_OUT.get(status, "")
    return f"“{name}” is {status} and cannot {action.value} now.{' ' + way if way else ''}"


def settled(api: Api, external_id: str, wait: Wait) -> dict[str, Any]:
    """Read a server once no task is under way. Raises CloudNotFound when it is gone or going, CloudRefused when it stays busy."""
    if not tags.is_id(external_id):
        raise CloudNotFound("Nova does not know this machine.", external_id)
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        server = dict(api.get("compute", f"/servers/{external_id}")["server"])
        task = str(server.get("OS-EXT-STS:task_state") or "")
        if server["status"] in ("DELETED", "SOFT_DELETED") or task in ("deleting", "soft-deleting"):
            raise CloudNotFound("This machine is being deleted.", external_id)
        if not task and server["status"] != "BUILD":
            return server
        if time.monotonic() > until:
            what = task or "building"
            raise CloudRefused(
                f"“{server.get('name') or external_id}” is busy ({what}). Try again when it has finished."
            )
        wait(_POLL_SECONDS)


def is_metal(api: Api, server: Mapping[str, Any]) -> bool:
    """Whether a server is a whole machine of Ironic, told by its flavor. Raises CloudError."""
    flavor = server.get("flavor") or {}
    if "extra_specs" in flavor:  # of microversion 2.47 and later, where policy shows them
        return is_bare_metal(flavor)
    try:
        found = find_flavor(api, str(flavor.get("id") or flavor.get("original_name") or ""))
    except CloudRefused:  # the flavor was deleted since
        return False
    return is_bare_metal(found)


def console(api: Api, external_id: str) -> Console:
    """Read the end of what a server has printed, and the address of its screen. Raises CloudNotFound, CloudRefused, CloudError."""
    server = _server(api, external_id)
    output = api.ask("POST", "compute", f"/servers/{external_id}/action",
                     json={"os-getConsoleOutput": {"length": CONSOLE_LINES}})  # fmt: skip
    screen = api.ask("POST", "compute", f"/servers/{external_id}/remote-consoles",
                     json={"remote_console": {"protocol": "vnc", "type": "novnc"}})  # fmt: skip
    if output.status >= 500 and output.status != 501:
        raise error_of(output)
    if not output.is_success and not screen.is_success:
        raise CloudRefused(
            f"“{server.get('name') or external_id}” has no console that Nova can show in its state {server['status']}.",
            output.detail,
        )
    return Console(
        str(output.body.get("output") or "") if output.is_success else "",
        str(screen.body["remote_console"]["url"]) if screen.is_success else "",
    )


def snapshot(api: Api, external_id: str, name: str, wait: Wait = threading.Event().wait) -> str:
    """Start making an image of a server's root disk; returns its id. Raises CloudNotFound, CloudRefused, CloudError.

    Of a root disk that is a volume, Cinder makes a snapshot, and the image points to it.
    """
    server = settled(api, external_id, wait)
    if is_metal(api, server):
        raise CloudRefused(f"“{server.get('name')}” is bare metal, of which Nova makes no image.", external_id)
    answer = _send(api, external_id, {"createImage": {"name": name}})
    if not answer.is_success:
        raise error_of(answer)
    _outcome(api, server, "snapshot", answer.request_id, wait)
    return str(answer.body["image_id"])


def _server(api: Api, external_id: str) -> dict[str, Any]:
    if not tags.is_id(external_id):
        raise CloudNotFound("Nova does not know this machine.", external_id)
    return dict(api.get("compute", f"/servers/{external_id}")["server"])


def _body(
    api: Api, server: Mapping[str, Any], action: PowerAction, order: Order
) -> tuple[Mapping[str, Any], str | None]:
    """Return what is sent, and the microversion that it is sent with (None: the newest)."""
    if action is not PowerAction.REBUILD:
        return order.body, None
    image = server.get("image") or {}
    image_id = str(image.get("id") or (server.get("metadata") or {}).get(TAG_IMAGE) or "")
    if not image_id:
        raise CloudRefused("It is not known which image this machine was made from, so it cannot be rebuilt.")
    if not image and not api.service("compute").knows(_REIMAGE):
        raise CloudRefused(
            "The root disk is a volume, which this cloud's Nova cannot rebuild. Delete the desktop instead."
        )
    plain = image and api.service("compute").knows(_PLAIN_REBUILD)
    return {"rebuild": {"imageRef": image_id}}, _PLAIN_REBUILD if plain else None


def _send(api: Api, external_id: str, body: Mapping[str, Any], microversion: str | None = None) -> Answer:
    path = f"/servers/{external_id}/action"
    return api.ask("POST", "compute", path, json=dict(body), timeout=CREATE_SECONDS, microversion=microversion)


def _outcome(api: Api, server: Mapping[str, Any], action: str, request_id: str, wait: Wait) -> None:
    """Look for a few seconds at what became of a request: Nova accepts what a hypervisor then cannot do. Raises CloudRefused."""
    path = f"/servers/{server['id']}/os-instance-actions/{request_id}"
    until = time.monotonic() + OUTCOME_SECONDS
    while request_id:
        try:
            told = api.get("compute", path)["instanceAction"]
        except CloudNotFound:
            told = {}
        except CloudError:
            return  # It was accepted; what the action list does not tell, inventory does.
        words = failure(told)
        if words is not None:
            fault = ""
            with suppress(CloudError):
                fault = str(
                    ((api.get("compute", f"/servers/{server['id']}")["server"].get("fault")) or {}).get("message", "")
                )
            detail = words or fault or "Nova gives no reason"
            raise CloudRefused(
                f"Nova accepted to {action} “{server.get('name') or server['id']}”, and its hypervisor could not: {detail}. "
                "Leave this action out of the plans of such desktops.",
                request_id,
            )
        if is_finished(told) or time.monotonic() > until:
            return
        wait(_POLL_SECONDS)


def failure(told: Mapping[str, Any]) -> str | None:
    """Return what went wrong in an instance action ("" where Nova does not say what), None while nothing has."""
    failed = [event for event in told.get("events") or () if event.get("result") == "Error"]
    if told.get("message") != "Error" and not failed:
        return None
    return next((str(event["details"]) for event in failed if event.get("details")), "")


def is_finished(told: Mapping[str, Any]) -> bool:
    """Whether every part of an instance action that has begun has ended, at least one on the compute host."""
    events = told.get("events") or ()
    on_host = any(str(event.get("event", "")).startswith("compute_") for event in events)
    return on_host and all(event.get("finish_time") for event in events)
