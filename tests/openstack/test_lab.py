"""The lab itself: what the other tests of this directory build on is there, and behaves like the real thing that it is."""

from typing import Any

import pytest
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud, Refused, application, until
from tests.lab.rights import RIGHTS

KINDS = {"identity", "image", "placement", "network", "compute", "volumev3", "baremetal"}


def boot(cloud: Cloud, lab: Facts, name: str, *, flavor: str = "desktop.small", network: str = "desktops") -> str:
    """Ask for a server and return its id."""
    nic = {"uuid": lab.networks["vdi"][network]}
    wanted = {
        "name": name,
        "flavorRef": lab.flavors[flavor],
        "imageRef": lab.images["linux-desktop"],
        "networks": [nic],
    }
    return str(cloud.post("compute", "/servers", {"server": wanted})["server"]["id"])


def settled(cloud: Cloud, server: str) -> dict[str, Any]:
    """Return a server once nothing goes on with it any more."""

    def look() -> dict[str, Any] | None:
        seen = dict(cloud.get("compute", f"/servers/{server}")["server"])
        return None if seen["status"] == "BUILD" or seen["OS-EXT-STS:task_state"] else seen

    return dict(until(f"server {server} settled", look))


@pytest.mark.capability("S028")
def test_the_catalogue_lists_every_service(broker: Cloud) -> None:
    """Each service has a public address that answers the broker's token."""
    broker.log_in()
    assert set(broker.places) == KINDS
    for kind, path in (("compute", "/flavors"), ("network", "/networks"), ("image", "/images"), ("volume", "/types")):
        assert broker.get(kind, path)


@pytest.mark.capability("S088")
def test_projects_do_not_see_one_another(lab: Facts, broker: Cloud, as_user: Any) -> None:
    """The same names stand in every project, and mean different things."""
    assert lab.networks["vdi"]["desktops"] != lab.networks["vdi2"]["desktops"]
    with pytest.raises(Refused) as refused:
        broker.get("network", f"/networks/{lab.networks['vdi2']['desktops']}")
    assert refused.value.status == 404
    assert "master-vdi2" not in [image["name"] for image in broker.listed("image", "/images")]


@pytest.mark.capability("S066")
def test_a_server_has_a_port_and_takes_a_floating_address(lab: Facts, broker: Cloud, mark: str) -> None:
    """A server becomes ACTIVE with an address of its network, and Nova shows the floating one soon after Neutron gave it."""
    server = boot(broker, lab, mark)
    assert settled(broker, server)["status"] == "ACTIVE"
    (port,) = broker.listed("network", f"/ports?device_id={server}")
    assert port["binding:vif_type"] != "binding_failed" if "binding:vif_type" in port else port["fixed_ips"]
    wanted = {"floating_network_id": lab.external["public"], "port_id": port["id"], "description": mark}
    floating = broker.post("network", "/floatingips", {"floatingip": wanted})["floatingip"]["floating_ip_address"]

    def shown() -> bool:
        addresses = broker.get("compute", f"/servers/{server}")["server"]["addresses"]["desktops"]
        return floating in [one["addr"] for one in addresses if one["OS-EXT-IPS:type"] == "floating"]

    until("Nova shows the floating address", shown, 30)


