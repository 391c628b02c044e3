"""The image of the real guest: a small Debian 12 with a desktop and the agent, cached by what it was made from."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.places import HOME, digest
from tests.lab.processes import Trouble, say

CACHE = HOME / "guest"
ACCOUNT = "desk"  # Whose terminal is the desktop. Only certificates of a Portico deployment lead there.
DOOR = "lab"  # cloud-init's account, which the lab's own key opens.
SIZE = "2500M"
_MINUTES = 60.0
_REPO = Path(__file__).resolve().parents[2]

PACKAGES = (
    "systemd-sysv,udev,dbus,linux-image-cloud-amd64,initramfs-tools,openssh-server,cloud-init,ifupdown,isc-dhcp-client,"
    "iproute2,iputils-ping,netbase,sudo,procps,curl,ethtool,e2fsprogs,ca-certificates,less,libpam-systemd,tmux,"
    "openbox,xterm,tigervnc-standalone-server,tigervnc-tools,xrdp,x11-xserver-utils,xauth,fonts-dejavu-core"
)
_NOT_HERE = ("man", "doc", "locale", "info", "icons")

# Nova boots the kernel directly, so there is no boot loader; the initrd holds what a virtual machine has, and no more.
_INITRD = """\
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\\nCOMPRESS=gzip\\nFSTYPE=ext4\\n' >"$1/etc/initramfs-tools/conf.d/guest"
printf 'virtio_pci\\nvirtio_blk\\nvirtio_net\\nvirtio_rng\\next4\\n' >"$1/usr/share/initramfs-tools/modules.d/guest"
"""

_CLOUD = f"""\
datasource_list: [ConfigDrive, OpenStack, None]
datasource:
  OpenStack: {{max_wait: 240, timeout: 20, retries: 10, apply_network_config: true}}
system_info:
  default_user: {{name: {DOOR}, lock_passwd: true, sudo: ["ALL=(ALL) NOPASSWD:ALL"], shell: /bin/bash}}
  network: {{renderers: [eni]}}
ssh_pwauth: false
ssh_genkeytypes: [ed25519]
growpart: {{mode: "off"}}
apt: {{preserve_sources_list: true}}
package_update: false
package_upgrade: false
locale: false
manage_etc_hosts: true
"""

# Open vSwitch in user space does not finish the checksums that a virtio card leaves to it: with them, DHCP works and TCP does not.
_LINK = """\
[Match]
Driver=virtio_net
[Link]
NamePolicy=keep
TransmitChecksumOffload=false
ReceiveChecksumOffload=false
TCPSegmentationOffload=false
TCP6SegmentationOffload=false
GenericSegmentationOffload=false
GenericReceiveOffload=false
"""

_FILES = {
    "etc/hostname": "guest\n",
    "etc/fstab": "/dev/vda / ext4 defaults,noatime 0 1\n",
    "etc/cloud/cloud.cfg.d/99-lab.cfg": _CLOUD,
    "etc/systemd/network/00-lab.link": _LINK,
    "etc/xrdp/startwm.sh": "#!/bin/sh\nxterm &\nexec openbox\n",
    "etc/machine-id": "",
    "etc/apt/sources.list": "",
}
# What costs an emulated processor minutes, and what nobody needs in a guest that lives for one test.
_MASKED = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "systemd-pstore.service",
    "getty@tty1.service",
    "systemd-timesyncd.service",
]


@dataclass(frozen=True)
class Image:
    """What Glance gets: a disk, and the kernel and initial file system that boot it. `name` tells one making from another."""

    name: str
    disk: Path
    kernel: Path
    initrd: Path


def ensure() -> Image:
    """Return the image, made if it is not in the cache: minutes for the system, seconds for another agent on the same system."""
    base = _base()
    agent = _agent()
    name = digest(base.name.encode(), agent.read_bytes(), Path(__file__).read_bytes())
    made = Image(f"guest-{name}", CACHE / f"disk-{name}.qcow2", base / "vmlinuz", base / "initrd.img")
    if not made.disk.exists():
        _with_agent(base / "root.raw", agent, made.disk)
        for old in CACHE.glob("disk-*.qcow2"):
            if old != made.disk:
                old.unlink()
    return made


def _base() -> Path:
    """Return the directory with the system as Debian and we leave it: root.raw, vmlinuz and initrd.img."""
    recipe = repr((PACKAGES, _NOT_HERE, _INITRD, _FILES, _MASKED, ACCOUNT, SIZE))
    place = CACHE / f"base-{digest(recipe.encode())}"
    if (place / "root.raw").exists():
        return place
    say("making a Debian for guests: five minutes, once")
    for old in CACHE.glob("base-*"):
        shutil.rmtree(old)
    tree = CACHE / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    place.mkdir(parents=True)
    _debootstrap(tree)
    _furnish(tree)
    for link, target in (("vmlinuz", "vmlinuz-*"), ("initrd.img", "initrd.img-*")):
        shutil.copy(next((tree / "boot").glob(target)), place / link)
    disk = place / "root.new"
    _run("truncate", "-s", SIZE, str(disk))
    _run("mkfs.ext4", "-q", "-F", "-L", "root", "-O", "^metadata_csum_seed", "-d", str(tree), str(disk))
    shutil.rmtree(tree)
    disk.rename(place / "root.raw")
    return place


def _debootstrap(tree: Path) -> None:
    """Unpack Debian into `tree`, from wherever this machine's own packages come."""
    found = sorted(Path("/etc/apt/sources.list.d").glob("*.sources")) or [Path("/etc/apt/sources.list")]
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _NOT_HERE]
    hook = f"--essential-hook={_INITRD}"
    command = (
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        f"--include={PACKAGES}",
        *slim,
        hook,
        "bookworm",
        str(tree),
        "-",
    )
    _run(*command, seconds=25 * _MINUTES, said=found[0].read_bytes())


