"""The processes of the part of the lab that runs real guests, and their configuration: Open vSwitch and OVN in user space, libvirt, one more nova-compute."""

import uuid
from pathlib import Path

from tests.lab.config import Section, directories, ini, privileged, write
from tests.lab.places import ADDRESS, BIN, ETC, PASSWORD, PORTS, RUN, VAR
from tests.lab.places import GUEST_HOST as HOST
from tests.lab.processes import Service

OUTSIDE = "172.24.0.1"  # This machine's leg of the external network: the subnet's gateway. Nothing leads on from it.
OUTSIDE_BITS = 20
STATE = VAR / HOST  # All that nova-compute and libvirt keep; forgotten when the hypervisor goes.
QEMU_CONF = Path("/etc/libvirt/qemu.conf")  # libvirt reads it there and nowhere else.
QEMU_MARK = "# Portico's lab"

_QEMU = f"""\
{QEMU_MARK}: guests run as root, and nothing of systemd or cgroups is wanted.
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
vnc_listen = "{ADDRESS}"
"""


def configure() -> None:
    """Write the configuration of everything here."""
    directories(STATE / "instances", STATE / "lock", VAR / "ovs", VAR / "metadata/lock")
    _compute()
    _metadata()
    _libvirt()


def switch() -> list[Service]:
    """Return Open vSwitch: its database, and the switch."""
    quiet = ("--no-chdir", "-vconsole:warn", "-vsyslog:off")
    database = (f"--remote=punix:{RUN}/db.sock", f"--unixctl={RUN}/ovsdb.ctl", f"{VAR}/ovs/conf.db")
    forward = ("--disable-system", f"--unixctl={RUN}/vswitchd.ctl", f"unix:{RUN}/db.sock")
    return [
        Service("guest-ovs-db", ("ovsdb-server", *quiet, *database)),
        Service("guest-ovs-switch", ("ovs-vswitchd", *quiet, *forward)),
    ]


def network() -> list[Service]:
    """Return what makes OVN's networks real on this machine, and leads guests to their metadata."""
    controller = ("ovn-controller", "--no-chdir", "-vconsole:warn", "-vsyslog:off", f"unix:{RUN}/db.sock")
    metadata = (f"{BIN}/neutron-ovn-metadata-agent", "--config-file", f"{ETC}/guest/metadata.conf")
    return [
        Service("guest-ovn-controller", controller),
        Service("guest-metadata", metadata, ("guest/metadata.conf",)),
    ]


def libvirt() -> Service:
    """Return the libvirt daemon."""
    options = ("-f", f"{ETC}/guest/libvirtd.conf", "--pid-file", f"{RUN}/libvirtd")
    return Service("guest-libvirt", ("libvirtd", *options), ("guest/libvirtd.conf",))


def compute() -> Service:
    """Return the nova-compute that has QEMU run guests."""
    files = ("nova/nova.conf", f"guest/{HOST}.conf")
    options = (option for file in files for option in ("--config-file", f"{ETC}/{file}"))
    return Service(f"nova-compute-{HOST}", (f"{BIN}/nova-compute", *options), ("nova", f"guest/{HOST}.conf"))


def everything() -> list[Service]:
    """Return all of them, in the order in which they start."""
    return [*switch(), *network(), libvirt(), compute()]


def _compute() -> None:
    own = {
        "host": HOST, "state_path": STATE, "instances_path": STATE / "instances", "compute_driver": "libvirt.LibvirtDriver",
        "cpu_allocation_ratio": 8, "ram_allocation_ratio": 1, "disk_allocation_ratio": 4,
        "vif_plugging_timeout": 300,  # An emulated guest on a busy machine is in no hurry.
    }  # fmt: skip
    emulated = {
        "virt_type": "qemu", "cpu_mode": "none", "hw_machine_type": "x86_64=q35", "images_type": "qcow2", "inject_partition": -2,
        "wait_soft_reboot_seconds": 60,
    }  # fmt: skip
    helpers = ("nova_sys_admin", "vif_plug_ovs_privileged", "privsep_osbrick")
    parts: dict[str, Section] = {
        "DEFAULT": own, "libvirt": emulated, "oslo_concurrency": {"lock_path": STATE / "lock"},
        **privileged(helpers, "nova/nova.conf", f"guest/{HOST}.conf"),
    }  # fmt: skip
    write(f"guest/{HOST}.conf", ini(parts))


def _metadata() -> None:
    own = {
        "use_stderr": "true", "host": HOST, "state_path": VAR / "metadata", "nova_metadata_host": ADDRESS,
        "nova_metadata_port": PORTS["nova-metadata"], "metadata_proxy_shared_secret": PASSWORD, "metadata_workers": 1,
    }  # fmt: skip
    sockets = {"ovn_nb_connection": f"unix:{RUN}/ovnnb_db.sock", "ovn_sb_connection": f"unix:{RUN}/ovnsb_db.sock"}
    helpers = ("", "_dhcp_release", "_ovs_vsctl", "_namespace", "_conntrack", "_link")
    parts: dict[str, Section] = {
        "DEFAULT": own, "ovs": {"ovsdb_connection": f"unix:{RUN}/db.sock"}, "ovn": sockets,
        "AGENT": {"root_helper": ""}, "agent": {"root_helper": ""},
        "oslo_concurrency": {"lock_path": VAR / "metadata/lock"},
        **privileged((f"privsep{name}" for name in helpers), "guest/metadata.conf"),
    }  # fmt: skip
    write("guest/metadata.conf", ini(parts))


def _libvirt() -> None:
    identity = STATE / "host_uuid"
    if not identity.exists():  # A firmware may have none; libvirt wants one that stays.
        identity.write_text(str(uuid.uuid4()))
    lines = ('unix_sock_rw_perms = "0700"', 'auth_unix_rw = "none"', 'auth_unix_ro = "none"')
    write("guest/libvirtd.conf", "\n".join([*lines, f'host_uuid = "{identity.read_text()}"', ""]))
    QEMU_CONF.parent.mkdir(exist_ok=True)
    QEMU_CONF.write_text(_QEMU, "utf-8")
