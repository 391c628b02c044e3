"""Bare metal nodes, read from Ironic itself: machines that somebody else has deployed, with their power in our hands."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from portico.clouds.openstack_errors import error_of
from portico.clouds.openstack_inventory import TAG_PROTOCOLS, os_family, protocols
from portico.clouds.openstack_session import Api, api_for
from portico.clouds.openstack_settings import OpenStackSettings
from portico.clouds.openstack_tags import is_id
from portico.domain.model import Power, PowerAction
from portico.errors import CloudNotFound, CloudRefused
from portico.ports.cloud import (
    Belonging,
    Capabilities,
    Choices,
    CloudContext,
    Console,
    Finding,
    Machine,
    MachineSpec,
    Scan,
    Usage,
)

ADDRESS = "portico:address"  # in a node's `extra`: where its desktop is reached, for Ironic does not know it
_POWER = {"power on": Power.RUNNING, "power off": Power.STOPPED, "error": Power.ERROR}
_GOING = {
    "power on": Power.STARTING, "rebooting": Power.STARTING, "soft rebooting": Power.STARTING,
    "power off": Power.STOPPING, "soft power off": Power.STOPPING,
}  # fmt: skip
# action → Ironic's target, the state that the node must be in (None: any), the state in which there is nothing to do
_TARGETS: Mapping[PowerAction, tuple[str, str | None, str | None]] = {
    PowerAction.START: ("power on", None, "power on"),
    PowerAction.STOP: ("power off", None, "power off"),
    PowerAction.SHUTDOWN: ("soft power off", None, "power off"),
    PowerAction.REBOOT: ("soft rebooting", "power on", None),
    PowerAction.RESET: ("rebooting", None, None),
}
_BUSY = frozenset({"deploying", "wait call-back", "cleaning", "clean wait", "deleting", "inspecting", "rescuing"})
_BROKEN = frozenset({"error", "deploy failed", "clean failed", "inspect failed", "adopt failed", "rescue failed"})
_TRIES = 5
_POLL_SECONDS = 1.0
_FIXED = "Nodes of Ironic are made and removed by whoever owns them. Use a center of the kind OpenStack to have some deployed."

Wait = Callable[[float], object]


class Ironic:
    """The nodes that a project owns or leases."""

    kind: ClassVar[str] = "ironic"
    Settings: ClassVar[type] = OpenStackSettings

    def __init__(self, settings: OpenStackSettings, context: CloudContext, wait: Wait = threading.Event().wait) -> None:
        """Prepare; nothing is sent before the first call. Raises Invalid for settings that cannot be used."""
        self._api: Api = api_for(settings, context.egress_allow, context.state)
        self._wait = wait

    def capabilities(self) -> Capabilities:
        """Return that nodes are switched and nothing else."""
        return Capabilities(provisions=False, power=frozenset(_TARGETS), user_data=False)

    def check(self) -> tuple[Finding, ...]:
        """Say which nodes this user sees, and whether their desktops can be reached. Raises CloudError when nobody can log in."""
        try:
            nodes = self._nodes()
        except CloudRefused as problem:
            return (
                Finding("nodes", "missing", "Give the user a role in a project that owns or leases nodes.", "rights",
                        problem.sentence),
            )  # fmt: skip
        if not nodes:
            remedy = "Let Ironic's administrator set this project as owner or lessee of the nodes."
            return (Finding("nodes", "missing", remedy, "rights", "this user sees none"),)
        found = [Finding("nodes", "granted", "", "rights", f"{len(nodes)} nodes")]
        lost = [str(node.get("name") or node["uuid"]) for node in nodes if not (node.get("extra") or {}).get(ADDRESS)]
        if lost:
            remedy = f"Set {ADDRESS} and {TAG_PROTOCOLS} in the nodes' extra, or let an agent on each tell where it is."
            found.append(Finding("addresses", "warning", remedy, "network", "unknown of " + ", ".join(lost)))
        return tuple(found)

    def scan(self, since: datetime | None = None) -> Scan:
        """List all nodes; Ironic has no list of what changed, so `since` changes nothing but what is claimed of the list."""
        return Scan(tuple(machine(node) for node in self._nodes()), (), complete=since is None)

    def look(self, external_id: str) -> Machine | None:
        """Look at one node."""
        node = self._node(external_id) if is_id(external_id) else None
        return None if node is None else machine(node)

    def choices(self) -> Choices:
        """Return nothing to choose from, for nothing is made."""
        return Choices()

    def create(self, spec: MachineSpec) -> str:
        """Refuse."""
        raise CloudRefused(_FIXED)

    def delete(self, external_id: str) -> None:
        """Refuse to remove a node; one that is not there is gone already."""
        if is_id(external_id) and self._node(external_id) is not None:
            raise CloudRefused(_FIXED, external_id)

    def power(self, external_id: str, action: PowerAction) -> None:
        """Start a power action. Raises CloudNotFound, CloudRefused, CloudError."""
        node = self._node(external_id) if is_id(external_id) else None
        if node is None:
            raise CloudNotFound("Ironic does not know this node.", external_id)
        if action not in _TARGETS:
            raise CloudRefused(f"A node of bare metal cannot {action.value}.", external_id)
        target, needed, done = _TARGETS[action]
        if node.get("power_state") == done and not node.get("target_power_state"):
            return
        name = node.get("name") or external_id
        if needed and node.get("power_state") != needed:
            raise CloudRefused(f"“{name}” is in the state “{node.get('power_state')}” and cannot {action.value} now.")
        for number in range(1, _TRIES + 1):
            answer = self._api.ask("PUT", "baremetal", f"/nodes/{external_id}/states/power", json={"target": target})
            if answer.is_success:
                return
            if answer.status != 409 or number == _TRIES:  # 409: a conductor holds the node's lock for a moment
                raise error_of(answer)
            self._wait(_POLL_SECONDS * number)

    def belongings(self) -> tuple[Belonging, ...]:
        """Return nothing, for nothing is made."""
        return ()

    def remove(self, belonging: Belonging) -> None:
        """Refuse."""
        raise CloudRefused(_FIXED, belonging.external_id)

    def mend(self, fix: str) -> None:
        """Refuse."""
        raise CloudRefused("Portico cannot mend this by itself.", fix)

    def console(self, external_id: str) -> Console:
        """Refuse."""
        raise CloudRefused(
            "The console of a node is not shown here; Ironic gives it to its administrators.", external_id
        )

    def snapshot(self, external_id: str, name: str) -> str:
        """Refuse."""
        raise CloudRefused("No image can be made of a node's disk.", external_id)

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Refuse: nothing is counted."""
        raise CloudRefused("Ironic counts no usage.")

    def _nodes(self) -> list[dict[str, Any]]:
        # Ironic's marker is a node's uuid, which it calls uuid; pages() wants an id.
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": self._api.settings.page_size}
        while True:
            page = self._api.get("baremetal", "/nodes/detail", params=query)
            found += page["nodes"]
            if not page.get("next") or not page["nodes"]:
                return found
            query["marker"] = page["nodes"][-1]["uuid"]

    def _node(self, node_id: str) -> dict[str, Any] | None:
        try:
            return dict(self._api.get("baremetal", f"/nodes/{node_id}"))
        except CloudNotFound:
            return None
        except CloudRefused as problem:
            if problem.params.get("status") != 403:
                raise
            raise CloudRefused(
                "The center's user may not see this node. Its project must own or lease it.", problem.detail, status=403
            ) from problem


