"""Removing a desktop: the server, then what was made for it; and listing all that carries our tag.

The port goes last: its description names the desktop, its label the server, so that a deletion that was cut short at any line
finds the rest again by the server's id alone.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portico import faults, logs
from portico.clouds import openstack_floating as floating
from portico.clouds import openstack_tags as tags
from portico.clouds.openstack_session import Api
from portico.errors import CloudError, CloudNotFound, CloudRefused
from portico.ports.cloud import Belonging

FAULT_POINTS = tuple(
    f"openstack.delete.{step}"
    for step in ("1_begun", "2_labelled", "3_server", "4_floating_ips", "5_volumes", "6_ports")
)
GONE_SECONDS = 30.0
_POLL_SECONDS = 0.5
# Of a volume: Nova deletes one that it has let go of; these are the states in which nobody else will.
_ABANDONED = frozenset({"available", "error", "reserved", "error_deleting"})

log = logs.get(__name__)
Wait = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose parts are meant: a desktop's, by its id and, where it is known, by its server's."""

    deployment_id: str
    desktop_id: str
    server_id: str = ""


def delete(api: Api, deployment_id: str, external_id: str, wait: Wait = threading.Event().wait) -> None:
    """Delete a server and all that was made for it; what is gone already is success. Raises CloudRefused, CloudError.

    A server that another made is deleted too, and of what belongs to it nothing but what Nova itself deletes.
    """
    if not tags.is_id(external_id):
        return
    faults.point(FAULT_POINTS[0])
    whose = _whose(api, deployment_id, external_id)
    faults.point(FAULT_POINTS[1])
    with suppress(CloudNotFound):
        api.delete("compute", f"/servers/{external_id}")
        faults.point(FAULT_POINTS[2])
        if whose is not None:
            _until_gone(api, external_id, wait)
    if whose is not None:
        parts(api, whose)


def _until_gone(api: Api, external_id: str, wait: Wait) -> None:
    """Wait until Nova has let go of a server's port and volumes, which nobody else may delete before. Raises CloudNotFound then."""
    until = time.monotonic() + GONE_SECONDS
    while True:
        server = api.get("compute", f"/servers/{external_id}")["server"]
        if server["status"] == "DELETED":
            return
        if server["status"] == "SOFT_DELETED" and not server.get("OS-EXT-STS:task_state"):
            api.action("compute", f"/servers/{external_id}", {"forceDelete": None})
        if time.monotonic() > until:
            raise CloudError(
                "Nova has not finished deleting the machine yet; what was made for it is removed as soon as it has.",
                external_id,
                GONE_SECONDS,
            )
        wait(_POLL_SECONDS)


def parts(api: Api, whose: Whose) -> None:
    """Remove a desktop's floating IPs, volumes and ports, but no volume that is kept or that Nova still holds. Raises CloudError."""
    ports = _ports_of(api, whose)
    for one in _floating_ips_of(api, whose, ports):
        floating.take_back(api, one, whose.deployment_id)
    faults.point(FAULT_POINTS[3])
    for one in volumes_of(api, whose.deployment_id, whose.desktop_id):
        if not tags.is_kept(one) and one["status"] in _ABANDONED:
            remove_volume(api, one)
    faults.point(FAULT_POINTS[4])
    for one in ports:
        with suppress(CloudNotFound):
            api.delete("network", f"/ports/{one['id']}")
    faults.point(FAULT_POINTS[5])


def volumes_of(api: Api, deployment_id: str, desktop_id: str) -> list[dict[str, Any]]:
    """List the volumes that were made for a desktop; none where the cloud has no Cinder. Raises CloudError."""
    if not api.has("volume"):
        return []
    query = {"metadata": f"{{'{tags.TAG_DESKTOP}': '{desktop_id}'}}"}
    found = api.pages("volume", "/volumes/detail", "volumes", query)
    return [one for one in found if tags.is_ours(one, deployment_id, desktop_id)]


def keep(api: Api, whose: Whose) -> None:
    """Mark the desktop's volumes that its pool wants kept: from now on they are no remains of ours. Raises CloudError."""
    for volume in volumes_of(api, whose.deployment_id, whose.desktop_id):
        if tags.TAG_KEEP in tags.tags_of(volume):
            api.post("volume", f"/volumes/{volume['id']}/metadata", {"metadata": {tags.TAG_MACHINE: whose.server_id}})


def remove_volume(api: Api, volume: Mapping[str, Any]) -> None:
    """Delete a volume, letting go first of a server that is no more (a failed boot leaves it reserved). Raises CloudError.

    One of which there is a snapshot stays, for an image that somebody made of the desktop reads it: from now on it is theirs.
    """
    volume_id = str(volume["id"])
    with suppress(CloudNotFound):
        if volume["status"] == "reserved":
            query = {"volume_id": volume_id}
            for one in api.get("volume", "/attachments", params=query)["attachments"]:
                api.delete("volume", f"/attachments/{one['id']}")
        try:
            api.delete("volume", f"/volumes/{volume_id}")
        except CloudRefused:
            if not api.get("volume", "/snapshots", params={"volume_id": volume_id})["snapshots"]:
                raise
            kept = {tags.TAG_KEEP: "snapshot", tags.TAG_MACHINE: "gone"}
            api.post("volume", f"/volumes/{volume_id}/metadata", {"metadata": kept})
            log.info("volume kept, for it has snapshots", volume=volume_id)


