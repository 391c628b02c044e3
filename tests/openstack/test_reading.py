"""What the driver reads of a real project: log-ins, inventory, menus and the pre-flight; and what it says when it cannot."""

import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from tests.brokers import actor, make_broker
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, until

from doubles.tls_relay import tls_relay
from portico.clouds import openstack_scan, openstack_session
from portico.clouds.openstack import OpenStack
from portico.clouds.openstack_session import Api
from portico.clouds.openstack_settings import OpenStackSettings
from portico.domain.model import Power
from portico.errors import CloudError, CloudRefused
from portico.ports.cloud import CloudContext, Finding, Machine
from portico.services import configure, inventory
from portico.store import tables as t

LOOPBACK = ("127.0.0.0/8",)
LEGACY = {
    "list": "compute:get_all", "create": "compute:create", "start": "compute:start", "stop": "compute:stop",
    "reboot": "compute:reboot", "suspend": "admin_actions:suspend", "resume": "admin_actions:resume",
    "floating-create": "network:allocate_floating_ip", "floating-update": "network:associate_floating_ip",
    "floating-delete": "network:release_floating_ip", "images": "get_images",
}  # fmt: skip
Make = Callable[..., OpenStack]


@pytest.fixture
def settings(lab: Facts) -> OpenStackSettings:
    return OpenStackSettings(auth_url=lab.auth_url, username="broker", password=lab.password, project="vdi")


@pytest.fixture
def make(settings: OpenStackSettings, tmp_path: Path) -> Make:
    """Make a driver with other settings than the usual ones."""

    def build(deployment: str = "deployment", egress: tuple[str, ...] = LOOPBACK, **values: Any) -> OpenStack:
        return OpenStack(replace(settings, **values), CloudContext(deployment, "center", tmp_path, egress))

    return build


@pytest.fixture(scope="module")
def deployment() -> str:
    return f"deployment-{uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def servers(lab: Facts, broker: Cloud, deployment: str) -> Iterator[dict[str, str]]:
    """Two machines of ours, one of them stopped; name → id."""
    made = {}
    for name in ("running", "stopped"):
        wanted = {
            "name": f"{deployment}-{name}", "flavorRef": lab.flavors["desktop.small"], "imageRef": lab.images["linux-desktop"],
            "networks": [{"uuid": lab.networks["vdi"]["desktops"]}],
            "metadata": {"portico:deployment": deployment, "portico:desktop": name, "pool": "reading"},
        }  # fmt: skip
        made[name] = str(broker.post("compute", "/servers", {"server": wanted})["server"]["id"])
    for server in made.values():
        until(f"{server} is built", lambda server=server: _settled(broker, server, "ACTIVE"))  # type: ignore[misc]
    broker.post("compute", f"/servers/{made['stopped']}/action", {"os-stop": None})
    until("one is stopped", lambda: _settled(broker, made["stopped"], "SHUTOFF"))
    yield made
    control.purge("broker", "vdi", deployment)


def _settled(cloud: Cloud, server: str, status: str) -> bool:
    seen = cloud.get("compute", f"/servers/{server}")["server"]
    return bool(seen["status"] == status and not seen["OS-EXT-STS:task_state"])


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def mine(cloud: OpenStack, servers: dict[str, str], since: datetime | None = None) -> dict[str, Machine]:
    ids = {server: name for name, server in servers.items()}
    return {ids[one.external_id]: one for one in cloud.scan(since).machines if one.external_id in ids}


@pytest.mark.capability("S086", "S087")
@pytest.mark.parametrize("path", ["/v3", "/v3/", "/v3.0", "/v3.0/", "", "/"])
def test_keystone_is_found_under_every_form_of_its_address(make: Make, lab: Facts, path: str) -> None:
    """With the version, with the one of old, with a slash, and bare."""
    cloud = make(auth_url=lab.auth_url.removesuffix("/v3") + path)
    assert by_name(cloud.check())["Keystone v3"].state == "granted"


@pytest.mark.capability("S086")
def test_every_kind_of_credential_logs_in(make: Make, lab: Facts) -> None:
    """A password, by names and by ids; an application credential; a clouds.yaml with either."""
    credential = {"application_credential_id": lab.credentials["portico"]["id"],
                  "application_credential_secret": lab.credentials["portico"]["secret"]}  # fmt: skip
    text = Path(lab.clouds).read_text("utf-8")
    for values in (
        {},
        {"project": lab.projects["vdi"], "username": lab.users["broker"]["id"], "domain": "default"},
        {"auth_type": "application credential", **credential},
        {"auth_type": "clouds.yaml", "clouds_yaml": text, "cloud_name": "broker"},
        {"auth_type": "clouds.yaml", "clouds_yaml": text, "cloud_name": "credential-portico"},
    ):
        detail = by_name(make(**values).check())["Keystone v3"].detail
        assert "broker in the project vdi" in detail


