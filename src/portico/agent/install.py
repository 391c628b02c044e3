"""Puts the agent onto a Linux system with systemd: into the running one, or into an image's tree that is mounted somewhere."""

import argparse
import json
import os
import subprocess
import sys
from typing import Any, Dict, List, Sequence, Tuple

from portico.agent import config
from portico.agent.state import write_secret
from portico.wire.packing import itself

_PROGRAM, _SETTINGS, _UNIT = "usr/lib/portico-agent/agent.pyz", "etc/portico/agent.json", "portico-agent.service"
_TERMINALS = "usr/lib/tmpfiles.d/portico-agent.conf"
_SSHD = "etc/ssh/sshd_config.d/50-portico.conf"

_SERVICE = """\
[Unit]
Description=Portico agent
Wants=network-online.target
After=network-online.target

[Service]
ExecStart={python} -I /{program} --config /{settings}
Restart=always
RestartSec=5
StateDirectory=portico-agent
StateDirectoryMode=0700

[Install]
WantedBy=multi-user.target
"""

# The account of a terminal desktop is reached by certificates of the deployment's CA alone, and only into its tmux session.
_SSHD_TEXT = """\
Match User {user}
    TrustedUserCAKeys /etc/portico/ssh_user_ca.pub
    AuthenticationMethods publickey
    AuthorizedKeysFile none
    DisableForwarding yes
    PermitUserRC no
    ForceCommand exec tmux -S /run/portico-desktop/tmux.sock -f /etc/portico/tmux.conf new-session -A -s portico
Match all
"""
_TMUX = """\
set -g status off
set -g default-terminal "screen-256color"
set -g history-limit 20000
set -g escape-time 10
set -g destroy-unattached off
set -g lock-after-time 0
"""
_HOST_KEYS = ["/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_ecdsa_key.pub", "/etc/ssh/ssh_host_rsa_key.pub"]


class NotInstalled(Exception):
    """It cannot be installed so; says why."""


def main(argv: Sequence[str]) -> int:
    """`portico agent install`; prints what it wrote."""
    parser = argparse.ArgumentParser(
        prog="portico agent install",
        description="Install the agent on this system, or into the tree of an image.",
        epilog="Without --broker the agent learns from the instance's metadata where its broker is.",
    )
    parser.add_argument("--broker", metavar="URL", default="", help="address of the broker, https://HOST[:PORT]")
    parser.add_argument("--fingerprint", metavar="HEX", default="", help="SHA-256 of the deployment's CA certificate")
    parser.add_argument("--join-key-file", metavar="FILE", help="file with a join key (-: standard input)")
    parser.add_argument("--token-file", metavar="FILE", help="file with a one-time token (-: standard input)")
    parser.add_argument(
        "--ssh-user", metavar="NAME", default="", help="account for terminal sessions by way of sshd and tmux"
    )
    parser.add_argument(
        "--rdp-user",
        metavar="NAME",
        default="",
        help="account that RDP sessions run as; the agent gives it one-time passwords",
    )
    parser.add_argument(
        "--protocol", metavar="NAME=PORT", action="append", default=[], help="also tell the broker of this"
    )
    parser.add_argument("--port", type=int, help="the agent's own port (default: 8080; 0: outbound only)")
    parser.add_argument("--python", default="/usr/bin/python3", help="interpreter of the system (default: %(default)s)")
    parser.add_argument(
        "--root", default=os.environ.get("PORTICO_AGENT_ROOT", "/"), help="tree of an image (default: /)"
    )
    parser.add_argument("--no-start", action="store_true", help="do not start it now")
    arguments = parser.parse_args(argv)
    try:
        written = install(arguments)
    except (NotInstalled, OSError, ValueError) as problem:
        print("portico agent install: {}".format(problem), file=sys.stderr)
        return 1
    for name in written:
        print(name)
    if not os.path.exists(os.path.join(arguments.root, arguments.python.lstrip("/"))):
        print("portico agent install: the system needs {}".format(arguments.python), file=sys.stderr)
    if arguments.root == "/" and not arguments.no_start and os.path.isdir("/run/systemd/system"):
        start(bool(arguments.ssh_user))
    return 0


