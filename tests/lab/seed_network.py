"""Networks of all kinds, good ones and such as cannot be used."""

from typing import Any

from tests.lab.rest import Cloud, Refused

OWNERS = {"vdi": "broker", "vdi2": "broker2", "small": "broker-small"}
# The ports of Portico's security group: agent, SSH, RDP, VNC.
OPEN = ((8080, 8080), (22, 22), (3389, 3389), (5900, 5910))


def seed() -> None:
    """Make external networks, and in each project what it needs to reach them."""
    admin = Cloud("admin", "admin")
    public = _external(admin, "public", "172.24.0.0/20", "172.24.1.1", "172.24.15.250")
    dry = _external(admin, "dry", "172.25.0.0/24", "172.25.0.10", "172.25.0.10")
    _use_up(admin, "floatingips", "floatingip", floating_network_id=dry["id"])
    for project, user in OWNERS.items():
        # The same addresses everywhere: projects do not meet.
        broker = Cloud(user, project)
        broker.log_in()
        _connected(broker, public["id"])
        _security_group(broker)
    broker = Cloud("broker", "vdi")
    broker.log_in()
    _broken(broker)
    _quotas(admin)


def _external(admin: Cloud, name: str, cidr: str, first: str, last: str) -> dict[str, Any]:
    admin.log_in()
    flat = {"provider:network_type": "flat", "provider:physical_network": name, "router:external": True}
    network = admin.ensure("network", "/networks", "network", name, **flat)
    pool = {"enable_dhcp": False, "allocation_pools": [{"start": first, "end": last}]}
    _subnet(admin, network, cidr, **pool)
    return network


def _subnet(cloud: Cloud, network: dict[str, Any], cidr: str, **values: object) -> dict[str, Any]:
    wanted = {"network_id": network["id"], "ip_version": 4, "cidr": cidr, **values}
    return cloud.ensure("network", "/subnets", "subnet", network["name"], **wanted)


def _connected(broker: Cloud, public: str) -> None:
    """Make the network that desktops are to stand in: with name servers, and a router to the outside."""
    network = broker.ensure("network", "/networks", "network", "desktops")
    subnet = _subnet(broker, network, "10.10.0.0/20", dns_nameservers=["10.10.0.2"])
    router = broker.ensure("network", "/routers", "router", "desktops", external_gateway_info={"network_id": public})
    if not broker.listed("network", f"/ports?device_id={router['id']}&network_id={network['id']}"):
        broker.put("network", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})


def _security_group(broker: Cloud) -> None:
    group = broker.ensure("network", "/security-groups", "security_group", "portico")
    if not any(rule["direction"] == "ingress" for rule in group["security_group_rules"]):
        common = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", "protocol": "tcp"}
        rules = [{**common, "port_range_min": low, "port_range_max": high} for low, high in OPEN]
        broker.post("network", "/security-group-rules", {"security_group_rules": rules})


def _broken(broker: Cloud) -> None:
    """Make networks in which a desktop cannot be had, or not in full."""
    tiny = broker.ensure("network", "/networks", "network", "tiny")
    pool = [{"start": "10.20.0.2", "end": "10.20.0.3"}]
    _subnet(broker, tiny, "10.20.0.0/29", allocation_pools=pool, dns_nameservers=["10.10.0.2"])
    _use_up(broker, "ports", "port", network_id=tiny["id"], name="occupied")
    dark = broker.ensure("network", "/networks", "network", "dark")
    _subnet(broker, dark, "10.21.0.0/24")
    # Neither router nor DHCP: nothing leads to the metadata service.
    isolated = broker.ensure("network", "/networks", "network", "isolated")
    _subnet(broker, isolated, "10.22.0.0/24", enable_dhcp=False, gateway_ip=None)


def _use_up(cloud: Cloud, collection: str, one: str, **values: object) -> None:
    """Take addresses until there are none."""
    for _ in range(8):
        try:
            cloud.post("network", f"/{collection}", {one: values})
        except Refused as refused:
            if refused.status == 409:
                return
            raise
    raise RuntimeError(f"there is no end of {collection} for {values}")


def _quotas(admin: Cloud) -> None:
    projects = {entry["name"]: entry["id"] for entry in admin.listed("identity", "/projects")}
    large = {"port": -1, "security_group": -1, "security_group_rule": -1}
    for project, floating in {"vdi": 200, "vdi2": 50, "small": 1}.items():
        admin.put("network", f"/quotas/{projects[project]}", {"quota": {**large, "floatingip": floating}})