@pytest.mark.capability("S063", "S086", "S087")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"password": "wrong"}, "does not know broker with this password"),
        ({"username": "nobody"}, "does not know nobody"),
        ({"domain": "Elsewhere"}, "in the domain Elsewhere"),
        ({"project": "vdi3"}, "The projects of this user: vdi"),
        ({"project": "vdi2"}, "no project vdi2 that broker has a role in"),
        ({"region": "Atlantis"}, "Choose one of RegionOne"),
        ({"auth_url": "http://127.0.0.1:25001/v3"}, "no Keystone of version 3"),
        ({"auth_url": "http://127.0.0.1:25001"}, "no Keystone at the Auth URL|does not speak version 3"),
        ({"auth_url": "http://127.0.0.1:9/v3"}, "cannot be reached"),
        ({"auth_url": "http://no-such-host.invalid/v3"}, "cannot be reached"),
        ({"auth_url": "http://169.254.169.254/v3"}, "does not connect to"),
        ({"egress": ()}, "egress_allow"),
        ({"auth_type": "OpenID Connect password", "identity_provider": "none", "client_id": "c",
          "discovery_endpoint": "http://127.0.0.1:9/.well-known/openid-configuration"}, "cannot be reached"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_settings_is_told(make: Make, values: dict[str, Any], words: str) -> None:
    """Each wrong setting by a sentence of its own, an error of ours, the same for a pass of the inventory."""
    cloud = make(**values)
    with pytest.raises(CloudError) as trouble:
        found = by_name(cloud.check())
        raise CloudRefused(found["Nova"].remedy)  # a wrong region stands at the services that it lacks
    assert re.search(words, trouble.value.sentence), trouble.value.sentence
    with pytest.raises(CloudError):
        cloud.scan()


@pytest.mark.capability("S086")
def test_an_expired_application_credential_is_told(make: Make, lab: Facts) -> None:
    """Keystone says the same of a wrong one."""
    expired = lab.credentials["expired"]
    cloud = make(
        auth_type="application credential",
        application_credential_id=expired["id"],
        application_credential_secret=expired["secret"],
    )
    with pytest.raises(CloudRefused, match="has expired"):
        cloud.check()


@pytest.mark.capability("S086")
def test_a_cloud_behind_tls_is_verified(make: Make, lab: Facts, tmp_path: Path) -> None:
    """Keystone behind a certificate of its own authority: pasted it logs in, without it and expired it is told."""
    port = int(lab.auth_url.removesuffix("/v3").rpartition(":")[2])
    with tls_relay(("127.0.0.1", port), tmp_path) as relay:
        url = f"https://127.0.0.1:{relay.port}"
        assert by_name(make(auth_url=url, ca_certificates=relay.pem).check())["Nova"].state == "granted"
        with pytest.raises(CloudError, match="CA certificates"):
            make(auth_url=url).scan()
    with tls_relay(("127.0.0.1", port), tmp_path, days=-1) as relay, pytest.raises(CloudError, match="has expired"):
        make(auth_url=f"https://127.0.0.1:{relay.port}", ca_certificates=relay.pem).scan()


@pytest.mark.capability("S003", "S088", "S089", "S090")
def test_a_full_pass_lists_machines_and_images(
    make: Make, servers: dict[str, str], lab: Facts, deployment: str
) -> None:
    """States, addresses, our ids and tags, the system of the image; images of the project and public ones, no retired ones."""
    cloud = make()
    seen = mine(cloud, servers)
    assert (seen["running"].power, seen["stopped"].power) == (Power.RUNNING, Power.STOPPED)
    for name, machine in seen.items():
        assert (machine.deployment_id, machine.desktop_id, machine.tags) == (deployment, name, {"pool": "reading"})
        assert machine.ready
        assert machine.image_id == lab.images["linux-desktop"]
        assert (machine.os_family, machine.flavor) == ("linux", "desktop.small")
        assert machine.address is not None
        assert machine.address.startswith("10.10.")
        assert machine.created_at is not None
        assert abs((datetime.now(UTC) - machine.created_at).total_seconds()) < 3600
    scan = cloud.scan()
    assert scan.complete
    names = {image.name: image for image in scan.images}
    assert {"linux-desktop", "windows-desktop", "master-vdi"} <= set(names)
    assert not {"retired", "master-vdi2", "master-small"} & set(names)
    assert names["windows-desktop"].os_family == "windows"
    other = make(username="broker2", project="vdi2").scan()
    assert not {machine.external_id for machine in other.machines} & set(servers.values())


@pytest.mark.capability("S089", "S090")
def test_small_pages_list_the_same(make: Make, servers: dict[str, str]) -> None:
    """One thing a page, by marker, until there are no more."""
    whole, pages = make().scan(), make(page_size=1).scan()
    assert {image.external_id for image in whole.images} == {image.external_id for image in pages.images}
    assert set(servers.values()) <= {machine.external_id for machine in pages.machines}
    assert pages.complete
    assert {choice.value for choice in make().choices().flavors} == {
        choice.value for choice in make(page_size=1).choices().flavors
    }


@pytest.mark.capability("S089", "S090")
def test_changes_are_listed_alone_with_the_deleted_ones(make: Make, lab: Facts, broker: Cloud, mark: str) -> None:
    """A machine that was deleted is told as gone; a pass of changes is never complete."""
    begun = datetime.now(UTC)
    wanted = {"name": mark, "flavorRef": lab.flavors["desktop.small"], "imageRef": lab.images["linux-desktop"], "networks": "none"}  # fmt: skip
    server = broker.call("POST", "compute", "/servers", {"server": wanted})["server"]["id"]
    until("it is built", lambda: _settled(broker, server, "ACTIVE"))
    cloud = make()
    first = cloud.scan(begun)
    assert not first.complete
    assert [machine.gone for machine in first.machines if machine.external_id == server] == [False]
    broker.delete("compute", f"/servers/{server}")
    until(
        "it is told as gone",
        lambda: [one.gone for one in cloud.scan(begun).machines if one.external_id == server] == [True],
    )
    assert server not in {machine.external_id for machine in cloud.scan().machines}


@pytest.mark.capability("S018", "S022", "S103", "S104", "S105", "S106", "S108", "S110")
def test_the_menus_are_those_of_the_project(make: Make, lab: Facts) -> None:
    """Everything that the provisioning form offers, with what should be known before choosing it."""
    choices = make().choices()
    flavors = {choice.label: choice for choice in choices.flavors}
    assert flavors["desktop.small"].value == lab.flavors["desktop.small"]
    assert "1 vCPU, 1 GiB" in flavors["desktop.small"].note
    assert "ephemeral disk" in flavors["desktop.ephemeral"].note
    assert "bare metal" in flavors["bm.vdi"].note
    networks = {choice.label: choice for choice in choices.networks}
    assert networks["desktops"].note == "10.10.0.0/20"
    assert "no DNS servers" in networks["dark"].note
    assert "public" not in networks
    assert {"az1", "az2"} <= {choice.value for choice in choices.zones}
    assert {"default", "portico"} <= {choice.label for choice in choices.security_groups}
    assert {"fast"} <= {choice.value for choice in choices.volume_types}
    assert lab.server_groups["spread"] in {choice.value for choice in choices.server_groups}
    assert "portico" in {choice.value for choice in choices.key_pairs}
    assert lab.external["public"] in {choice.value for choice in choices.floating_networks}
    assert "windows-desktop" in {choice.label for choice in choices.images}


@pytest.mark.capability("S022", "S060", "S061", "S062", "S063", "S065", "S067", "S070", "S028")
def test_the_preflight_of_a_whole_user(make: Make, servers: dict[str, str], deployment: str) -> None:
    """Rights by their names, granted where a call proves it; networks, quotas and flavors with what to look at."""
    found = by_name(make(deployment).check())
    assert set(LEGACY.values()) <= set(found)
    proven = ("list", "create", "start", "stop", "reboot", "suspend", "resume", "floating-create", "images")
    assert {name: found[LEGACY[name]].state for name in proven} == dict.fromkeys(proven, "granted")
    # Neutron answers 404 before it looks at the right: nothing is proven before the first use.
    assert found[LEGACY["floating-update"]].state == found[LEGACY["floating-delete"]].state == "unknown"
    assert "os_compute_api:servers:create" in found["compute:create"].detail
    assert {found[name].state for name in ("Keystone v3", "Nova", "Glance", "Neutron", "Cinder")} == {"granted"}
    assert found["DNS servers"].state == "warning"
    assert "dark" in found["DNS servers"].detail
    assert "isolated" in found["metadata service"].detail
    assert "desktop.ephemeral" in found["ephemeral disks"].detail
    assert "left" in found["instances"].detail
    assert {"cores", "memory", "volumes", "floating IPs"} <= set(found)
    assert all(finding.remedy for finding in found.values() if finding.state != "granted")


@pytest.mark.capability("S060", "S061", "S062", "S063")
@pytest.mark.parametrize("right", sorted(LEGACY))
def test_a_right_that_is_withheld_is_named(
    make: Make, lab: Facts, servers: dict[str, str], deployment: str, right: str
) -> None:
    """One user for each right that is missing: never granted, missing wherever a call that changes nothing can tell."""
    found = by_name(make(deployment, username=lab.rights[right]["user"]).check())[LEGACY[right]]
    assert found.state == ("unknown" if right in ("floating-update", "floating-delete") else "missing")
    assert found.remedy
    assert str(lab.rights[right]["rules"][-1]).removeprefix("rule:") in found.detail


@pytest.mark.capability("S061", "S063")
def test_a_right_is_known_from_its_first_use(make: Make, lab: Facts, broker: Cloud, mark: str, tmp_path: Path) -> None:
    """A refusal in use makes it missing, beyond the process; a success makes it granted."""
    wanted = {"floatingip": {"floating_network_id": lab.external["public"], "description": mark}}
    floating = broker.post("network", "/floatingips", wanted)["floatingip"]["id"]
    for user, state in (("without-floating-update", "missing"), ("broker", "granted")):
        cloud = make(username=user)
        with pytest.raises(CloudRefused) if state == "missing" else nullcontext():
            cloud._api.put("network", f"/floatingips/{floating}", {"floatingip": {"port_id": None}})
        assert by_name(cloud.check())["network:associate_floating_ip"].state == state
        assert (tmp_path / "rights.json").exists()


@pytest.mark.capability("S063", "S065")
def test_the_default_security_group_is_mended(make: Make, lab: Facts, as_user: Any) -> None:
    """What is closed is named, and opened at an administrator's word; then there is nothing to mend."""
    owner = as_user("broker2")
    group = lab.security_groups["vdi2"]["default"]
    cloud = make(username="broker2", project="vdi2", access_from="192.0.2.0/24")
    try:
        found = by_name(cloud.check())["default security group"]
        assert (found.state, found.fix) == ("warning", "security_group_rules")
        assert "agent 8080" in found.detail
        assert "192.0.2.0/24" in found.remedy
        cloud.mend(found.fix)
        assert by_name(cloud.check())["default security group"].state == "granted"
        cloud.mend(found.fix)
    finally:
        for rule in owner.listed("network", f"/security-group-rules?security_group_id={group}"):
            if str(rule.get("description", "")).startswith("Portico: "):
                owner.delete("network", f"/security-group-rules/{rule['id']}")


@pytest.mark.capability("S090")
def test_a_token_that_ends_in_mid_pass_is_replaced(settings: OpenStackSettings, servers: dict[str, str]) -> None:
    """Nova answers 401 to a token that it does not know (any more); the pass goes on with a new one, and is whole."""
    api = Api(replace(settings, page_size=1), LOOPBACK)
    pages = api.pages("compute", "/servers/detail", "servers")
    first = next(pages)
    # A revoked token would be believed for some minutes more: services remember those that they have seen.
    api.access._auth_token = "gAAAA-of-an-earlier-keystone"
    assert {str(first["id"]), *(str(one["id"]) for one in pages)} >= set(servers.values())
    assert api.access.auth_token != "gAAAA-of-an-earlier-keystone"
    assert openstack_scan.scan(api).complete


@pytest.mark.capability("S090")
def test_a_keystone_that_is_away_leaves_a_sentence_and_marks_nothing_deleted(
    settings: OpenStackSettings, servers: dict[str, str], tmp_path: Path
) -> None:
    """The center is offline, in words; its desktops stay as they are; when Keystone is back, so is the center."""
    broker = make_broker(tmp_path)
    broker = replace(
        broker, cloud_drivers={"openstack": OpenStack}, config=replace(broker.config, egress_allow=LOOPBACK)
    )
    form = {"name": "Lab", "kind": "openstack", "settings": asdict(settings)}
    center = configure.create_item(broker, actor(broker), "centers", form)["id"]
    inventory.scan(broker, center, full=True)
    ids = set(servers.values())

    def here() -> dict[str, str]:
        with broker.db.read() as conn:
            rows = conn.execute(select(t.desktops).where(t.desktops.c.external_id.in_(ids)))
            return {row.external_id: row.status for row in rows}

    before = here()
    assert set(before) == ids
    openstack_session.forget()  # a process that has no token yet; one that has goes on
    with control.stopped("keystone"):
        with pytest.raises(CloudError, match="cannot be reached"):
            inventory.scan(broker, center, full=True)
        item = configure.get_item(broker, actor(broker), "centers", center)
        assert item["status"] == "offline"
        assert "cannot be reached" in item["status_reason"]
        assert here() == before
    inventory.scan(broker, center, full=True)
    assert configure.get_item(broker, actor(broker), "centers", center)["status"] == "online"
    assert here() == before
