"""OpenStack project: desktops as instances of Nova, with Keystone, Glance, Neutron and Cinder around them."""

from datetime import datetime
from typing import ClassVar

from portico.clouds import (
    openstack_build,
    openstack_choices,
    openstack_network,
    openstack_power,
    openstack_preflight,
    openstack_remove,
    openstack_scan,
    openstack_usage,
)
from portico.clouds.openstack_session import Api, api_for
from portico.clouds.openstack_settings import OpenStackSettings
from portico.domain.model import PowerAction
from portico.errors import CloudRefused
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


class OpenStack:
    """One project of an OpenStack cloud."""

    kind: ClassVar[str] = "openstack"
    Settings: ClassVar[type] = OpenStackSettings

    def __init__(self, settings: OpenStackSettings, context: CloudContext) -> None:
        """Prepare; nothing is sent before the first call. Raises Invalid for settings that cannot be used."""
        self._context = context
        self._api: Api = api_for(settings, context.egress_allow, context.state)
        self._settings = self._api.settings  # those of clouds.yaml filled in

    def capabilities(self) -> Capabilities:
        """Return what Nova can do; a single compute host may be able to do less."""
        return Capabilities(
            provisions=True,
            power=frozenset(PowerAction),
            snapshots=True,
            console=True,
            usage=True,
            needs_network=not self._settings.network,
            creates_at_a_time=self._settings.create_parallelism,
        )

    def check(self) -> tuple[Finding, ...]:
        """Report each right, precondition and quota by name. Raises CloudError when nobody can log in."""
        return openstack_preflight.check(self._api, self._context.deployment_id)

    def scan(self, since: datetime | None = None) -> Scan:
        """List all machines and images, or the machines that changed after `since`."""
        return openstack_scan.scan(self._api, since)

    def look(self, external_id: str) -> Machine | None:
        """Look at one machine, between two passes."""
        return openstack_scan.look(self._api, external_id)

    def choices(self) -> Choices:
        """Read the menus of the provisioning form."""
        return openstack_choices.choices(self._api)

    def create(self, spec: MachineSpec) -> str:
        """Start making an instance; see openstack_build."""
        return openstack_build.create(self._api, spec)

    def delete(self, external_id: str) -> None:
        """Delete an instance and all that was made for it; see openstack_remove."""
        openstack_remove.delete(self._api, self._context.deployment_id, external_id)

    def power(self, external_id: str, action: PowerAction) -> None:
        """Start a power action; see openstack_power."""
        openstack_power.power(self._api, external_id, action)

    def belongings(self) -> tuple[Belonging, ...]:
        """List instances, volumes, ports and floating IPs that carry our tag. Raises CloudError."""
        return openstack_remove.belongings(self._api, self._context.deployment_id)

    def remove(self, belonging: Belonging) -> None:
        """Remove one of them, if it is still ours. Raises CloudRefused, CloudError."""
        openstack_remove.remove(self._api, self._context.deployment_id, belonging)

    def mend(self, fix: str) -> None:
        """Add what the default security group lacks. Raises CloudRefused for what is no fix of a finding."""
        if fix != openstack_network.SECURITY_GROUP_RULES:
            raise CloudRefused("Portico cannot mend this by itself.", fix)
        openstack_network.open_ports(self._api)

    def console(self, external_id: str) -> Console:
        """Read what an instance has printed, and where its screen is. Raises CloudNotFound, CloudRefused."""
        return openstack_power.console(self._api, external_id)

    def usage(self, since: datetime, until: datetime) -> Usage:
        """Tell what the project has used. Raises CloudRefused, CloudError."""
        return openstack_usage.usage(self._api, since, until)

    def snapshot(self, external_id: str, name: str) -> str:
        """Start making an image of an instance's root disk; returns its id. Raises CloudNotFound, CloudRefused."""
        return openstack_power.snapshot(self._api, external_id, name)
