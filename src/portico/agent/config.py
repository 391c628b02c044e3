"""The agent's settings: one JSON file that whoever made the desktop wrote (cloud-init, an installer, the local center).

Wanted are broker_url, ca_fingerprint (SHA-256 of the CA certificate, hex) and token (one-time); all else has a default:
state (file for credentials), listen {address, port}, address, login_user, heartbeat and poll times, and what sessions there are:
vnc {port, display, xauthority, password_file, leader_file}   ssh {port, socket, user_ca_file, host_key_files}.
"""

import json
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


class Settings(NamedTuple):
    """All settings. `address` is told to the broker and narrows whose connections are looked at; empty: found out."""

    broker_url: str
    ca_fingerprint: str
    token: str
    state: str
    listen_address: str
    listen_port: int  # 0: outbound only
    address: str
    login_user: str
    vnc: Optional[Vnc]
    ssh: Optional[Ssh]
    poll_seconds: float
    idle_after_seconds: int


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
    except (KeyError, TypeError, ValueError) as problem:
        raise BadSettings("{}: {}: {}".format(path, type(problem).__name__, problem)) from problem


def _settings(values: Dict[str, Any]) -> Settings:
    url = urlsplit(str(values["broker_url"]))
    if url.scheme != "https" or not url.hostname:
        raise ValueError("broker_url must be https://HOST[:PORT]")
    listen = values.get("listen", {})
    vnc, ssh = values.get("vnc"), values.get("ssh")
    return Settings(
        broker_url=str(values["broker_url"]),
        ca_fingerprint=str(values["ca_fingerprint"]).replace(":", "").lower(),
        token=str(values.get("token", "")),
        state=str(values.get("state", "/var/lib/portico-agent/state.json")),
        listen_address=str(listen.get("address", "")),
        listen_port=int(listen.get("port", 8080)),
        address=str(values.get("address", "")),
        login_user=str(values.get("login_user", "")),
        vnc=_vnc(vnc) if vnc else None,
        ssh=_ssh(ssh) if ssh else None,
        poll_seconds=float(values.get("poll_seconds", 0.7)),
        idle_after_seconds=int(values.get("idle_after_seconds", 300)),
    )


def _vnc(values: Dict[str, Any]) -> Vnc:
    return Vnc(
        int(values["port"]),
        str(values["display"]),
        str(values.get("xauthority", "")),
        str(values["password_file"]),
        str(values["leader_file"]),
    )


def _ssh(values: Dict[str, Any]) -> Ssh:
    return Ssh(
        int(values["port"]),
        str(values["socket"]),
        str(values["user_ca_file"]),
        tuple(str(name) for name in values.get("host_key_files", ())),
    )
