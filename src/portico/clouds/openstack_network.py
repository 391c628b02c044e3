"""Whether desktops can be reached and can reach what they need: security groups, name servers, the metadata service."""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from portico.clouds import openstack_choices
from portico.clouds.openstack_session import Api
from portico.errors import CloudRefused
from portico.ports.cloud import Finding

SECURITY_GROUP_RULES = "security_group_rules"  # the fix that `mend` knows
PORTS: Mapping[int, str] = {8080: "agent", 3389: "RDP", 22: "SSH", 5900: "VNC"}
_ROUTERS = (
    "network:router_interface", "network:router_interface_distributed", "network:ha_router_replicated_interface",
)  # fmt: skip


def findings(api: Api) -> Iterator[Finding]:
    """Look at the default security group and at the networks that desktops may be attached to. Raises CloudError."""
    yield _security_group(api)
    networks = openstack_choices.networks(api)
    if api.settings.network:
        networks = [one for one in networks if one["id"] == api.settings.network]
        if not networks:
            yield Finding("network", "missing", "The settings name a network that is not there. Choose another one.",
                          "network", api.settings.network)  # fmt: skip
            return
    elif not networks:
        yield Finding(
            "network", "missing", "Make a network with a subnet in this project: desktops need one.", "network"
        )
        return
    subnets = openstack_choices.subnets(api)
    yield _name_servers(networks, subnets)
    yield _metadata(api, networks, subnets)


def open_ports(api: Api) -> int:
    """Add the rules that the default security group lacks; returns how many were added. Raises CloudError."""
    group = _default_group(api)
    if group is None:
        raise CloudRefused("The project has no security group called default.")
    closed = _closed(group)
    rules = [
        {
            "security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp",
            "port_range_min": port, "port_range_max": port, "description": f"Portico: {PORTS[port]}",
        } | ({"remote_ip_prefix": source} if source else {})
        for port in closed
        for source in _sources(api) or [""]
    ]  # fmt: skip
    if rules:
        api.post("network", "/security-group-rules", {"security_group_rules": rules})
    return len(rules)


def _security_group(api: Api) -> Finding:
    name = "default security group"
    group = _default_group(api)
    if group is None:
        return Finding(name, "unknown", "The project shows no security group called default.", "network")
    closed = _closed(group)
    if not closed:
        return Finding(
            name, "granted", "", "network", "opens " + ", ".join(f"{what} {port}" for port, what in PORTS.items())
        )
    sources = ", ".join(_sources(api)) or "everywhere"
    remedy = (
        f"Let Portico add the rules, for connections from {sources}, or choose a group in the pool that opens "
        "the ports of the agent and of the protocols in use."
    )
    detail = "closed: " + ", ".join(f"{PORTS[port]} {port}" for port in closed)
    return Finding(name, "warning", remedy, "network", detail, SECURITY_GROUP_RULES)


def _default_group(api: Api) -> dict[str, Any] | None:
    query = {"name": "default", "project_id": api.project_id}
    return next(iter(api.get("network", "/security-groups", params=query).get("security_groups", [])), None)


def _closed(group: Mapping[str, Any]) -> list[int]:
    """Return the ports that no ingress rule opens to an address range; one for members of the group alone opens nothing to us."""
    rules = [
        rule
        for rule in group.get("security_group_rules", ())
        if rule["direction"] == "ingress"
        and rule.get("protocol") in (None, "tcp", "6", 6)
        and not rule.get("remote_group_id")
        and rule.get("ethertype") == "IPv4"
    ]
    return [port for port in PORTS if not any(_opens(rule, port) for rule in rules)]


def _opens(rule: Mapping[str, Any], port: int) -> bool:
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    return low is None or high is None or low <= port <= high


def _sources(api: Api) -> list[str]:
    return [str(ipaddress.ip_network(text)) for text in api.settings.access_from.replace(",", " ").split()]


def _name_servers(networks: Iterable[Mapping[str, Any]], subnets: Mapping[str, list[dict[str, Any]]]) -> Finding:
    without = [
        _label(one)
        for one in networks
        if not any(subnet.get("dns_nameservers") for subnet in subnets.get(str(one["id"]), ()))
    ]
    if not without:
        return Finding("DNS servers", "granted", "", "network", "every network names some")
    remedy = "Give these subnets DNS servers that resolve the domain, before desktops are to join it."
    return Finding("DNS servers", "warning", remedy, "network", "none in " + ", ".join(without))


def _metadata(api: Api, networks: Iterable[Mapping[str, Any]], subnets: Mapping[str, list[dict[str, Any]]]) -> Finding:
    name = "metadata service"
    ports = api.pages("network", "/ports", "ports", {"device_owner": list(_ROUTERS), "fields": ["id", "network_id"]})
    routed = {str(port["network_id"]) for port in ports}
    cut_off: list[str] = []
    unsure: list[str] = []
    for network in networks:
        mine = subnets.get(str(network["id"]), [])
        has_dhcp = any(one.get("enable_dhcp") for one in mine)
        has_router = str(network["id"]) in routed and any(one.get("gateway_ip") for one in mine)
        if has_dhcp and has_router:
            continue
        foreign = network.get("project_id") != api.project_id
        (unsure if has_dhcp or has_router or foreign else cut_off).append(_label(network))
    if cut_off:
        remedy = "Add a router and DHCP, or let pools use a config drive: agents learn their instance's data from it."
        return Finding(name, "warning", remedy, "network", "no way to 169.254.169.254 from " + ", ".join(cut_off))
    if unsure:
        remedy = "Use a config drive where an agent reports that 169.254.169.254 does not answer."
        return Finding(name, "unknown", remedy, "network", "not to be told for " + ", ".join(unsure))
    return Finding(name, "granted", "", "network", "every network has a router and DHCP")


def _label(network: Mapping[str, Any]) -> str:
    return str(network.get("name") or network["id"])