def install(arguments: argparse.Namespace) -> List[str]:
    """Write the files below the root; returns their names. What the settings file held besides stays. Raises NotInstalled."""
    root = os.path.abspath(arguments.root)
    if not os.path.isdir(root):
        raise NotInstalled("{} is no directory".format(root))
    settings = _settings(arguments, os.path.join(root, _SETTINGS))
    service = _SERVICE.format(python=arguments.python, program=_PROGRAM, settings=_SETTINGS)
    files = [
        (_PROGRAM, itself(), 0o755),
        ("etc/systemd/system/" + _UNIT, service.encode("ascii"), 0o644),
    ]
    if arguments.ssh_user:
        _check_ssh(root)
        files += [
            ("etc/portico/tmux.conf", _TMUX.encode("ascii"), 0o644),
            (_TERMINALS, "d /run/portico-desktop 0700 {} - -\n".format(arguments.ssh_user).encode("ascii"), 0o644),
            (_SSHD, _SSHD_TEXT.format(user=arguments.ssh_user).encode("ascii"), 0o644),
        ]
    for name, content, mode in files:
        _write(root, name, content, mode)
    _make(root, "etc/portico", 0o755)
    _make(root, "var/lib/portico-agent", 0o700)
    write_secret(os.path.join(root, _SETTINGS), json.dumps(settings, indent=1, sort_keys=True).encode("utf-8") + b"\n")
    link = os.path.join(root, "etc/systemd/system/multi-user.target.wants", _UNIT)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    if not os.path.lexists(link):
        os.symlink("/etc/systemd/system/" + _UNIT, link)
    return ["/" + name for name in [_SETTINGS] + [name for name, _, _ in files]]


def start(with_terminals: bool) -> None:
    """Have systemd run what was installed. Does not wait: cloud-init calls us while the system still starts."""
    if with_terminals:
        _run(["systemd-tmpfiles", "--create", "/" + _TERMINALS])
        _run(["systemctl", "--no-block", "try-reload-or-restart", "ssh.service", "sshd.service"])
    _run(["systemctl", "daemon-reload"])
    _run(["systemctl", "--no-block", "restart", _UNIT])


def _settings(arguments: argparse.Namespace, path: str) -> Dict[str, Any]:
    values = {}  # type: Dict[str, Any]
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if not isinstance(values, dict):
            raise NotInstalled("{} holds no settings".format(path))
    if bool(arguments.broker) != bool(arguments.fingerprint):
        raise NotInstalled("--broker and --fingerprint go together: an address alone proves nothing")
    if arguments.broker:
        values["broker_url"] = config.broker_url(arguments.broker)
        values["ca_fingerprint"] = config.fingerprint(arguments.fingerprint)
    for name in ("join_key", "token"):
        file_name = getattr(arguments, name + "_file")
        if file_name:
            values[name] = _secret(file_name)
    if arguments.port is not None:
        values["listen"] = dict(values.get("listen", {}), port=arguments.port)
    if arguments.protocol:
        values["protocols"] = dict(values.get("protocols", {}), **dict(_protocol(text) for text in arguments.protocol))
    if arguments.ssh_user:
        values["login_user"] = _account(arguments.ssh_user, "--ssh-user")
        values["ssh"] = {
            "port": 22, "socket": "/run/portico-desktop/tmux.sock", "user_ca_file": "/etc/portico/ssh_user_ca.pub",
            "host_key_files": _HOST_KEYS,
        }  # fmt: skip
    if arguments.rdp_user:
        values["rdp"] = {"port": 3389, "account": _account(arguments.rdp_user, "--rdp-user")}
        values.setdefault("login_user", arguments.rdp_user)
    return values


def _account(name: str, option: str) -> str:
    try:
        return config.account_name(name)
    except ValueError as problem:
        raise NotInstalled(option + " wants the name of an ordinary account") from problem


def _protocol(text: str) -> Tuple[str, int]:
    name, _, port = text.partition("=")
    if not name.isalnum() or not port.isdigit() or not 0 < int(port) < 65536:
        raise NotInstalled("--protocol wants NAME=PORT, such as rdp=3389")
    return name, int(port)


def _secret(name: str) -> str:
    if name == "-":
        text = sys.stdin.readline()
    else:
        with open(name, encoding="ascii") as file:
            text = file.readline()
    if not text.strip():
        raise NotInstalled("{} is empty".format(name))
    return text.strip()


def _check_ssh(root: str) -> None:
    try:
        with open(os.path.join(root, "etc/ssh/sshd_config"), encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError as problem:
        raise NotInstalled("--ssh-user needs an OpenSSH server: {}".format(problem)) from problem
    if not any(line[:1] == ["Include"] and "sshd_config.d" in line[-1] for line in lines):
        raise NotInstalled("/etc/ssh/sshd_config lacks the line: Include /etc/ssh/sshd_config.d/*.conf")


def _make(root: str, name: str, mode: int) -> None:
    path = os.path.join(root, name)
    os.makedirs(path, exist_ok=True)
    os.chmod(path, mode)


def _write(root: str, name: str, content: bytes, mode: int) -> None:
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    aside = path + ".new"
    with open(aside, "wb") as file:
        file.write(content)
    os.chmod(aside, mode)
    os.replace(aside, path)


def _run(argv: List[str]) -> None:
    try:
        subprocess.run(argv, stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as problem:
        print("portico agent install: {}: {}".format(argv[0], problem), file=sys.stderr)
