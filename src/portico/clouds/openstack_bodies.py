"""What Nova, Neutron and Cinder are sent to make a desktop: pure functions of the pool's wishes and of what was found."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portico.clouds.openstack_inventory import (
    TAG_BROKER,
    TAG_DEPLOYMENT,
    TAG_DESKTOP,
    TAG_FINGERPRINT,
    TAG_IMAGE,
    TAG_TOKEN,
)
from portico.clouds.openstack_tags import TAG_KEEP, description
from portico.errors import CloudRefused
from portico.ports.cloud import MachineSpec

LONGEST_VALUE = 255  # characters of a key or value of Nova's metadata
LONGEST_USER_DATA = 65_535  # characters, once encoded
_GIB = 1024**3
_ENROLMENT = {"broker_url": TAG_BROKER, "ca_fingerprint": TAG_FINGERPRINT, "token": TAG_TOKEN}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a spec's names mean in the cloud at this moment."""

    image: Mapping[str, Any]
    flavor: Mapping[str, Any]
    network_id: str
    security_groups: tuple[str, ...]  # ids
    server_group_id: str = ""
    floating_network_id: str = ""

    @property
    def image_id(self) -> str:
        """The image's id, whatever the pool calls it by."""
        return str(self.image["id"])


def metadata(spec: MachineSpec, image_id: str) -> dict[str, str]:
    """Return a server's metadata: our tags, what its agent enrols with, the pool's own. Raises CloudRefused when too long.

    A volume boot hides the image from Nova, so the tag names it. The pool's own entries never replace ours.
    """
    enrolment = {name: spec.agent[key] for key, name in _ENROLMENT.items() if spec.agent.get(key)}
    ours = {TAG_DEPLOYMENT: spec.deployment_id, TAG_DESKTOP: spec.desktop_id} | enrolment
    if spec.placement.volume.create:
        ours[TAG_IMAGE] = image_id
    found = {**spec.placement.metadata, **spec.tags, **ours}
    long = [key for key, value in found.items() if len(key) > LONGEST_VALUE or len(value) > LONGEST_VALUE]
    if long:
        raise CloudRefused(
            f"Nova keeps at most {LONGEST_VALUE} characters in an entry of the metadata. Shorten: {', '.join(sorted(long))}."
        )
    return found


def server(spec: MachineSpec, parts: Parts, port_id: str, volume_id: str | None = None) -> dict[str, Any]:
    """Return the body of POST /servers. Raises CloudRefused for metadata or user data that Nova cannot take."""
    place = spec.placement
    wanted: dict[str, Any] = {
        "name": spec.name,
        "flavorRef": str(parts.flavor["id"]),
        # The port carries the security groups: Nova applies those of the server only to ports that it makes itself.
        "networks": [{"port": port_id}],
        "metadata": metadata(spec, parts.image_id),
    }
    if volume_id is None:
        wanted["imageRef"] = parts.image_id
    else:
        wanted["block_device_mapping_v2"] = [
            {
                "boot_index": 0,
                "uuid": volume_id,
                "source_type": "volume",
                "destination_type": "volume",
                "delete_on_termination": place.volume.delete_with_machine,
            }
        ]
    if spec.display_name:
        wanted["description"] = spec.display_name[:LONGEST_VALUE]
    if place.zone:
        wanted["availability_zone"] = place.zone
    if place.key_pair:
        wanted["key_name"] = place.key_pair
    if place.config_drive:
        wanted["config_drive"] = True
    if spec.user_data:
        wanted["user_data"] = user_data(spec.user_data)
    body: dict[str, Any] = {"server": wanted}
    if parts.server_group_id:
        body["os:scheduler_hints"] = {"group": parts.server_group_id}
    return body


def user_data(text: str) -> str:
    """Encode user data as Nova wants it. Raises CloudRefused when it is longer than Nova takes."""
    encoded = base64.b64encode(text.encode("utf-8")).decode("ascii")
    if len(encoded) > LONGEST_USER_DATA:
        raise CloudRefused(
            f"The user data is too long: Nova takes {LONGEST_USER_DATA * 3 // 4} bytes, and these are {len(text.encode('utf-8'))}. "
            "Let it fetch the rest from a server of yours."
        )
    return encoded


def port(spec: MachineSpec, parts: Parts) -> dict[str, Any]:
    """Return the body of POST /ports."""
    return {
        "port": {
            "network_id": parts.network_id,
            "name": spec.name,
            "description": description(spec.deployment_id, spec.desktop_id),
            "security_groups": list(parts.security_groups),
        }
    }


def volume(spec: MachineSpec, parts: Parts) -> dict[str, Any]:
    """Return the body of POST /volumes. Raises CloudRefused for a size that cannot hold the image."""
    wanted = spec.placement.volume
    tags = {TAG_DEPLOYMENT: spec.deployment_id, TAG_DESKTOP: spec.desktop_id}
    body: dict[str, Any] = {
        "name": spec.name,
        "size": volume_gib(wanted.size_gib, parts.image, parts.flavor),
        "imageRef": parts.image_id,
        "metadata": tags if wanted.delete_with_machine else tags | {TAG_KEEP: "yes"},
    }
    if wanted.type:
        body["volume_type"] = wanted.type
    return {"volume": body}


def volume_gib(wanted: int, image: Mapping[str, Any], flavor: Mapping[str, Any]) -> int:
    """Return a root volume's size: what the pool says, else as large as image and flavor ask for, at least 1 GiB."""
    bytes_ = max(int(image.get("virtual_size") or 0), int(image.get("size") or 0))
    needed = max(int(image.get("min_disk") or 0), math.ceil(bytes_ / _GIB), 1)
    if not wanted:
        return max(needed, int(flavor.get("disk") or 0))
    if wanted < needed:
        raise CloudRefused(
            f"A volume of {wanted} GiB cannot hold the image “{image.get('name') or image['id']}”, which needs {needed} GiB. "
            "Give the pool's volume a larger size, or none."
        )
    return wanted


def unfit(image: Mapping[str, Any], flavor: Mapping[str, Any], *, from_volume: bool) -> str:
    """Return a sentence when the image cannot run on the flavor, "" when it can."""
    name, size = image.get("name") or image["id"], flavor.get("name") or flavor["id"]
    if image.get("status") not in (None, "active"):
        return f"The image “{name}” is {image['status']}. Activate it, or choose another one."
    memory, least = int(flavor.get("ram") or 0), int(image.get("min_ram") or 0)
    if memory < least:
        return f"The image “{name}” needs {least} MiB of memory, and the flavor “{size}” has {memory}. Choose a larger flavor."
    disk, least = int(flavor.get("disk") or 0), int(image.get("min_disk") or 0)
    if not from_volume and disk and disk < least:
        return (
            f"The image “{name}” needs a disk of {least} GiB, and the flavor “{size}” has {disk}. "
            "Choose a larger flavor, or let the pool boot from a volume."
        )
    if from_volume and is_bare_metal(flavor):
        return (
            f"The flavor “{size}” is bare metal, which does not boot from a volume here. Switch the pool's volume off."
        )
    return ""


def is_bare_metal(flavor: Mapping[str, Any]) -> bool:
    """Whether a flavor asks for a whole machine of Ironic: it wants a custom resource class, and no virtual processors."""
    wanted = flavor.get("extra_specs") or {}
    classes = [key for key, value in wanted.items() if key.startswith("resources:CUSTOM_") and str(value) != "0"]
    return bool(classes) and str(wanted.get("resources:VCPU", "")) == "0"
