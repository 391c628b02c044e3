"""Our tags on what we make in a project: in a server's or volume's metadata, in a port's or floating IP's description.

Each travels in the very call that makes the thing, so that there is no moment at which it exists and is nobody's.
"""

import re
from collections.abc import Mapping
from typing import Any

from portico.clouds.openstack_inventory import TAG_DEPLOYMENT as TAG_DEPLOYMENT
from portico.clouds.openstack_inventory import TAG_DESKTOP as TAG_DESKTOP

TAG_MACHINE = "portico:machine"  # which server a thing was made for; known only after the server was accepted
TAG_KEEP = "portico:keep"  # of a volume that outlives its machine, because its pool wants so

_PREFIX = "portico:"
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def is_id(external_id: str) -> bool:
    """Whether a text can be the id of a thing in OpenStack at all: what is not must not get into a path."""
    return _ID.fullmatch(external_id) is not None


def description(deployment_id: str, desktop_id: str) -> str:
    """Return what a port or floating IP of a desktop is described by; Neutron finds it by the whole text."""
    return f"{TAG_DEPLOYMENT}={deployment_id} {TAG_DESKTOP}={desktop_id}"


def tags_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """Read our tags of a server, volume, port or floating IP; {} for what carries none."""
    found = {
        key: str(value) for key, value in (thing.get("metadata") or {}).items() if str(key).startswith(_PREFIX)
    }  # fmt: skip
    words = [*str(thing.get("description") or "").split(), *(str(tag) for tag in thing.get("tags") or ())]
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key.startswith(_PREFIX):
            found.setdefault(key, value)
    return found


def is_ours(thing: Mapping[str, Any], deployment_id: str, desktop_id: str | None = None) -> bool:
    """Whether a thing carries this deployment's tag, and that of the desktop where one is given."""
    tags = tags_of(thing)
    return tags.get(TAG_DEPLOYMENT) == deployment_id and (desktop_id is None or tags.get(TAG_DESKTOP) == desktop_id)


def is_kept(volume: Mapping[str, Any]) -> bool:
    """Whether a volume has become somebody's own: its pool keeps volumes, and its machine was accepted."""
    tags = tags_of(volume)
    return TAG_KEEP in tags and TAG_MACHINE in tags
