"""What Nova and Glance list, as machines and images of ours: pure reading of their JSON."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portico.domain.model import Power
from portico.domain.sync import Seen
from portico.ports.cloud import CloudImage

# The keys of the metadata by which a machine, and all that is made along with it, tells whose it is.
TAG_DEPLOYMENT = "portico:deployment"
TAG_DESKTOP = "portico:desktop"
TAG_IMAGE = "portico:image"  # of a machine that boots from a volume: Nova forgets its image
TAG_PROTOCOLS = "portico:protocols"  # of a machine or an image: "rdp=3389 ssh=22"
# What the agent on a machine enrols with. The token is nobody else's business, so none of these becomes a tag of a desktop.
TAG_BROKER, TAG_FINGERPRINT, TAG_TOKEN = "portico:broker", "portico:fingerprint", "portico:token"
_OURS = frozenset({TAG_DEPLOYMENT, TAG_DESKTOP, TAG_IMAGE, TAG_PROTOCOLS, TAG_BROKER, TAG_FINGERPRINT, TAG_TOKEN})

_POWER = {
    "ACTIVE": Power.RUNNING,
    "BUILD": Power.STARTING,
    "REBUILD": Power.STARTING,
    "REBOOT": Power.STARTING,
    "HARD_REBOOT": Power.STARTING,
    "PASSWORD": Power.RUNNING,
    "MIGRATING": Power.RUNNING,
    "RESIZE": Power.STOPPED,
    "REVERT_RESIZE": Power.STOPPED,
    "VERIFY_RESIZE": Power.RUNNING,
    "RESCUE": Power.UNKNOWN,  # it runs another system than its own: nobody is to be sent there
    "SHUTOFF": Power.STOPPED,
    "SUSPENDED": Power.SUSPENDED,
    "PAUSED": Power.PAUSED,
    "SHELVED": Power.SHELVED,
    "SHELVED_OFFLOADED": Power.SHELVED,
    "SOFT_DELETED": Power.STOPPED,
    "DELETED": Power.STOPPED,
    "ERROR": Power.ERROR,
    "UNKNOWN": Power.UNKNOWN,
}
# A task that is under way says more than the state that it starts from.
_TASKS = {
    "powering-off": Power.STOPPING,
    "powering-on": Power.STARTING,
    "suspending": Power.STOPPING,
    "resuming": Power.STARTING,
    "shelving": Power.STOPPING,
    "shelving_image_pending_upload": Power.STOPPING,
    "shelving_image_uploading": Power.STOPPING,
    "shelving_offloading": Power.SHELVED,
    "unshelving": Power.STARTING,
    "spawning": Power.STARTING,
    "deleting": Power.STOPPING,
    "soft-deleting": Power.STOPPING,
}
_REBOOTS = ("reboot", "rebuild")
_UNFINISHED = frozenset({"BUILD", "REBUILD"})
_GONE = frozenset({"DELETED", "SOFT_DELETED"})
_WINDOWS = re.compile(r"windows|\bwin(?:7|8|10|11|20\d\d)\b", re.I)
_LINUX = re.compile(r"linux|ubuntu|debian|centos|rocky|alma|fedora|suse|rhel|red ?hat|sles|cirros|arch|gentoo", re.I)


@dataclass(frozen=True, slots=True)
class Volume:
    """What Cinder tells of a volume that a machine boots from: the image in it, and that image's properties."""

    image_id: str | None
    properties: Mapping[str, Any]


