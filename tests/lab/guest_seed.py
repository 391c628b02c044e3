"""What OpenStack is told of real guests: image, flavor, and an aggregate that keeps all other servers off their hypervisor."""

from typing import Any

from tests.lab.guest_image import Image
from tests.lab.places import GUEST_HOST as HOST
from tests.lab.rest import Cloud, until

USER, PROJECT = "broker2", "vdi2"  # Only this project sees image and flavor: the lists of the others stay as they are.
IMAGE, FLAVOR, GROUP = "real-desktop", "real.small", "real"
TRAIT = "CUSTOM_REAL_GUEST"
_SIZE = {"vcpus": 1, "ram": 768, "disk": 4, "os-flavor-access:is_public": False}
_BOOT = "root=/dev/vda ro console=ttyS0 net.ifnames=0 mitigations=off quiet"


def seed(image: Image) -> None:
    """Make what is not there; replace an image that is another."""
    admin = Cloud("admin", "admin")
    _isolate(admin)
    _flavor(admin)
    _images(Cloud(USER, PROJECT), image)
    until("a way out of the guests' network", _has_gateway)


def forget() -> None:
    """Remove it all: the servers on the hypervisor first, at last the hypervisor."""
    admin, owner = Cloud("admin", "admin"), Cloud(USER, PROJECT)
    until("the last guest's end", lambda: _without_servers(admin))
    for entry in _ours(owner):
        owner.delete("image", f"/images/{entry['id']}")
    for flavor in _flavors(admin):
        admin.delete("compute", f"/flavors/{flavor['id']}")
    for group in admin.listed("compute", "/os-aggregates"):
        if group["name"] == GROUP:
            for host in group["hosts"]:
                admin.post("compute", f"/os-aggregates/{group['id']}/action", {"remove_host": {"host": host}})
            admin.delete("compute", f"/os-aggregates/{group['id']}")
    for service in admin.listed("compute", f"/os-services?host={HOST}", "services"):
        admin.delete("compute", f"/os-services/{service['id']}")


def forget_agents() -> None:
    """Let Neutron forget what answered for this machine, once it has ended: else it is listed as dead for ever."""
    admin = Cloud("admin", "admin")
    for agent in admin.listed("network", "/agents"):
        if agent["host"] == HOST:
            admin.delete("network", f"/agents/{agent['id']}")


def _isolate(admin: Cloud) -> None:
    """Let only flavors that ask for it onto the hypervisor, and them nowhere else."""
    admin.put("placement", f"/traits/{TRAIT}", None)
    group = admin.ensure("compute", "/os-aggregates", "aggregate", GROUP)
    path = f"/os-aggregates/{group['id']}/action"
    if HOST not in group.get("hosts", ()):
        admin.post("compute", path, {"add_host": {"host": HOST}})
    admin.post("compute", path, {"set_metadata": {"metadata": {f"trait:{TRAIT}": "required"}}})
    until("the guests' hypervisor in Placement", lambda: _marked(admin))


def _marked(admin: Cloud) -> bool:
    found = [
        one
        for one in admin.listed("compute", "/os-hypervisors/detail", "hypervisors")
        if one["service"]["host"] == HOST
    ]
    if not found:
        return False
    path = f"/resource_providers/{found[0]['id']}/traits"
    now: dict[str, Any] = admin.get("placement", path)
    if TRAIT not in now["traits"]:
        admin.put("placement", path, {**now, "traits": [*now["traits"], TRAIT]})
    return True


def _flavors(admin: Cloud) -> list[dict[str, Any]]:
    return [one for one in admin.listed("compute", "/flavors?is_public=None", "flavors") if one["name"] == FLAVOR]


def _flavor(admin: Cloud) -> None:
    if _flavors(admin):
        return
    projects = {entry["name"]: entry["id"] for entry in admin.listed("identity", "/projects")}
    made = admin.post("compute", "/flavors", {"flavor": {"name": FLAVOR, **_SIZE}})["flavor"]
    admin.post("compute", f"/flavors/{made['id']}/os-extra_specs", {"extra_specs": {f"trait:{TRAIT}": "required"}})
    access = {"addTenantAccess": {"tenant": projects[PROJECT]}}
    admin.post("compute", f"/flavors/{made['id']}/action", access)


def _ours(owner: Cloud) -> list[dict[str, Any]]:
    return [one for one in owner.listed("image", "/images?limit=100") if one["name"].partition(" ")[0] == IMAGE]


def _images(owner: Cloud, image: Image) -> None:
    known = _ours(owner)
    if len(known) == 3 and all(one.get("made_as") == image.name and one["status"] == "active" for one in known):
        return
    for one in known:
        owner.delete("image", f"/images/{one['id']}")
    common = {"visibility": "private", "made_as": image.name}

    def make(name: str, kind: str, container: str, content: bytes, **more: Any) -> str:
        values = {"disk_format": kind, "container_format": container, **common, **more}
        made = owner.post("image", "/images", {"name": name, **values})
        owner.put("image", f"/images/{made['id']}/file", content)
        return str(made["id"])

    kernel = make(f"{IMAGE} kernel", "aki", "aki", image.kernel.read_bytes())
    initrd = make(f"{IMAGE} initrd", "ari", "ari", image.initrd.read_bytes())
    hardware = {"hw_video_model": "none", "hw_rng_model": "virtio", "hw_vif_model": "virtio", "hw_disk_bus": "virtio"}
    system = {"os_type": "linux", "os_distro": "debian", "os_version": "12", "min_disk": 3}
    boot = {"kernel_id": kernel, "ramdisk_id": initrd, "os_command_line": _BOOT}
    make(IMAGE, "qcow2", "bare", image.disk.read_bytes(), **hardware, **system, **boot)


def _has_gateway() -> bool:
    """Tell whether Neutron has given the routers of guests a place to reach the outside from: this machine's chassis."""
    agents = Cloud("admin", "admin").listed("network", "/agents")
    return any(one["host"] == HOST and one["alive"] and "Gateway" in one["agent_type"] for one in agents)


def _without_servers(admin: Cloud) -> bool:
    left = admin.listed("compute", f"/servers/detail?all_tenants=1&host={HOST}", "servers")
    for server in left:
        if server["OS-EXT-STS:task_state"] != "deleting":
            admin.delete("compute", f"/servers/{server['id']}")
    return not left
