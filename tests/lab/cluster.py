"""Bringing the lab up and down, and telling whether it is there."""

import fcntl
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.lab import install, processes, schemas, seed, services, snapshot
from tests.lab.places import (
    ADDRESS,
    CLOUDS,
    GUEST_HOST,
    HOME,
    KEYSTONE,
    LOG,
    METAL_HOST,
    PORTS,
    RUN,
    STATE,
    VAR,
    VERSION,
    url,
)
from tests.lab.processes import Trouble, say, wait
from tests.lab.rest import Cloud, Refused, answers

SEEDED = VAR / "seeded"  # Holds the version of the sources that seeded the lab.


@contextmanager
def alone() -> Iterator[None]:
    """Keep others who would start or stop the lab waiting."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def up() -> None:
    """Bring everything up, whatever is there already: from nothing, from a snapshot, or by repairing what died."""
    with alone():
        begun = time.monotonic()
        install.ensure()
        fresh = _ground()
        if not fresh and _version() == VERSION and not missing():
            return
        services.configure()
        _infrastructure()
        _services()
        if _version() != VERSION:
            say("seeding")
            seed.cloud()
            SEEDED.write_text(VERSION)
            if fresh:
                snapshot.save()
                _wait_for_all()
        say(f"up in {time.monotonic() - begun:.0f} seconds; export OS_CLIENT_CONFIG_FILE={CLOUDS} OS_CLOUD=broker")


def down() -> None:
    """Stop everything. What was made in the lab is gone then: the next `up` begins with what was seeded."""
    with alone():
        _stop_all()


def wipe() -> None:
    """Stop everything and forget it, the snapshots too; what was installed stays."""
    with alone():
        _stop_all()
        shutil.rmtree(STATE, ignore_errors=True)
        for file in HOME.glob("snapshot-*"):
            file.unlink()


def status() -> int:
    """Print what runs and how much memory it takes; return how many things are missing."""
    total = 0
    for name in processes.names():
        size = _memory(name)
        total += size
        print(f"{name:32} {'runs' if processes.alive(name) else 'DEAD':5} {size >> 10:6} MiB")
    print(f"{'':32} {'':5} {total >> 10:6} MiB")
    gaps = missing()
    print(
        "\n".join(f"missing: {gap}" for gap in gaps) or f"all there, seeded by these sources: {_version() == VERSION}"
    )
    return len(gaps)


def missing() -> list[str]:
    """Return what does not answer. A live process proves nothing: each service is asked, and the lists of services too."""
    dead = [service.name for service in services.everything() if not processes.alive(service.name)]
    if dead:
        return dead
    try:
        return _unseen()
    except (OSError, Refused, KeyError) as error:
        return [f"an answer ({error})"]


def _unseen() -> list[str]:
    admin, system = Cloud("admin", "admin"), Cloud("admin")
    nova = {
        f"{one['binary']}-{one['host']}": one["state"] for one in admin.listed("compute", "/os-services", "services")
    }
    wanted = [service.name for service in services.computes()]
    gaps = [name for name in wanted if nova.get(name) != "up"]
    guests = f"nova-compute-{GUEST_HOST}"
    gaps += [name for name, state in nova.items() if state != "up" and name not in (*wanted, guests)]
    gaps += [name for name in ("nova-conductor", "nova-scheduler") if not any(seen.startswith(name) for seen in nova)]
    cinder = {one["binary"]: one["state"] for one in admin.listed("volume", "/os-services", "services")}
    gaps += [name for name in ("cinder-scheduler", "cinder-volume") if cinder.get(name) != "up"]
    if not any(one["alive"] for one in system.listed("baremetal", "/conductors")):
        gaps.append("ironic-conductor")
    for kind, path in (
        ("network", "/networks?limit=1"),
        ("image", "/images?limit=1"),
        ("placement", "/resource_classes"),
    ):
        admin.get(kind, path)
    return gaps


def _ground() -> bool:
    """Make the directories of a lab that does not run. Tell whether this one begins from nothing."""
    if any(processes.alive(name) for name in processes.names()):
        return False
    if not snapshot.restore():
        shutil.rmtree(STATE, ignore_errors=True)
    for path in (LOG, RUN, VAR, STATE / "tmp"):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if len(str(RUN / "ovnnb_db.sock")) > 100:
        raise Trouble(f"{RUN} is too long a path for a socket: set LAB_HOME to a shorter one")
    return not SEEDED.exists()


def _infrastructure() -> None:
    schemas.prepare()
    for service in services.infrastructure():
        processes.start(service)
    wait(
        "OVN's databases",
        lambda: all((RUN / f"ovn{name}_db.sock").exists() for name in ("nb", "sb")),
        "ovn-nb",
        "ovn-sb",
    )
    processes.start(services.northd())
    schemas.chassis()
    wait("the database", lambda: (RUN / "mysql.sock").exists(), "mariadb")
    wait("the message broker", lambda: _listens("rabbitmq"), "rabbitmq")
    if not (VAR / "schemas").exists():
        say("making tables")
        schemas.create()
        (VAR / "schemas").touch()


def _services() -> None:
    say("starting services")
    processes.start(services.keystone())
    wait("Keystone", lambda: answers(KEYSTONE), "keystone")
    if _version() != VERSION:
        seed.identity()
    for service in [*services.apis(), *services.workers()]:
        processes.start(service)
    for service in services.apis():
        wait(service.name, partial(answers, url(service.name) + "/"), service.name)
    for service in services.computes()[:-1]:
        processes.start(service)
    if _version() != VERSION:
        seed.metal()  # Nova's host for bare metal wants nodes when it starts.
    processes.start(services.computes()[-1])
    _wait_for_all()
    if not (VAR / "mapped").exists():
        _wait_for_nodes()
        schemas.map_hosts()
        (VAR / "mapped").touch()


def _wait_for_all() -> None:
    """Return when every service is seen by its peers; start anew what lives but stays unseen."""
    try:
        wait("all services", lambda: not missing(), seconds=90)
        return
    except Trouble:
        gaps = [service for service in services.everything() if service.name in missing()]
        say(f"starting anew: {', '.join(service.name for service in gaps)}")
    for service in gaps:
        processes.stop(service.name)
        processes.start(service)
    wait(f"all services, of which {missing()}", lambda: not missing(), *(service.name for service in gaps))


def _wait_for_nodes() -> None:
    count = f"SELECT count(*) FROM nova_cell1.compute_nodes WHERE deleted = 0 AND host = '{METAL_HOST}'"
    wait("bare metal in Nova", lambda: int(schemas.sql(count)) >= seed.NODES, f"nova-compute-{METAL_HOST}")


def _listens(name: str) -> bool:
    try:
        socket.create_connection((ADDRESS, PORTS[name]), 2).close()
    except OSError:
        return False
    return True


def _stop_all() -> None:
    ground = {service.name for service in services.infrastructure()}
    running = processes.names()
    for group in ([name for name in running if name not in ground], [name for name in running if name in ground]):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: processes.stop(name, 5), group))


def _version() -> str:
    return SEEDED.read_text() if SEEDED.exists() else ""


def _memory(name: str) -> int:
    """Return the KiB that a process and those of its session hold for themselves, shared ones in part."""
    total = 0
    for pid in processes.members(name):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total
