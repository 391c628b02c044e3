"""Floating IPs: a free one of the project, else a new one, else a refusal that says what is to be done (S107)."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from portico import logs
from portico.clouds import openstack_tags as tags
from portico.clouds.openstack_errors import error_of
from portico.clouds.openstack_session import Api
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import MachineSpec

EXHAUSTED = ("IpAddressGenerationFailure", "ExternalIpAddressExhausted")
_LOST = (404, 409, 412)  # gone, or taken by somebody since it was listed

log = logs.get(__name__)


def give(api: Api, spec: MachineSpec, network_id: str, port_id: str) -> None:
    """Let a port have a floating IP of an external network, unless it has one. Raises QuotaExceeded, CloudRefused, CloudError."""
    if api.get("network", "/floatingips", params={"port_id": port_id})["floatingips"]:
        return
    query = {"floating_network_id": network_id, "project_id": api.project_id}
    for one in candidates(
        list(api.pages("network", "/floatingips", "floatingips", query)), spec.deployment_id, spec.desktop_id
    ):
        if _take(api, one, port_id):
            return
    wanted = {
        "floating_network_id": network_id,
        "port_id": port_id,  # made and given in one call: there is no moment at which it is free for others
        "description": tags.description(spec.deployment_id, spec.desktop_id),
    }
    answer = api.ask("POST", "network", "/floatingips", json={"floatingip": wanted}, timeout=120)
    if answer.is_success:
        return
    if error_type(answer.body) in EXHAUSTED:
        raise CloudRefused(
            f"There is no free floating address in the network “{_name(api, network_id)}”. "
            "Release floating IPs that nobody needs, let the network's owner add addresses, or choose another network in the pool.",
            answer.detail,
        )
    raise error_of(answer)


def candidates(found: list[Any], deployment_id: str, desktop_id: str) -> list[Any]:
    """Return the free ones that a desktop may have, its own first; never one that was made for another desktop of ours."""
    free = [one for one in found if not one.get("port_id")]
    mine = [one for one in free if tags.is_ours(one, deployment_id, desktop_id)]
    return mine + [one for one in free if tags.TAG_DEPLOYMENT not in tags.tags_of(one)]


def take_back(api: Api, floating_ip: Mapping[str, Any], deployment_id: str) -> None:
    """Release a floating IP that was made for a desktop; one that was there before is left free, as it was found."""
    path = f"/floatingips/{floating_ip['id']}"
    with suppress(CloudNotFound):
        if tags.is_ours(floating_ip, deployment_id):
            api.delete("network", path)
        elif floating_ip.get("port_id"):
            api.put("network", path, {"floatingip": {"port_id": None}})


def error_type(body: Any) -> str:
    """Return Neutron's name of an error, "" where it gives none."""
    error = body.get("NeutronError") if isinstance(body, dict) else None
    return str(error.get("type") or "") if isinstance(error, dict) else ""


def _take(api: Api, floating_ip: Mapping[str, Any], port_id: str) -> bool:
    """Give a free floating IP to a port, if nobody was quicker: Neutron compares the revision that we saw."""
    path = f"/floatingips/{floating_ip['id']}"
    headers = {}
    if floating_ip.get("revision_number") is not None:
        headers["If-Match"] = f"revision_number={floating_ip['revision_number']}"
    answer = api.ask("PUT", "network", path, json={"floatingip": {"port_id": port_id}}, headers=headers)
    if not answer.is_success and answer.status not in _LOST:
        raise error_of(answer)
    if not answer.is_success:
        log.info("floating ip was taken by another", floating_ip=floating_ip["id"], status=answer.status)
        return False
    if headers:
        return True
    # A Neutron without revisions gives it to the last who asks: whoever reads another port than its own was not the last.
    with suppress(CloudNotFound):
        return bool(api.get("network", path)["floatingip"]["port_id"] == port_id)
    return False


def _name(api: Api, network_id: str) -> str:
    with suppress(CloudNotFound):
        return str(api.get("network", f"/networks/{network_id}")["network"]["name"])
    return network_id