def machine(
    server: Mapping[str, Any],
    images: Mapping[str, CloudImage] | None = None,
    volumes: Mapping[str, Volume] | None = None,
) -> Seen:
    """Read a server of /servers/detail. `images` and `volumes` fill in what Nova does not say, as far as they are known."""
    metadata = {str(key): str(value) for key, value in (server.get("metadata") or {}).items()}
    status = str(server.get("status") or "UNKNOWN").upper()
    task = str(server.get("OS-EXT-STS:task_state") or "")
    image_id, properties = _image(server, metadata, volumes or {})
    known = (images or {}).get(image_id or "")
    address, public_address = addresses(server.get("addresses") or {})
    tags = {key: value for key, value in metadata.items() if key not in _OURS}
    return Seen(
        external_id=str(server["id"]),
        name=str(server.get("name") or ""),
        power=power(status, task),
        ready=status not in _UNFINISHED and status != "ERROR" and not task,
        error=_error(server, status),
        desktop_id=metadata.get(TAG_DESKTOP),
        deployment_id=metadata.get(TAG_DEPLOYMENT),
        address=address,
        public_address=public_address,
        image_id=image_id,
        flavor=_flavor(server.get("flavor") or {}),
        created_at=_time(server.get("created")),
        os_family=os_family(properties) or (known.os_family if known else ""),
        protocols=protocols(metadata.get(TAG_PROTOCOLS) or str(properties.get(TAG_PROTOCOLS) or "")),
        tags=tags | {str(tag): "" for tag in server.get("tags") or ()},
        gone=status in _GONE,
    )


def power(status: str, task: str) -> Power:
    """Return what a Nova status and the task under way mean for a machine's power."""
    if status in ("ERROR", "DELETED", "SOFT_DELETED", "RESCUE"):
        return _POWER[status]
    if task.startswith(_REBOOTS):
        return Power.STARTING
    return _TASKS.get(task) or _POWER.get(status, Power.UNKNOWN)


def addresses(networks: Mapping[str, Iterable[Mapping[str, Any]]]) -> tuple[str | None, str | None]:
    """Return the first fixed and the first floating address of a server, IPv4 before IPv6."""
    found = [one for network in networks.values() for one in network if one.get("addr")]
    found.sort(key=lambda one: one.get("version", 4))
    fixed = next((str(one["addr"]) for one in found if one.get("OS-EXT-IPS:type") != "floating"), None)
    floating = next((str(one["addr"]) for one in found if one.get("OS-EXT-IPS:type") == "floating"), None)
    return fixed, floating


def image(data: Mapping[str, Any]) -> CloudImage:
    """Read an image of Glance."""
    name = str(data.get("name") or data["id"])
    return CloudImage(
        external_id=str(data["id"]),
        name=name,
        os_family=os_family(data) or os_family({"os_distro": name}),
        min_disk_gib=int(data.get("min_disk") or 0),
        min_ram_mib=int(data.get("min_ram") or 0),
        visibility=str(data.get("visibility") or "private"),
    )


def os_family(properties: Mapping[str, Any]) -> str:
    """Return "windows", "linux" or "" by an image's properties os_type and os_distro."""
    kind = str(properties.get("os_type") or "").lower()
    if kind in ("windows", "linux"):
        return kind
    words = str(properties.get("os_distro") or "")
    return "windows" if _WINDOWS.search(words) else "linux" if _LINUX.search(words) else ""


def protocols(text: str) -> dict[str, int]:
    """Read "rdp=3389 ssh=22"; what cannot be read is left out."""
    pairs = (word.partition("=") for word in text.replace(",", " ").split())
    return {
        name: int(port) for name, _, port in pairs if name.isalpha() and port.isdecimal() and 0 < int(port) < 65536
    }  # fmt: skip


def is_partial(server: Mapping[str, Any]) -> bool:
    """Whether Nova lists a server of a cell that does not answer: it exists, and nothing else is known of it."""
    return server.get("status") == "UNKNOWN" and "addresses" not in server


def _image(
    server: Mapping[str, Any], metadata: Mapping[str, str], volumes: Mapping[str, Volume]
) -> tuple[str | None, Mapping[str, Any]]:
    given = server.get("image")
    if isinstance(given, Mapping):
        return str(given.get("id") or "") or None, given.get("properties") or {}
    attached = [str(one.get("id")) for one in server.get("os-extended-volumes:volumes_attached") or ()]
    volume = next((volumes[one] for one in attached if one in volumes), Volume(None, {}))
    return metadata.get(TAG_IMAGE) or volume.image_id, volume.properties


def _flavor(flavor: Mapping[str, Any]) -> str | None:
    return str(flavor.get("id") or flavor.get("original_name") or "") or None


def _error(server: Mapping[str, Any], status: str) -> str:
    if status != "ERROR":
        return ""  # a fault may also be told of a machine that has recovered
    words = str((server.get("fault") or {}).get("message") or "").strip()
    return words or "Nova gives no reason."


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
