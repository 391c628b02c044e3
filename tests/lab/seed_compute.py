"""Flavors, images, zones, keys, volume types and the quotas of Nova and Cinder."""

from tests.lab.places import BIN, FAKE_HOSTS, KEY
from tests.lab.processes import run
from tests.lab.rest import Cloud, Refused
from tests.lab.seed_network import OWNERS

FLAVORS = {
    "desktop.small": {"vcpus": 1, "ram": 1024, "disk": 10}, "desktop.medium": {"vcpus": 2, "ram": 4096, "disk": 40},
    "desktop.ephemeral": {"vcpus": 1, "ram": 1024, "disk": 10, "OS-FLV-EXT-DATA:ephemeral": 10},
    "desktop.huge": {"vcpus": 1, "ram": 1024, "disk": 5000000},  # No quota forbids it, and no host can hold it.
    "bm.vdi": {"vcpus": 8, "ram": 32768, "disk": 200},
}  # fmt: skip
METAL = {"resources:CUSTOM_VDI_METAL": "1", "resources:VCPU": "0", "resources:MEMORY_MB": "0", "resources:DISK_GB": "0"}
PUBLIC = {
    "linux-desktop": {"os_type": "linux", "os_distro": "debian", "os_version": "12"},
    "windows-desktop": {"os_type": "windows", "os_distro": "windows", "os_version": "11", "license": "vdi"},
}
COMPUTE = {
    "vdi": {"instances": 2000, "cores": 8000, "ram": 16000000}, "vdi2": {"instances": 20, "cores": 40, "ram": 81920},
    "small": {"instances": 2, "cores": 4, "ram": 8192},
}  # fmt: skip
VOLUMES = {
    "vdi": {"volumes": 200, "gigabytes": 2000},
    "vdi2": {"volumes": 20, "gigabytes": 200},
    "small": {"volumes": 1, "gigabytes": 20},
}


def seed() -> None:
    """Make everything that Nova, Glance and Cinder keep."""
    admin = Cloud("admin", "admin")
    _flavors(admin)
    _zones(admin)
    for name, properties in PUBLIC.items():
        _image(admin, name, visibility="public", **properties)
    retired = _image(admin, "retired", visibility="public", os_type="linux")
    admin.post("image", f"/images/{retired}/actions/deactivate", None)
    _key()
    for project, user in OWNERS.items():
        broker = Cloud(user, project)
        _image(broker, f"master-{project}", visibility="private", os_type="linux")
        _keypair(broker)
    _keypair(Cloud("reader", "vdi"), must=False)
    broker = Cloud("broker", "vdi")
    broker.ensure("compute", "/os-server-groups", "server_group", "spread", policy="soft-anti-affinity")
    _volumes(admin)
    projects = {entry["name"]: entry["id"] for entry in admin.listed("identity", "/projects")}
    for project, quota in COMPUTE.items():
        admin.put("compute", f"/os-quota-sets/{projects[project]}", {"quota_set": {**quota, "server_groups": 100}})
    for project, quota in VOLUMES.items():
        admin.put("volume", f"/os-quota-sets/{projects[project]}", {"quota_set": {**quota, "snapshots": 100}})


def _flavors(admin: Cloud) -> None:
    for name, size in FLAVORS.items():
        flavor = admin.ensure("compute", "/flavors", "flavor", name, **size)
        if name == "bm.vdi":
            admin.post("compute", f"/flavors/{flavor['id']}/os-extra_specs", {"extra_specs": METAL})


def _zones(admin: Cloud) -> None:
    for host, zone in FAKE_HOSTS.items():
        aggregate = admin.ensure("compute", "/os-aggregates", "aggregate", zone, availability_zone=zone)
        if host not in aggregate.get("hosts", ()):
            admin.post("compute", f"/os-aggregates/{aggregate['id']}/action", {"add_host": {"host": host}})


def _image(cloud: Cloud, name: str, **properties: object) -> str:
    """Make an image, of nothing but zeros: no fake host ever reads it."""
    formats = {"disk_format": "raw", "container_format": "bare"}
    image = cloud.ensure("image", "/images", "image", name, **formats, **properties)
    if image["status"] == "queued":
        cloud.put("image", f"/images/{image['id']}/file", bytes(65536))
    return str(image["id"])


def _key() -> None:
    """Make the key pair that everybody has. Nova takes keys but makes none."""
    if not KEY.exists():
        code = (
            "import paramiko, sys; from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K;"
            "from cryptography.hazmat.primitives import serialization as s; k = K.generate();"
            "open(sys.argv[1], 'wb').write(k.private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption()));"
            "open(sys.argv[1] + '.pub', 'wb').write(k.public_key().public_bytes(s.Encoding.OpenSSH, s.PublicFormat.OpenSSH))"
        )
        run(f"{BIN}/python", "-c", code, str(KEY))
        KEY.chmod(0o600)


def _keypair(cloud: Cloud, must: bool = True) -> None:
    known = [entry["keypair"]["name"] for entry in cloud.listed("compute", "/os-keypairs", "keypairs")]
    if "portico" in known:
        return
    pair = {"name": "portico", "type": "ssh", "public_key": KEY.with_suffix(".pub").read_text()}
    try:
        cloud.post("compute", "/os-keypairs", {"keypair": pair})
    except Refused:
        if must:
            raise


def _volumes(admin: Cloud) -> None:
    admin.ensure("volume", "/types", "volume_type", "fast", extra_specs={"volume_backend_name": "files"})
    # No backend of this name: a volume of this type goes to "error".
    admin.ensure("volume", "/types", "volume_type", "nowhere", extra_specs={"volume_backend_name": "nowhere"})