@pytest.mark.capability("S023")
def test_a_volume_is_attached(lab: Facts, broker: Cloud, mark: str) -> None:
    """A volume can be made and given to a server."""
    volume = broker.post("volume", "/volumes", {"volume": {"name": mark, "size": 1}})["volume"]["id"]
    server = boot(broker, lab, mark)
    assert settled(broker, server)["status"] == "ACTIVE"
    until("the volume is there", lambda: broker.get("volume", f"/volumes/{volume}")["volume"]["status"] == "available")
    broker.post("compute", f"/servers/{server}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
    until("the volume is used", lambda: broker.get("volume", f"/volumes/{volume}")["volume"]["status"] == "in-use")
    broker.delete("compute", f"/servers/{server}/os-volume_attachments/{volume}")
    until("the volume is free", lambda: broker.get("volume", f"/volumes/{volume}")["volume"]["status"] == "available")


@pytest.mark.capability("S018")
def test_a_bare_metal_machine_is_a_server(lab: Facts, broker: Cloud, mark: str) -> None:
    """A flavor for bare metal takes one of Ironic's nodes."""
    server = boot(broker, lab, mark, flavor="bm.vdi")
    assert settled(broker, server)["status"] == "ACTIVE"
    nodes = [control.admin_of_everything().get("baremetal", f"/nodes/{node}") for node in lab.nodes.values()]
    assert server in [node["instance_uuid"] for node in nodes]


@pytest.mark.capability("S005")
@pytest.mark.parametrize(
    ("flavor", "network", "words"),
    [("desktop.huge", "desktops", "No valid host"), ("desktop.small", "tiny", "No fixed IP addresses available")],
)
def test_what_cannot_be_built_says_why(
    lab: Facts, broker: Cloud, mark: str, flavor: str, network: str, words: str
) -> None:
    """A flavor without a host and a network without an address end in ERROR, with Nova's own words."""
    seen = settled(broker, boot(broker, lab, mark, flavor=flavor, network=network))
    assert seen["status"] == "ERROR"
    assert words in seen["fault"]["message"]


@pytest.mark.capability("S107")
def test_a_dry_pool_has_no_address(lab: Facts, broker: Cloud) -> None:
    """The external network `dry` gives nothing."""
    with pytest.raises(Refused) as refused:
        broker.post("network", "/floatingips", {"floatingip": {"floating_network_id": lab.external["dry"]}})
    assert refused.value.status == 409


@pytest.mark.capability("S087")
def test_application_credentials(lab: Facts) -> None:
    """The good one logs in to `vdi`; the expired one does not."""
    good = application(lab.credentials["portico"])
    good.log_in()
    assert good.ids["project"] == lab.projects["vdi"]
    with pytest.raises(Refused) as refused:
        application(lab.credentials["expired"]).log_in()
    assert refused.value.status == 401


# --- rights: what each user who is without one may do


def attempt(cloud: Cloud, kind: str, method: str, path: str, body: object = None) -> str:
    """Do something and tell how it went: "ok", "refused" for 403, or the number of another answer."""
    try:
        cloud.call(method, kind, path, body)
    except Refused as refused:
        return "refused" if refused.status == 403 else str(refused)
    return "ok"


def everything(cloud: Cloud, owner: Cloud, lab: Facts, server: str, mark: str) -> dict[str, str]:
    """Try all that needs a right, as one user, on a server and a floating address of `owner`; return how each went."""
    result: dict[str, str] = {
        "list": attempt(cloud, "compute", "GET", "/servers/detail"),
        "images": attempt(cloud, "image", "GET", "/images"),
    }
    wanted = {
        "name": f"{mark}-tried",
        "flavorRef": lab.flavors["desktop.small"],
        "imageRef": lab.images["linux-desktop"],
        "networks": "none",
    }
    result["create"] = attempt(cloud, "compute", "POST", "/servers", {"server": wanted})
    for right, action, done in (
        ("suspend", {"suspend": None}, "SUSPENDED"), ("resume", {"resume": None}, "ACTIVE"), ("stop", {"os-stop": None}, "SHUTOFF"),
        ("start", {"os-start": None}, "ACTIVE"), ("reboot", {"reboot": {"type": "HARD"}}, "ACTIVE"),
    ):  # fmt: skip
        result[right] = attempt(cloud, "compute", "POST", f"/servers/{server}/action", action)
        if result[right] == "refused":
            owner.post("compute", f"/servers/{server}/action", action)
        assert settled(owner, server)["status"] == done
    floating = {"floating_network_id": lab.external["public"], "description": mark}
    result["floating-create"] = attempt(cloud, "network", "POST", "/floatingips", {"floatingip": floating})
    path = "/floatingips/" + owner.post("network", "/floatingips", {"floatingip": floating})["floatingip"]["id"]
    result["floating-update"] = attempt(
        cloud, "network", "PUT", path, {"floatingip": {"port_id": None, "description": mark}}
    )
    result["floating-delete"] = attempt(cloud, "network", "DELETE", path)
    return result


@pytest.fixture(scope="module")
def shared_server(lab: Facts, broker: Cloud) -> Any:
    """A server that all users of `vdi` may act on in turn."""
    server = boot(broker, lab, "lab-rights")
    assert settled(broker, server)["status"] == "ACTIVE"
    yield server
    control.purge("broker", "vdi", "lab-rights")


@pytest.mark.capability("S060", "S061", "S062")
@pytest.mark.parametrize("missing", [right.name for right in RIGHTS])
def test_exactly_one_right_is_withheld(
    missing: str, lab: Facts, as_user: Any, broker: Cloud, shared_server: str, mark: str
) -> None:
    """Each user who is without a right is refused that one thing, and may do everything else."""
    went = everything(as_user(lab.rights[missing]["user"]), broker, lab, shared_server, mark)
    assert went == {right.name: "refused" if right.name == missing else "ok" for right in RIGHTS}


@pytest.mark.capability("S060", "S061", "S062")
def test_a_reader_may_look_and_no_more(lab: Facts, as_user: Any, broker: Cloud, shared_server: str, mark: str) -> None:
    """Reading is all that the role `reader` allows."""
    went = everything(as_user("reader"), broker, lab, shared_server, mark)
    assert {name for name, how in went.items() if how == "ok"} == {"list", "images"}