def machine(node: Mapping[str, Any]) -> Machine:
    """Read a node of Ironic as a machine."""
    extra, info = node.get("extra") or {}, node.get("instance_info") or {}
    state, provision = str(node.get("power_state") or ""), str(node.get("provision_state") or "")
    going = _GOING.get(str(node.get("target_power_state") or ""))
    found = Machine(
        external_id=str(node["uuid"]),
        name=str(node.get("name") or info.get("display_name") or node["uuid"]),
        power=going or _POWER.get(state, Power.UNKNOWN),
        ready=provision not in _BUSY and provision not in _BROKEN and not node.get("maintenance"),
        address=extra.get(ADDRESS),
        created_at=_time(node.get("created_at")),
        os_family=os_family(extra) or os_family(node.get("properties") or {}),
        protocols=protocols(str(extra.get(TAG_PROTOCOLS) or "")),
        tags={"resource_class": str(node.get("resource_class") or ""), "provision_state": provision},
    )
    if node.get("maintenance"):
        reason = node.get("maintenance_reason") or node.get("fault") or "Ironic gives no reason"
        return replace(found, power=Power.UNKNOWN, error=f"The node is in maintenance: {reason}.")
    if provision in _BROKEN or state == "error":
        return replace(found, power=Power.ERROR, error=str(node.get("last_error") or "Ironic gives no reason."))
    return found


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
