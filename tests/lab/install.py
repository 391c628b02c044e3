"""What the lab needs of this machine: packages of the system, and a virtual environment with the services."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.places import BIN, HOME, SOURCES, VENV
from tests.lab.processes import Trouble, say

# What must be there, and the package that has it.
PROGRAMS = {
    "/usr/sbin/mariadbd": "mariadb-server", "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "/usr/bin/epmd": "erlang-base", "/usr/bin/memcached": "memcached", "/usr/bin/ovn-northd": "ovn-central",
    "/usr/sbin/ovsdb-server": "openvswitch-common", "/usr/bin/qemu-img": "qemu-utils",
}  # fmt: skip
POLICY = Path("/usr/sbin/policy-rc.d")
APT, PIP = 600, 900  # Seconds.


def ensure() -> None:
    """Install what is missing. Does nothing in no time when all is there."""
    if os.geteuid() != 0:
        raise Trouble("the lab wants root: its servers change users and bind what only root may")
    for path in ("/dev/shm", "/proc/self/stat", "/dev/urandom"):
        if not Path(path).exists():
            raise Trouble(f"{path} is not here: in a chroot, mount /proc and /dev into it first")
    HOME.mkdir(parents=True, exist_ok=True)
    wanted = {package for program, package in PROGRAMS.items() if not Path(program).exists()}
    if not (VENV / ".complete").exists():
        wanted |= _to_build()
    if wanted:
        packages(sorted(wanted))
    if not (VENV / ".complete").exists():
        _environment()


def _to_build() -> set[str]:
    """Return the packages that uWSGI wants, which comes as source alone, and that make a virtual environment."""
    needed = set() if shutil.which("gcc") else {"gcc", "libc6-dev"}
    include = subprocess.run(
        [_python(), "-c", "import sysconfig; print(sysconfig.get_path('include'))"], capture_output=True, text=True
    )
    if not (Path(include.stdout.strip()) / "Python.h").exists():
        needed.add("python3-dev")
    if subprocess.run([_python(), "-c", "import ensurepip, venv"], capture_output=True).returncode:
        needed.add("python3-venv")
    return needed


def _python() -> str:
    """Return the Python below any virtual environment that runs this."""
    return str(getattr(sys, "_base_executable", sys.executable))


def packages(names: list[str]) -> None:
    """Install Debian's packages; none of their servers starts. Raises Trouble."""
    if not shutil.which("apt-get"):
        raise Trouble(f"this is not Debian; install what these packages hold, then try again: {' '.join(names)}")
    say(f"installing {len(names)} packages: {' '.join(names)}")
    ours = not POLICY.exists()
    if ours:  # None of these packages' servers may start: the lab starts its own.
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    options = "-q -y --no-install-recommends --no-remove -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -o Dpkg::Options::=--force-unsafe-io"
    try:
        _logged("apt", ("apt-get", "-q", "update"), APT, tries=1, must=False)
        _logged("apt", ("apt-get", "install", *options.split(), *names), APT)
    finally:
        if ours:
            POLICY.unlink()


def _environment() -> None:
    say("installing OpenStack from PyPI: minutes, once")
    shutil.rmtree(VENV, ignore_errors=True)
    _logged("pip", (_python(), "-m", "venv", str(VENV)), PIP, tries=1)
    pip = (f"{BIN}/python", "-m", "pip", "--disable-pip-version-check", "install", "-q", "--retries", "5")
    _logged("pip", (*pip, "wheel"), PIP)
    _logged("pip", (*pip, "-r", str(SOURCES / "requirements.txt")), PIP)
    (VENV / ".complete").touch()


def _logged(name: str, command: tuple[str, ...], seconds: float, tries: int = 3, must: bool = True) -> None:
    log = HOME / f"{name}.log"
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    for attempt in range(1, tries + 1):
        with log.open("ab") as file:
            try:
                code = subprocess.run(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                    timeout=seconds,
                    check=False,
                    env=environ,
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
        if code == 0 or not must:
            return
        say(f"{' '.join(command[:3])} failed (attempt {attempt} of {tries})")
        time.sleep(attempt * 3)
    words = "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
    raise Trouble(f"{' '.join(command[:3])} failed; the whole story is in {log}:\n{words}")
