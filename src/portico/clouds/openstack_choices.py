"""The menus of the provisioning form, read live from a project, side by side."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from portico import logs
from portico.clouds import openstack_scan
from portico.clouds.openstack_session import Api
from portico.errors import CloudError
from portico.ports.cloud import Choice, Choices

_THREADS = 4
EPHEMERAL = "has an ephemeral disk: kept over reboots, lost at deletion, not in snapshots"

log = logs.get(__name__)


def choices(api: Api) -> Choices:
    """Read all menus. What the cloud has not, or this user may not list, is an empty menu.

    Raises CloudError when images, flavors or networks cannot be read, without which no desktop is made.
    """
    needed: dict[str, Callable[[Api], Sequence[Choice]]] = {
        "images": _images,
        "flavors": _flavors,
        "networks": _networks,
    }
    optional: dict[str, Callable[[Api], Sequence[Choice]]] = {
        "zones": _zones,
        "security_groups": _security_groups,
        "volume_types": _volume_types,
        "server_groups": _server_groups,
        "key_pairs": _key_pairs,
        "floating_networks": _floating_networks,
    }
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="menus") as pool:
        waiting = {name: pool.submit(read, api) for name, read in {**needed, **optional}.items()}
        menus: dict[str, tuple[Choice, ...]] = {}
        for name, future in waiting.items():
            try:
                menus[name] = tuple(sorted(future.result(), key=lambda choice: choice.label.lower()))
            except CloudError as problem:
                if name in needed:
                    raise
                log.info("menu not read", menu=name, trouble=problem.detail)
    return Choices(**menus)


def flavors(api: Api) -> list[dict[str, Any]]:
    """List the flavors that new machines may have, as Nova tells of them. Raises CloudError."""
    found = api.pages("compute", "/flavors/detail", "flavors")
    return [one for one in found if not one.get("OS-FLV-DISABLED:disabled")]


def networks(api: Api) -> list[dict[str, Any]]:
    """List the networks that a machine can be attached to: the project's own and shared ones. Raises CloudError."""
    found = api.pages("network", "/networks", "networks")
    return [one for one in found if one.get("subnets") and (one.get("shared") or not one.get("router:external"))]


def subnets(api: Api) -> dict[str, list[dict[str, Any]]]:
    """List the subnets that this project sees, by their network. Raises CloudError."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in api.pages("network", "/subnets", "subnets"):
        found.setdefault(str(one["network_id"]), []).append(one)
    return found


def is_metal(flavor: Mapping[str, Any]) -> bool:
    """Whether a flavor asks for a node of bare metal: a resource class of its own."""
    return any(str(key).startswith("resources:CUSTOM_") for key in flavor.get("extra_specs") or {})


def ephemeral_gib(flavor: Mapping[str, Any]) -> int:
    """Return the size of a flavor's ephemeral disk, 0 where it has none."""
    return int(flavor.get("OS-FLV-EXT-DATA:ephemeral") or 0)


def _images(api: Api) -> list[Choice]:
    found = []
    for image in openstack_scan.list_images(api):
        least = [
            f"{image.min_disk_gib} GiB of disk" if image.min_disk_gib else "",
            f"{image.min_ram_mib} MiB of memory" if image.min_ram_mib else "",
        ]
        needs = " and ".join(filter(None, least))
        notes = (image.os_family, image.visibility, f"needs {needs}" if needs else "")
        found.append(Choice(image.external_id, image.name, ", ".join(filter(None, notes))))
    return found


def _flavors(api: Api) -> list[Choice]:
    found = []
    for flavor in flavors(api):
        if is_metal(flavor):
            note = "bare metal: minutes to boot, no suspend, no pause"
        else:
            note = f"{flavor['vcpus']} vCPU, {_memory(int(flavor['ram']))}, {flavor['disk']} GiB"
        if ephemeral_gib(flavor):
            note = f"{note}, {EPHEMERAL}"
        found.append(Choice(str(flavor["id"]), str(flavor["name"]), note))
    return found


def _networks(api: Api) -> list[Choice]:
    parts = subnets(api)
    found = []
    for network in networks(api):
        mine = parts.get(str(network["id"]), [])
        notes = [", ".join(str(one["cidr"]) for one in mine)]
        if mine and not any(one.get("dns_nameservers") for one in mine):
            notes.append("no DNS servers")
        if network.get("shared"):
            notes.append("shared")
        label = str(network.get("name") or network["id"])
        found.append(Choice(str(network["id"]), label, ", ".join(filter(None, notes))))
    return found


def _zones(api: Api) -> list[Choice]:
    found = api.get("compute", "/os-availability-zone").get("availabilityZoneInfo", [])
    return [
        Choice(
            str(zone["zoneName"]), str(zone["zoneName"]), "" if zone["zoneState"]["available"] else "not available now"
        )
        for zone in found
        if zone["zoneName"] != "internal"
    ]


def _security_groups(api: Api) -> list[Choice]:
    found = api.pages("network", "/security-groups", "security_groups", {"project_id": api.project_id})
    return [Choice(str(one["id"]), str(one["name"]), str(one.get("description") or "")) for one in found]


def _volume_types(api: Api) -> list[Choice]:
    found = api.pages("volume", "/types", "volume_types")
    return [Choice(str(one["name"]), str(one["name"]), str(one.get("description") or "")) for one in found]


def _server_groups(api: Api) -> list[Choice]:
    found = api.get("compute", "/os-server-groups").get("server_groups", [])
    return [Choice(str(one["id"]), str(one["name"]), str(one.get("policy") or "")) for one in found]


def _key_pairs(api: Api) -> list[Choice]:
    found = api.get("compute", "/os-keypairs").get("keypairs", [])
    return [Choice(str(one["keypair"]["name"]), str(one["keypair"]["name"])) for one in found]


def _floating_networks(api: Api) -> list[Choice]:
    found = api.pages("network", "/networks", "networks", {"router:external": "true"})
    return [Choice(str(one["id"]), str(one.get("name") or one["id"])) for one in found]


def _memory(mib: int) -> str:
    return f"{mib // 1024} GiB" if mib % 1024 == 0 else f"{mib} MiB"