def _furnish(tree: Path) -> None:
    """Write our files, make the desktop's account, and take away what each guest must have of its own."""
    for name, text in _FILES.items():
        file = tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    (tree / "etc/xrdp/startwm.sh").chmod(0o755)
    menu = tree / "etc/xrdp/xrdp.ini"  # Without xorgxrdp, Xvnc alone is left to choose.
    parts = menu.read_text("utf-8").split("\n[")
    menu.write_text("\n[".join(part for part in parts if not part.startswith("Xorg]")), "utf-8")
    for unit in _MASKED:
        link = tree / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    # "*": no password fits, but the account is not locked, which sshd would mind.
    _run("useradd", "-R", str(tree), "-m", "-s", "/bin/bash", "-p", "*", ACCOUNT)
    for pattern in (
        "etc/ssh/ssh_host_*",
        "var/cache/apt/archives/*.deb",
        "etc/apt/sources.list.d/*",
        "var/lib/apt/lists/*_*",
    ):
        for file in tree.glob(pattern):
            file.unlink()


def _agent() -> Path:
    """Return this checkout's agent, packed."""
    packed = CACHE / f"agent-{os.getpid()}.pyz"
    CACHE.mkdir(parents=True, exist_ok=True)
    python = _REPO / ".venv/bin/python"
    _run(str(python if python.exists() else sys.executable), "-m", "portico", "agent", "pack", str(packed))
    return packed.rename(CACHE / "agent.pyz")


def _with_agent(root: Path, agent: Path, disk: Path) -> None:
    """Copy a system, install the agent in it, and write it as a disk that Nova takes."""
    copy = CACHE / "disk.raw"
    _run("cp", "--sparse=always", str(root), str(copy))
    with _mounted(copy) as tree:
        options = ("--root", str(tree), "--ssh-user", ACCOUNT, "--protocol", "rdp=3389")
        _run("/usr/bin/python3", str(agent), "install", *options)
    fresh = disk.with_suffix(".new")
    _run("qemu-img", "convert", "-O", "qcow2", str(copy), str(fresh), seconds=10 * _MINUTES)
    copy.unlink()
    fresh.rename(disk)


@contextmanager
def _mounted(disk: Path) -> Iterator[Path]:
    tree = CACHE / "mounted"
    tree.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(disk), str(tree))
    try:
        yield tree
    finally:
        _run("umount", str(tree))


def _run(*command: str, seconds: float = 5 * _MINUTES, said: bytes = b"") -> None:
    """Run a tool, gently: others want this machine too. Raise Trouble with its last words."""
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_REPO / "src")}
    try:
        done = subprocess.run(
            ("nice", "-n", "10", *command), input=said, capture_output=True, timeout=seconds, check=False, env=environ
        )
    except subprocess.TimeoutExpired:
        raise Trouble(f"{command[0]} did not end in {seconds:.0f} seconds") from None
    if done.returncode:
        words = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()[-15:]
        raise Trouble(f"{command[0]} failed ({done.returncode}):\n" + "\n".join(words))
