"""OpenStack project: desktops as instances of Nova, with Keystone, Glance, Neutron and Cinder around them."""

from datetime import datetime
from typing import ClassVar

from portico.clouds import openstack_choices, openstack_network, openstack_preflight, openstack_scan
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
    MachineSpec,
    Scan,
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
        return Capabilities(provisions=False, power=frozenset())

    def check(self) -> tuple[Finding, ...]:
        """Report each right, precondition and quota by name. Raises CloudError when nobody can log in."""
        return openstack_preflight.check(self._api, self._context.deployment_id)

    def scan(self, since: datetime | None = None) -> Scan:
        """List all machines and images, or the machines that changed after `since`."""
        return openstack_scan.scan(self._api, since)

    def choices(self) -> Choices:
        """Read the menus of the provisioning form."""
        return openstack_choices.choices(self._api)

    def create(self, spec: MachineSpec) -> str:
        """Refuse, for now."""
        raise CloudRefused("Instances cannot be created yet.")

    def delete(self, external_id: str) -> None:
        """Refuse, for now."""
        raise CloudRefused("Instances cannot be deleted yet.")

    def power(self, external_id: str, action: PowerAction) -> None:
        """Refuse, for now."""
        raise CloudRefused("Instances cannot be switched yet.")

    def belongings(self) -> tuple[Belonging, ...]:
        """Return nothing, for nothing is made."""
        return ()

    def remove(self, belonging: Belonging) -> None:
        """Refuse, for now."""
        raise CloudRefused("Nothing can be removed yet.")

    def mend(self, fix: str) -> None:
        """Add what the default security group lacks. Raises CloudRefused for what is no fix of a finding."""
        if fix != openstack_network.SECURITY_GROUP_RULES:
            raise CloudRefused("Portico cannot mend this by itself.", fix)
        openstack_network.open_ports(self._api)

    def console(self, external_id: str) -> Console:
        """Refuse, for now."""
        raise CloudRefused("Consoles cannot be read yet.")

    def snapshot(self, external_id: str, name: str) -> str:
        """Refuse, for now."""
        raise CloudRefused("Images cannot be made yet.")