def belongings(api: Api, deployment_id: str) -> tuple[Belonging, ...]:
    """List servers, volumes, ports and floating IPs of our deployment, whether a desktop needs them or not. Raises CloudError."""
    found: list[Belonging] = []
    for kind, thing in _everything(api):
        if tags.is_ours(thing, deployment_id) and not (kind == "volume" and tags.is_kept(thing)):
            found.append(_belonging(kind, thing))
    on_port = {one.external_id: one.machine_id for one in found if one.kind == "port"}
    return tuple(
        one if one.kind != "floating ip" or not one.machine_id
        else Belonging(one.kind, one.external_id, one.name, one.desktop_id, one.created_at, on_port.get(one.machine_id))
        for one in found
    )  # fmt: skip


def remove(api: Api, deployment_id: str, belonging: Belonging) -> None:
    """Remove one thing, if it still carries our tag; gone already is success. Raises CloudRefused for what is not ours."""
    if not tags.is_id(belonging.external_id):
        return
    kind, thing_id = belonging.kind, belonging.external_id
    if kind not in _WHERE:
        raise CloudRefused("Portico makes no such thing in OpenStack.", kind)
    service, path, key = _WHERE[kind]
    try:
        thing = api.get(service, f"{path}/{thing_id}")[key]
    except CloudNotFound:
        return
    if not tags.is_ours(thing, deployment_id) or (kind == "volume" and tags.is_kept(thing)):
        raise CloudRefused("This does not carry the tag of this deployment (any more), so it stays.", thing_id)
    if kind == "machine":
        delete(api, deployment_id, thing_id)
    elif kind == "volume":
        remove_volume(api, thing)
    elif kind == "floating ip":
        floating.take_back(api, thing, deployment_id)
    else:
        with suppress(CloudNotFound):
            api.delete(service, f"{path}/{thing_id}")


_WHERE = {
    "machine": ("compute", "/servers", "server"),
    "volume": ("volume", "/volumes", "volume"),
    "port": ("network", "/ports", "port"),
    "floating ip": ("network", "/floatingips", "floatingip"),
}


def _everything(api: Api) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in api.pages("compute", "/servers/detail", "servers", {"deleted": "false"}):
        yield "machine", one
    if api.has("volume"):
        for one in api.pages("volume", "/volumes/detail", "volumes"):
            yield "volume", one
    mine = {"project_id": api.project_id}
    for one in api.pages("network", "/ports", "ports", mine):
        yield "port", one
    for one in api.pages("network", "/floatingips", "floatingips", mine):
        yield "floating ip", one


def _belonging(kind: str, thing: Mapping[str, Any]) -> Belonging:
    machines: dict[str, Any] = {
        "machine": thing["id"],
        "volume": next((one["server_id"] for one in thing.get("attachments") or ()), None),
        "port": thing.get("device_id"),
        "floating ip": thing.get("port_id"),  # its port's machine is filled in by the caller
    }
    machine = machines[kind]
    name = thing.get("name") or thing.get("floating_ip_address") or thing["id"]
    created = str(thing.get("created") or thing.get("created_at") or "")
    return Belonging(
        kind, str(thing["id"]), str(name), tags.tags_of(thing).get(tags.TAG_DESKTOP), _time(created), machine or None
    )


def _time(text: str) -> datetime | None:
    with suppress(ValueError):
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _whose(api: Api, deployment_id: str, external_id: str) -> Whose | None:
    """Return whose desktop a server is, by its own tags or by the label on its port; None for a server that is not ours.

    A label that is missing, because its create was cut short, is written before the server goes.
    """
    label = f"{tags.TAG_MACHINE}={external_id}"
    labelled = api.get("network", "/ports", params={"tags": label, "project_id": api.project_id})["ports"]
    labelled = [one for one in labelled if tags.is_ours(one, deployment_id)]
    if labelled:
        return Whose(deployment_id, tags.tags_of(labelled[0]).get(tags.TAG_DESKTOP, ""), external_id)
    try:
        server = api.get("compute", f"/servers/{external_id}")["server"]
    except CloudNotFound:
        return None
    if not tags.is_ours(server, deployment_id):
        return None
    whose = Whose(deployment_id, tags.tags_of(server).get(tags.TAG_DESKTOP, ""), external_id)
    keep(api, whose)
    for port in _ports_of(api, whose):
        with suppress(CloudNotFound):
            api.put("network", f"/ports/{port['id']}/tags/{label}")
    return whose


def _ports_of(api: Api, whose: Whose) -> list[dict[str, Any]]:
    query = {
        "description": tags.description(whose.deployment_id, whose.desktop_id),
        "project_id": api.project_id,
    }
    found = api.get("network", "/ports", params=query)["ports"]
    return [one for one in found if tags.is_ours(one, whose.deployment_id, whose.desktop_id)]


def _floating_ips_of(api: Api, whose: Whose, ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what our ports have, whoever made it, and what we made for the desktop, whatever has it now."""
    query = {"description": tags.description(whose.deployment_id, whose.desktop_id), "project_id": api.project_id}
    found = {one["id"]: one for one in api.get("network", "/floatingips", params=query)["floatingips"]}
    for port in ports:
        listed = api.get("network", "/floatingips", params={"port_id": port["id"]})["floatingips"]
        found |= {one["id"]: one for one in listed}
    return list(found.values())
