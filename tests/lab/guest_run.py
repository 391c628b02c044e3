"""Adding the hypervisor of real guests to a lab that is up, and taking it away again."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.lab import cluster, guest_image, guest_seed, install, processes, schemas
from tests.lab import guest_services as services
from tests.lab.places import BIN, GUEST_HOST, RUN, VAR
from tests.lab.processes import Trouble, run, say, wait
from tests.lab.rest import Cloud, Refused

PROGRAMS = {
    "/usr/sbin/ovs-vswitchd": "openvswitch-switch", "/usr/bin/ovn-controller": "ovn-host", "/usr/sbin/haproxy": "haproxy",
    "/usr/sbin/libvirtd": "libvirt-daemon", "/usr/bin/virsh": "libvirt-clients", "/usr/bin/qemu-system-x86_64": "qemu-system-x86",
    "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so": "libvirt-daemon-driver-qemu",
    "/usr/bin/qemu-img": "qemu-utils", "/usr/lib/ipxe/qemu": "ipxe-qemu", "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/sbin/mkfs.ext4": "e2fsprogs", "/usr/include/libvirt": "libvirt-dev", "/usr/bin/pkg-config": "pkg-config",
    "/usr/bin/gcc": "gcc", "/usr/sbin/ip": "iproute2", "/usr/share/seabios": "seabios", "/usr/bin/ssh": "openssh-client",
}  # fmt: skip
BINDING = "libvirt-python==9.0.0"  # As old as Debian 12's libvirt.
SYSTEM = "qemu:///system"
_VSCTL = ("ovs-vsctl", "--timeout=20", f"--db=unix:{RUN}/db.sock")
_BRIDGES = ("br-int", "br-ex", "ovs-netdev")


def up() -> None:
    """Bring the hypervisor up beside the fake ones, with its image, flavor and a network that this machine reaches."""
    begun = time.monotonic()
    _install()
    image = guest_image.ensure()
    with cluster.alone():
        if gaps := cluster.missing():
            raise Trouble(f"the lab is not up ({', '.join(gaps)}): python3 -m tests.lab up")
        _claim_libvirt()
        services.configure()
        _switch()
        for service in services.network():
            processes.start(service)
        _hypervisor()
        guest_seed.seed(image)
    say(
        f"guests can be had after {time.monotonic() - begun:.0f} seconds: flavor {guest_seed.FLAVOR}, image {guest_seed.IMAGE}"
    )


def down() -> None:
    """Delete all guests, take the hypervisor away, and leave the lab as it was. Does nothing where there is none."""
    ours = [service.name for service in services.everything()]
    if not any(processes.alive(name) for name in ours) and not services.STATE.exists():
        return
    with cluster.alone():
        _tell(guest_seed.forget)
        taps = _ports() if processes.alive("guest-ovs-switch") else []
        processes.stop(f"nova-compute-{GUEST_HOST}")
        _end_guests()
        processes.stop("guest-libvirt")
        _end_metadata()
        _leave_ovn()
        for name in reversed(ours):
            processes.stop(name)
        for link in [*taps, *_BRIDGES]:
            _try("ip", "link", "delete", link)
        for directory in (services.STATE, VAR / "ovs", VAR / "metadata"):
            shutil.rmtree(directory, ignore_errors=True)
        if services.QEMU_CONF.exists() and services.QEMU_CONF.read_text().startswith(services.QEMU_MARK):
            services.QEMU_CONF.unlink()


def _tell(forget: Callable[[], None]) -> None:
    """Let OpenStack forget something; a lab that does not answer any more need not be told."""
    try:
        forget()
    except (OSError, Refused, TimeoutError) as trouble:
        say(f"OpenStack keeps something of the guests' hypervisor: {trouble}")


def _install() -> None:
    install.ensure()
    if packages := sorted({name for path, name in PROGRAMS.items() if not Path(path).exists()}):
        install.packages(packages)
    if subprocess.run([f"{BIN}/python", "-c", "import libvirt"], capture_output=True, check=False).returncode:
        say("installing libvirt's binding for Python")
        run(
            f"{BIN}/python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "-q",
            BINDING,
            log="pip",
            seconds=600,
        )
    if not Path("/dev/net/tun").exists():
        raise Trouble("/dev/net/tun is not here: without it no guest has a network")


def _claim_libvirt() -> None:
    """Take the machine's libvirt, unless it is somebody else's."""
    conf = services.QEMU_CONF
    if conf.exists() and not conf.read_text("utf-8", "replace").startswith(services.QEMU_MARK):
        raise Trouble(f"{conf} is somebody's: the lab takes a machine's libvirt only where nobody uses it")
    # libvirtd looks for the user that it was compiled for before it reads that others are wanted.
    if subprocess.run(["getent", "passwd", "libvirt-qemu"], capture_output=True, check=False).returncode:
        run("useradd", "-r", "-U", "-M", "-s", "/usr/sbin/nologin", "libvirt-qemu")


def _switch() -> None:
    """Start Open vSwitch in user space, and give this machine a leg in the external network."""
    if not (VAR / "ovs/conf.db").exists():
        run("ovsdb-tool", "create", f"{VAR}/ovs/conf.db", "/usr/share/openvswitch/vswitch.ovsschema", log="ovn")
    database, switch = services.switch()
    processes.start(database)
    wait("Open vSwitch's database", lambda: (RUN / "db.sock").exists(), database.name)
    values = {
        "system-id": GUEST_HOST, "hostname": GUEST_HOST, "ovn-remote": f"unix:{RUN}/ovnsb_db.sock",
        "ovn-encap-type": "geneve", "ovn-encap-ip": "127.0.0.1", "ovn-bridge-datapath-type": "netdev",
        "ovn-bridge-mappings": "public:br-ex", "ovn-cms-options": "enable-chassis-as-gw", "ovn-monitor-all": "true",
    }  # fmt: skip
    run(*_VSCTL, "--no-wait", "init", log="ovn")
    told = (f"external_ids:{name}={value}" for name, value in values.items())
    run(*_VSCTL, "--no-wait", "set", "Open_vSwitch", ".", *told, log="ovn")
    processes.start(switch)
    inner = ("datapath_type=netdev", "fail-mode=secure", "other-config:disable-in-band=true")
    run(*_VSCTL, "--may-exist", "add-br", "br-int", "--", "set", "bridge", "br-int", *inner, log="ovn")
    run(*_VSCTL, "--may-exist", "add-br", "br-ex", "--", "set", "bridge", "br-ex", "datapath_type=netdev", log="ovn")
    run("ip", "address", "replace", f"{services.OUTSIDE}/{services.OUTSIDE_BITS}", "dev", "br-ex")
    run("ip", "link", "set", "br-ex", "up")
    _forget_card()


def _forget_card() -> None:
    """Let OVN ask anew for our hardware address: it keeps what it once learned, and this leg is not the one of last time.

    Otherwise guests, which must reach a broker here first, wait in vain until something here happens to call them.
    """
    south = ("ovn-sbctl", "--timeout=10", f"--db=unix:{RUN}/ovnsb_db.sock")
    found = run(*south, "--bare", "--columns=_uuid", "find", "MAC_Binding", f'ip="{services.OUTSIDE}"', log="ovn")
    for row in found.split():
        run(*south, "destroy", "MAC_Binding", row, log="ovn")


def _hypervisor() -> None:
    daemon, compute = services.libvirt(), services.compute()
    processes.start(daemon)
    wait("libvirt", lambda: _try("virsh", "-c", SYSTEM, "version"), daemon.name)
    if not (services.STATE / "compute_id").exists():
        _end_guests()  # A hypervisor with guests that Nova has never heard of is refused by it.
    processes.start(compute)
    wait("the guests' hypervisor in Nova", _in_nova, compute.name)
    schemas.map_hosts()


def _in_nova() -> bool:
    found = Cloud("admin", "admin").listed("compute", f"/os-services?host={GUEST_HOST}", "services")
    return any(one["state"] == "up" for one in found)


def _end_guests() -> None:
    """End the domains that Nova made, and let libvirt forget them."""
    if not processes.alive("guest-libvirt"):
        return
    for domain in run("virsh", "-c", SYSTEM, "list", "--all", "--name").split():
        if domain.startswith("instance-"):
            _try("virsh", "-c", SYSTEM, "destroy", domain)
            _try("virsh", "-c", SYSTEM, "undefine", "--nvram", domain)


def _end_metadata() -> None:
    """End the proxies that the metadata agent started in namespaces, and the namespaces."""
    processes.stop("guest-metadata")
    for space in run("ip", "netns", "list").split("\n"):
        if space.startswith("ovnmeta-"):
            name = space.split()[0]
            for pid in run("ip", "netns", "pids", name).split():
                _try("kill", pid)
            _try("ip", "netns", "delete", name)


def _leave_ovn() -> None:
    """Take this machine out of OVN's list of chassis; the controller does so itself when it is told to end in peace."""
    if processes.alive("guest-ovn-controller"):
        processes.stop("guest-ovn-controller", 20)
    _tell(guest_seed.forget_agents)
    south = f"--db=unix:{RUN}/ovnsb_db.sock"
    _try("ovn-sbctl", "--timeout=10", south, "--if-exists", "chassis-del", GUEST_HOST)
    _try("ovn-sbctl", "--timeout=10", south, "--if-exists", "destroy", "Chassis_Private", GUEST_HOST)


def _ports() -> list[str]:
    return [name for name in run(*_VSCTL, "list-ports", "br-int", log="ovn").split() if name.startswith("tap")]


def _try(*command: str) -> bool:
    """Run a tool that may fail."""
    try:
        run(*command, seconds=30)
    except Trouble:
        return False
    return True
