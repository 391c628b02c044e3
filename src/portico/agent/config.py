"""The agent's settings: one JSON file that whoever made the desktop wrote (an installer, cloud-init, the local center).

broker_url and ca_fingerprint (SHA-256 of the CA certificate, hex) say where the broker is; where they are missing, the metadata of
an OpenStack instance says so. token (one-time) or join_key admit the agent; without either it waits for an administrator.
All else has a default: state (file for credentials), metadata (false: do not ask for it), listen {address, port}, address,
login_user, poll time, and what sessions there are:
vnc {port, display, xauthority, password_file, leader_file}   ssh {port, socket, user_ca_file, host_key_files}
rdp {port, account}: the agent gives the account (not root) a password for two minutes, each time somebody comes.
protocols {name: port}: what else the desktop speaks; the agent tells it and knows nothing of its sessions.
"""

import json
import re
from typing import Any, Dict, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit


class Vnc(NamedTuple):
    """A graphical session: an X server that speaks RFB. `leader_file` holds the pid of the session's first process."""

    port: int
    display: str
    xauthority: str
    password_file: str
    leader_file: str


class Ssh(NamedTuple):
    """Terminal sessions that live in a tmux server; `user_ca_file` is what sshd's TrustedUserCAKeys names."""

    port: int
    socket: str
    user_ca_file: str
    host_key_files: Tuple[str, ...]


class Rdp(NamedTuple):
    """An RDP server such as xrdp, and the account that its sessions run as."""

    port: int
    account: str


ADMINISTRATOR, RDP = "administrator", "rdp"  # the rights that an account may have besides


class Settings(NamedTuple):
    """All settings. `address` is told to the broker and narrows whose connections are looked at; empty: found out."""

    broker_url: str
    ca_fingerprint: str
    token: str
    join_key: str
    state: str
    metadata: bool
    listen_address: str
    listen_port: int  # 0: outbound only
    address: str
    login_user: str
    vnc: Optional[Vnc]
    ssh: Optional[Ssh]
    rdp: Optional[Rdp]
    protocols: Dict[str, int]
    poll_seconds: float
    idle_after_seconds: int
    groups: Dict[str, str]  # right → the group that gives it, where it is not a usual one


class BadSettings(Exception):
    """The file cannot be read or lacks something; says what."""


def load(path: str) -> Settings:
    """Read the settings. Raises BadSettings."""
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (OSError, ValueError) as problem:
        raise BadSettings("{}: {}".format(path, problem)) from problem
    if not isinstance(values, dict):
        raise BadSettings("{}: a JSON object is wanted".format(path))
    try:
        return _settings(values)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise BadSettings("{}: {}: {}".format(path, type(problem).__name__, problem)) from problem


def broker_url(text: str) -> str:
    """Return the address of a broker. Raises ValueError for one that is not https."""
    url = urlsplit(text)
    if url.scheme != "https" or not url.hostname:
        raise ValueError("broker_url must be https://HOST[:PORT]")
    return text


def fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as the lower-case hexadecimal digits that we compare. Raises ValueError."""
    digits = text.replace(":", "").strip().lower()
    if len(digits) != 64 or digits.strip("0123456789abcdef"):
        raise ValueError("ca_fingerprint must be the SHA-256 of the CA certificate: 64 hexadecimal digits")
    return digits


def _settings(values: Dict[str, Any]) -> Settings:
    metadata = values.get("metadata", True) is not False
    url, digits = str(values.get("broker_url", "")), str(values.get("ca_fingerprint", ""))
    if url or digits or not metadata:
        url, digits = broker_url(url), fingerprint(digits)
    listen = values.get("listen", {})
    vnc, ssh = values.get("vnc"), values.get("ssh")
    return Settings(
        broker_url=url,
        ca_fingerprint=digits,
        token=str(values.get("token", "")),
        join_key=str(values.get("join_key", "")),
        state=str(values.get("state", "/var/lib/portico-agent/state.json")),
        metadata=metadata,
        listen_address=str(listen.get("address", "")),
        listen_port=int(listen.get("port", 8080)),
        address=str(values.get("address", "")),
        login_user=str(values.get("login_user", "")),
        vnc=_vnc(vnc) if vnc else None,
        ssh=_ssh(ssh) if ssh else None,
        rdp=_rdp(values["rdp"]) if values.get("rdp") else None,
        protocols={str(name): int(port) for name, port in values.get("protocols", {}).items()},
        poll_seconds=float(values.get("poll_seconds", 0.7)),
        idle_after_seconds=int(values.get("idle_after_seconds", 300)),
        groups=_groups(values.get("groups", {})),
    )


def _vnc(values: Dict[str, Any]) -> Vnc:
    return Vnc(
        int(values["port"]),
        str(values["display"]),
        str(values.get("xauthority", "")),
        str(values["password_file"]),
        str(values["leader_file"]),
    )


def _rdp(values: Dict[str, Any]) -> Rdp:
    return Rdp(int(values.get("port", 3389)), account_name(str(values["account"])))


def _groups(values: Dict[str, Any]) -> Dict[str, str]:
    found = {str(right): str(group) for right, group in values.items()}
    for right, group in found.items():
        if right not in (ADMINISTRATOR, RDP) or not re.match(r"[a-z_][a-z0-9_-]{0,31}$", group):
            raise ValueError("groups are named for administrator and rdp")
    return found


def account_name(name: str) -> str:
    """Return the name of an account that may be given passwords. Raises ValueError for root and for what is no name."""
    if name == "root" or not re.match(r"[a-z_][a-z0-9_-]{0,31}$", name):
        raise ValueError("account must be the name of an ordinary account")
    return name


def _ssh(values: Dict[str, Any]) -> Ssh:
    return Ssh(
        int(values["port"]),
        str(values["socket"]),
        str(values["user_ca_file"]),
        tuple(str(name) for name in values.get("host_key_files", ())),
    )
