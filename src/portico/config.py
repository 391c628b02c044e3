"""What must be known before the database opens: portico.toml and PORTICO_* variables. All else lives in tables."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from portico.errors import Invalid


@dataclass(frozen=True, slots=True)
class Config:
    """The file `portico.toml`; each key can be set as PORTICO_<KEY> too, which wins."""

    state: Path = Path("/var/lib/portico")  # keys, local desktops, the SQLite file
    database: str = ""  # SQLAlchemy URL; empty: sqlite+pysqlite:///STATE/portico.db
    listen: str = "127.0.0.1:8444"  # the broker's own HTTPS
    public_url: str = "https://localhost:8443"  # where people and agents reach us
    other_urls: tuple[str, ...] = ()  # further URLs under which people reach us, such as those of sites
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")  # whose X-Forwarded-For we believe
    egress_allow: tuple[str, ...] = ()  # networks, besides public ones, that typed URLs may reach
    log_format: str = "text"  # text | json
    log_level: str = "info"  # debug | info | warning | error
    recordings: Path = Path()  # where recordings are kept, shared by all brokers; empty: STATE/recordings
    recordings_gib: int = 100  # how much of them there may be
    # the gateway
    gateway_listen: str = "127.0.0.1:8445"  # the gateway's own HTTPS
    rdgateway_listen: str = "127.0.0.1:8446"  # the gateway's door for RDP clients (RD Gateway); empty: none
    rdp_listen: str = ""  # where RDP clients come in that know no RD Gateway, such as 0.0.0.0:3389; empty: none
    forward_listen: str = "127.0.0.1"  # the address on which ports for clients' own protocols open; empty: none
    forward_ports: str = "20001-23000"  # those of them that may be any
    may_reach: tuple[
        str, ...
    ] = ()  # networks in which this gateway connects to desktops, whatever brokers say; empty: all
    transfer_mib: int = 4096  # how large a file may be that is sent to or taken from a desktop in the browser
    recording_mib: int = 10_240  # how much of recordings may wait on the gateway for a broker
    gateway_name: str = "gateway"  # what the console calls this gateway
    gateway_token: str = field(default="", repr=False)  # one-time enrolment token
    gateway_certificate: Path = Path()  # PEM files of its listener; empty: signed by the deployment at enrolment
    gateway_key: Path = Path()  # the key to gateway_certificate
    gateway_origins: tuple[str, ...] = ()  # origins, besides public_url, whose pages may open sessions
    broker_url: str = "https://127.0.0.1:8444"  # where brokers are, separated by commas, tried in order
    ca_fingerprint: str = ""  # SHA-256 of the deployment's CA certificate, hex
    front_listen: str = "127.0.0.1:8443"  # the forwarder's listener, where no load balancer stands before us
    front_certificate: Path = Path()  # PEM files of the forwarder; empty: STATE/front/cert.pem and key.pem
    front_key: Path = Path()  # the key to front_certificate

    @property
    def database_url(self) -> str:
        """The URL of the database, the default filled in."""
        return self.database or f"sqlite+pysqlite:///{self.state / 'portico.db'}"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the configuration. Raises Invalid naming every key that is unknown or wrong."""
    values: dict[str, object] = {}
    if path is None:
        named = environ.get("PORTICO_CONFIG", "/etc/portico/portico.toml")
        path = Path(named)
        if not path.exists() and "PORTICO_CONFIG" not in environ:
            path = None
    if path is not None:
        values.update(_read(path))
    known = {item.name: item for item in fields(Config)}
    for name in known:
        variable = f"PORTICO_{name.upper()}"
        if variable in environ:
            values[name] = environ[variable]
    wrong = {name: f"unknown; known are: {', '.join(sorted(known))}" for name in values if name not in known}
    ready: dict[str, object] = {}
    for name, value in values.items():
        if name in known:
            try:
                ready[name] = _convert(known[name].default, value)
            except (TypeError, ValueError) as problem:
                wrong[name] = str(problem)
    if wrong:
        raise Invalid(
            f"The configuration has {len(wrong)} mistake(s): " + "; ".join(f"{k}: {v}" for k, v in wrong.items()), wrong
        )
    return Config(**ready)  # type: ignore[arg-type]


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as problem:
        raise Invalid(f"Cannot read {path}: {problem.strerror}") from problem
    except tomllib.TOMLDecodeError as problem:
        raise Invalid(f"{path} is not TOML: {problem}") from problem


def _convert(default: object, value: object) -> object:
    if isinstance(default, Path):
        return Path(str(value))
    if isinstance(default, int):
        if not (isinstance(value, int) and not isinstance(value, bool)) and not (
            isinstance(value, str) and value.isdecimal()
        ):
            raise ValueError("a whole number is wanted")
        if not 0 < int(value) < 2**31:
            raise ValueError("a number above 0 is wanted")
        return int(value)
    if isinstance(default, tuple):
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list):
            raise ValueError("a list of texts is wanted")
        return tuple(str(part).strip() for part in parts if str(part).strip())
    if not isinstance(value, str):
        raise ValueError("a text is wanted")
    return value
