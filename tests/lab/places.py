"""Where the lab keeps its things, and which ports it takes. All of it is outside of the checkout."""

import hashlib
import os
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent
ADDRESS = "127.0.0.1"
REGION = "RegionOne"
PASSWORD = "oslab"  # Everybody's; the lab is reached from this machine alone.

_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = Path(os.environ.get("LAB_HOME") or _cache / "portico" / "lab")
STATE = HOME / "state"
ETC, LOG, VAR, RUN = STATE / "etc", STATE / "log", STATE / "var", STATE / "run"
FACTS, CLOUDS = STATE / "lab.json", STATE / "clouds.yaml"
KEY = VAR / "labkey"  # The private half of the users' key pair.

# Below the range that the kernel hands out to clients. LAB_PORTS and LAB_HOME together allow a second lab beside the first.
FIRST_PORT = int(os.environ.get("LAB_PORTS", "25000"))
_NAMES = "keystone glance placement neutron nova-api nova-metadata cinder-api ironic-api rabbitmq rabbitmq-peers epmd memcached"
PORTS = {name: FIRST_PORT + number for number, name in enumerate(_NAMES.split())}
KEYSTONE = f"http://{ADDRESS}:{PORTS['keystone']}/v3"

# Fake hypervisors, each a nova-compute process in a zone of its own, and the one that hands out bare metal.
FAKE_HOSTS = {"fake1": "az1", "fake2": "az2"}
METAL_HOST = "metal1"
GUEST_HOST = "guest1"  # Runs real guests; it comes and goes while the others stay.


def url(name: str) -> str:
    """Return where the API `name` answers."""
    return f"http://{ADDRESS}:{PORTS[name]}"


def database(name: str) -> str:
    """Return the SQLAlchemy URL of one of the services' databases."""
    return f"mysql+pymysql://root@localhost/{name}?unix_socket={RUN}/mysql.sock&charset=utf8"


def digest(*parts: bytes) -> str:
    """Return a short name for what `parts` say."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _sources() -> bytes:
    # Real guests are added to a lab that stands, and taken away again: they are not part of what is seeded.
    seeding = [file for file in SOURCES.rglob("*") if not file.name.startswith("guest_")]
    files = sorted(file for file in seeding if file.suffix in (".py", ".txt"))
    return b"\0".join(file.relative_to(SOURCES).as_posix().encode() + b"\0" + file.read_bytes() for file in files)


# Each set of packages has its virtual environment, each version of these sources its snapshot of a seeded lab.
VENV = (
    HOME / f"venv-{hashlib.sha256((SOURCES / 'requirements.txt').read_bytes() + sys.version.encode()).hexdigest()[:12]}"
)
BIN = VENV / "bin"
VERSION = digest(_sources(), sys.version.encode(), str(STATE).encode(), str(FIRST_PORT).encode())
SNAPSHOT = HOME / f"snapshot-{VERSION}.tar.gz"
