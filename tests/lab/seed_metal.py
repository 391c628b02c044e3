"""Ironic's nodes."""

from functools import partial
from typing import Any

from tests.lab.rest import Cloud, until

NODES = 5


def seed() -> None:
    """Make nodes that are available and powered on. The fake deployment powers nothing on, so that they must be before."""
    system = Cloud("admin")  # A project's admin sees no node.
    until("Ironic's conductor", lambda: any(one["hosts"] for one in system.listed("baremetal", "/drivers")))
    known = {node["name"] for node in system.listed("baremetal", "/nodes")}
    names = [f"metal{number}" for number in range(1, NODES + 1)]
    size = {"cpus": 8, "memory_mb": 32768, "local_gb": 200, "cpu_arch": "x86_64"}
    for name in names:
        if name not in known:
            system.post(
                "baremetal",
                "/nodes",
                {"name": name, "driver": "fake-hardware", "resource_class": "vdi-metal", "properties": size},
            )
    for target, state in (("manage", "manageable"), ("provide", "available")):
        for name in names:
            if _node(system, name)["provision_state"] in ("enroll", "manageable"):
                system.put("baremetal", f"/nodes/{name}/states/provision", {"target": target})
        reached = {state, "available", "active"}
        until(f"nodes {state}", partial(_all, system, "provision_state", reached))
    for name in names:
        if _node(system, name)["power_state"] is None:
            system.put("baremetal", f"/nodes/{name}/states/power", {"target": "power on"})
    until("nodes with power", partial(_all, system, "power_state", {"power on", "power off"}))


def _node(system: Cloud, name: str) -> dict[str, Any]:
    return dict(system.get("baremetal", f"/nodes/{name}"))


def _all(system: Cloud, field: str, values: set[str]) -> bool:
    return all(node[field] in values for node in system.listed("baremetal", "/nodes"))
