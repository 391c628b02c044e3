"""What the names in a pool's form mean in a project now: each by its id or its name; what has vanished is refused by name."""

import re
from contextlib import suppress
from typing import Any

from portico.clouds.openstack_bodies import Parts, unfit
from portico.clouds.openstack_session import Api
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import MachineSpec

_PLAIN = re.compile(r"[A-Za-z0-9._-]+")  # what may stand in a path
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")


def parts(api: Api, spec: MachineSpec) -> Parts:
    """Find all that a desktop is made from. Raises CloudRefused naming what is not there, CloudError."""
    place = spec.placement
    network = spec.network or api.settings.network
    if not network:
        raise CloudRefused("No network is chosen. Choose one in the pool, or a default one in the center's settings.")
    image, flavor = _image(api, spec.image_id), find_flavor(api, spec.flavor)
    if sentence := unfit(image, flavor, from_volume=place.volume.create):
        raise CloudRefused(sentence)
    network_id = _of_neutron(api, "network", "networks", network)["id"]
    return Parts(
        image=image,
        flavor=flavor,
        network_id=str(network_id),
        security_groups=_security_groups(api, place.security_groups, place.default_security_group),
        server_group_id=_server_group(api, place.server_group) if place.server_group else "",
        floating_network_id=_floating_network(api, place.floating_network, str(network_id))
        if place.floating_ip
        else "",
    )


def _image(api: Api, wanted: str) -> dict[str, Any]:
    if not wanted:
        raise CloudRefused("No image is chosen. Choose one in the pool.")
    if _PLAIN.fullmatch(wanted):
        with suppress(CloudNotFound):
            return dict(api.get("image", f"/images/{wanted}"))
    found = api.get("image", "/images", params={"name": wanted})["images"]
    return _only("image", wanted, found)


def find_flavor(api: Api, wanted: str) -> dict[str, Any]:
    """Find a flavor, extra specs included where this user may see them. Raises CloudRefused, CloudError."""
    if not wanted:
        raise CloudRefused("No flavor is chosen. Choose one in the pool.")
    if _PLAIN.fullmatch(wanted):
        with suppress(CloudNotFound):
            return dict(api.get("compute", f"/flavors/{wanted}")["flavor"])
    found = [one for one in api.pages("compute", "/flavors/detail", "flavors") if one["name"] == wanted]
    return _only("flavor", wanted, found)


def _of_neutron(api: Api, kind: str, path: str, wanted: str) -> dict[str, Any]:
    key = "id" if _UUID.fullmatch(wanted) else "name"
    return _only(kind, wanted, api.get("network", f"/{path}", params={key: wanted})[path])


def _security_groups(api: Api, wanted: tuple[str, ...], default: bool) -> tuple[str, ...]:
    """The project's default group, unless it is switched off, and those that were chosen."""
    names = [*(["default"] if default else []), *wanted]
    if not names:
        return ()
    groups = list(
        api.pages("network", "/security-groups", "security_groups",
                  {"project_id": api.project_id, "fields": ["id", "name"]})
    )  # fmt: skip
    ids = [_only("security group", name, [one for one in groups if name in (one["id"], one["name"])]) for name in names]
    return tuple(dict.fromkeys(str(one["id"]) for one in ids))


def _server_group(api: Api, wanted: str) -> str:
    groups = api.get("compute", "/os-server-groups")["server_groups"]
    return str(_only("server group", wanted, [one for one in groups if wanted in (one["id"], one["name"])])["id"])


def _floating_network(api: Api, wanted: str, network_id: str) -> str:
    """The external network that was chosen; else the one that the desktops' router leads to; else the only one."""
    external = api.get("network", "/networks", params={"router:external": True})["networks"]
    if wanted:
        found = [one for one in external if wanted in (one["id"], one["name"])]
        return str(_only("external network", wanted, found)["id"])
    query = {"network_id": network_id, "device_owner": "network:router_interface"}
    ports = api.get("network", "/ports", params=query)["ports"]
    if ports:
        with suppress(CloudNotFound):
            router = api.get("network", f"/routers/{ports[0]['device_id']}")["router"]
            gateway = (router.get("external_gateway_info") or {}).get("network_id")
            if gateway:
                return str(gateway)
    if len(external) == 1:
        return str(external[0]["id"])
    raise CloudRefused(
        "It cannot be told which external network floating IPs are to come from. Choose one in the pool: "
        f"{', '.join(str(one['name']) for one in external) or 'the project sees none'}."
    )


def _only(kind: str, wanted: str, found: list[Any]) -> dict[str, Any]:
    if not found:
        raise CloudRefused(f"The cloud has no {kind} “{wanted}” (any more). Choose another one in the pool.")
    if len(found) > 1:
        raise CloudRefused(f"The cloud has several {kind}s called “{wanted}”. Choose one by its id.")
    return dict(found[0])
