"""One inventory pass over a project: every page or none, so that nothing is taken for gone that was only not listed; and a look at one machine."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from portico import logs
from portico.clouds import openstack_inventory as inventory
from portico.clouds import openstack_tags as tags
from portico.clouds.openstack_session import Api
from portico.errors import CloudError, CloudNotFound
from portico.ports.cloud import CloudImage, Machine, Scan

# Nova's clock and ours differ, and what it changed while it listed may carry the time of the listing's beginning.
OVERLAP = timedelta(seconds=120)

log = logs.get(__name__)


def scan(api: Api, since: datetime | None = None) -> Scan:
    """List machines and images, or with `since` only the machines that changed, the deleted ones among them.

    Raises CloudError when a page fails: a list with a hole is no list.
    """
    params: dict[str, Any] = {"deleted": "false"}
    if since is not None:
        params = {"changes-since": (since - OVERLAP).strftime("%Y-%m-%dT%H:%M:%SZ")}
    servers = list(api.pages("compute", "/servers/detail", "servers", params))
    if since is not None:
        return Scan(tuple(inventory.machine(one) for one in servers if not inventory.is_partial(one)), (), False)
    images = list_images(api)
    volumes = _volumes(api, servers)
    known = {image.external_id: image for image in images}
    machines = tuple(inventory.machine(one, known, volumes) for one in servers if not inventory.is_partial(one))
    return Scan(machines, images, complete=len(machines) == len(servers))


def look(api: Api, external_id: str) -> Machine | None:
    """Read one machine as a whole pass reads it; None for one that is unknown or gone. Raises CloudError."""
    if not tags.is_id(external_id):
        return None
    try:
        server = api.get("compute", f"/servers/{external_id}")["server"]
    except CloudNotFound:
        return None
    if inventory.is_partial(server):
        raise CloudError("Nova cannot tell of this machine now: its cell does not answer.", external_id)
    volumes = _volumes(api, [server])
    bare = inventory.machine(server, None, volumes)
    if bare.gone:
        return None
    known: dict[str, CloudImage] = {}
    if bare.image_id and tags.is_id(bare.image_id):
        with suppress(CloudNotFound):  # an image that is gone tells nothing of its machines any more
            image = api.get("image", f"/images/{bare.image_id}")
            known = {bare.image_id: inventory.image(image)} if image.get("status") == "active" else {}
    return inventory.machine(server, known, volumes)


def list_images(api: Api) -> tuple[CloudImage, ...]:
    """List the images that a desktop can be made from: active ones, public, shared and the project's own. Raises CloudError."""
    found = api.pages("image", "/images", "images", {"status": "active", "sort": "name:asc"})
    return tuple(inventory.image(one) for one in found if not _is_trace(one))


def _is_trace(image: Mapping[str, Any]) -> bool:
    """Whether an image is what a shelved server leaves behind: Nova's own, gone as soon as it is unshelved."""
    return str(image.get("name") or "").endswith("-shelved") and image.get("image_type") == "snapshot"


def _volumes(api: Api, servers: list[dict[str, Any]]) -> dict[str, inventory.Volume]:
    """Read which image is in the volumes that machines boot from, where Nova and our own tag do not say it."""
    wanted = [one for one in servers if not one.get("image") and inventory.TAG_IMAGE not in (one.get("metadata") or {})]
    if not wanted:
        return {}
    try:
        found = api.pages("volume", "/volumes/detail", "volumes", {"bootable": "true"})
        return {
            str(one["id"]): inventory.Volume(
                (one.get("volume_image_metadata") or {}).get("image_id"), one.get("volume_image_metadata") or {}
            )
            for one in found
        }
    except CloudError as problem:  # The images of these machines stay unknown; the pass itself is whole.
        log.info("volumes not listed", trouble=problem.detail)
        return {}
