"""Making a desktop: its port, its floating IP, its volume, and last the server that uses them.

Whatever is made carries our tags from its first moment, and is looked for before it is made: a create that was cut short is
finished by the next one for the same desktop. The fault points are numbered in the order in which they are passed.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from portico import faults, logs
from portico.clouds import openstack_bodies as bodies
from portico.clouds import openstack_find as find
from portico.clouds import openstack_floating as floating
from portico.clouds import openstack_remove as remove
from portico.clouds import openstack_tags as tags
from portico.clouds.openstack_bodies import Parts
from portico.clouds.openstack_errors import error_of
from portico.clouds.openstack_session import Api
from portico.errors import CloudError, CloudNotFound, CloudRefused, QuotaExceeded
from portico.ports.cloud import MachineSpec

FAULT_POINTS = tuple(
    f"openstack.create.{step}"
    for step in ("1_begun", "2_port", "3_floating_ip", "4_volume", "5_filled", "6_server", "7_labelled")
)
VOLUME_SECONDS = 90.0  # for the image to be copied into a volume; less than the broker waits for a create
_POLL_SECONDS = 1.0

log = logs.get(__name__)
Wait = Callable[[float], object]


def create(api: Api, spec: MachineSpec, wait: Wait = threading.Event().wait) -> str:
    """Start making a server and return its id; the same desktop gets the same server, whatever an earlier try left.

    What a refused try has made is removed again. Raises QuotaExceeded, CloudRefused, and CloudError when the outcome is unknown.
    """
    try:
        return _create(api, spec, wait)
    except CloudNotFound as problem:  # of a part: the machine itself is not there yet
        _undo(api, spec)
        raise CloudRefused(problem.sentence, problem.detail, problem.retry_after, **problem.params) from problem
    except (CloudRefused, QuotaExceeded):
        _undo(api, spec)
        raise


def _create(api: Api, spec: MachineSpec, wait: Wait) -> str:
    faults.point(FAULT_POINTS[0])
    port = own_port(api, spec)
    found = find_server(api, spec, port)
    if found is None:
        bodies.metadata(spec, "")  # what can never be sent is refused before anything is made
        found = _make(api, spec, find.parts(api, spec), port, wait)
        port = port or own_port(api, spec)
    faults.point(FAULT_POINTS[5])
    if port is not None:
        label(api, spec, str(port["id"]), found)
    faults.point(FAULT_POINTS[6])
    return found


def _make(api: Api, spec: MachineSpec, parts: Parts, port: dict[str, Any] | None, wait: Wait) -> str:
    port = port or _make_port(api, spec, parts)
    faults.point(FAULT_POINTS[1])
    if parts.floating_network_id:
        floating.give(api, spec, parts.floating_network_id, str(port["id"]))
    faults.point(FAULT_POINTS[2])
    volume_id = None
    if spec.placement.volume.create:
        volume = own_volume(api, spec) or api.post("volume", "/volumes", bodies.volume(spec, parts))["volume"]
        faults.point(FAULT_POINTS[3])
        volume_id = _filled(api, volume, wait)
    faults.point(FAULT_POINTS[4])
    made = api.post("compute", "/servers", bodies.server(spec, parts, str(port["id"]), volume_id))
    return str(made["server"]["id"])


def own_port(api: Api, spec: MachineSpec) -> dict[str, Any] | None:
    """Find the desktop's port, which knows its server even when that was renamed meanwhile. Raises CloudError."""
    query = {"description": tags.description(spec.deployment_id, spec.desktop_id), "project_id": api.project_id}
    found = api.get("network", "/ports", params=query)["ports"]
    mine = [one for one in found if tags.is_ours(one, spec.deployment_id, spec.desktop_id)]
    return next(iter(sorted(mine, key=lambda one: not one.get("device_id"))), None)


def find_server(api: Api, spec: MachineSpec, port: dict[str, Any] | None) -> str | None:
    """Find the desktop's server: by its port, else by its name, and surely by its metadata. Raises CloudError.

    Nova does not search by metadata for ordinary users; a server that was renamed before its port was bound is found by the
    inventory, which the broker lets pass twice before it asks for a desktop again.
    """
    if port is not None and port.get("device_id"):
        with suppress(CloudNotFound):
            server = api.get("compute", f"/servers/{port['device_id']}")["server"]
            if tags.is_ours(server, spec.deployment_id, spec.desktop_id):
                return str(server["id"])
    query = {"name": re.escape(spec.name), "deleted": "false"}
    for server in api.pages("compute", "/servers/detail", "servers", query):
        if tags.is_ours(server, spec.deployment_id, spec.desktop_id) and server.get("status") != "DELETED":
            return str(server["id"])
    return None


def own_volume(api: Api, spec: MachineSpec) -> dict[str, Any] | None:
    """Find the volume that an earlier try made for the desktop. Raises CloudError."""
    query = {"metadata": f"{{'{tags.TAG_DESKTOP}': '{spec.desktop_id}'}}"}
    found = api.pages("volume", "/volumes/detail", "volumes", query)
    mine = [one for one in found if tags.is_ours(one, spec.deployment_id, spec.desktop_id) and not tags.is_kept(one)]
    return next((one for one in mine if one["status"] in ("creating", "downloading", "available")), None)


def label(api: Api, spec: MachineSpec, port_id: str, server_id: str) -> None:
    """Note on a port, and on a volume that is to be kept, which server they serve, for the day when that is gone. Raises CloudError.

    Nova forgets a port that it did not make as soon as the server is gone; the deletion is then finished by this note.
    """
    volume = spec.placement.volume
    try:
        if volume.create and not volume.delete_with_machine:  # first: a label on the port says that all is labelled
            remove.keep(api, remove.Whose(spec.deployment_id, spec.desktop_id, server_id))
        api.put("network", f"/ports/{port_id}/tags/{tags.TAG_MACHINE}={server_id}")
    except (
        CloudError
    ) as problem:  # The machine is there, and to be told of; its deletion writes the note if it is missing.
        log.warning("parts not labelled", server=server_id, trouble=problem.detail)


def _make_port(api: Api, spec: MachineSpec, parts: Parts) -> dict[str, Any]:
    answer = api.ask("POST", "network", "/ports", json=bodies.port(spec, parts), timeout=120)
    if answer.is_success:
        return dict(answer.body["port"])
    if floating.error_type(answer.body) in floating.EXHAUSTED:
        # Like a quota: nothing is wrong with what was asked for, and the next desktop that goes makes room.
        raise QuotaExceeded(
            "The network has no free address for another desktop. Enlarge its subnet, or choose another network in the pool.",
            answer.detail,
        )
    raise error_of(answer)


def _filled(api: Api, volume: dict[str, Any], wait: Wait) -> str:
    """Wait until a volume holds its image: Nova takes only one that does. Raises CloudRefused, CloudError."""
    volume_id, until = str(volume["id"]), time.monotonic() + VOLUME_SECONDS
    while volume["status"] in ("creating", "downloading"):
        if time.monotonic() > until:
            raise CloudError(
                "Cinder has not finished the volume yet; the desktop is made from it as soon as it has.",
                volume_id,
                60.0,
            )
        wait(_POLL_SECONDS)
        volume = api.get("volume", f"/volumes/{volume_id}")["volume"]
    if volume["status"] != "available":
        raise CloudRefused(
            f"Cinder could not make the volume: it is in the state “{volume['status']}”. "
            "Check the volume type of the pool, and the image.",
            volume_id,
        )
    return volume_id


def _undo(api: Api, spec: MachineSpec) -> None:
    """Remove the parts that a refused try has made, unless a server uses them. What stays is shown by belongings."""
    try:
        port = own_port(api, spec)
        if find_server(api, spec, port) is None and not (port and port.get("device_id")):
            remove.parts(api, remove.Whose(spec.deployment_id, spec.desktop_id))
    except CloudError as problem:
        log.warning("remains of a refused create stay", desktop=spec.desktop_id, trouble=problem.detail)
