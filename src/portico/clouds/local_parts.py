"""What a local desktop consists of: an X server with VNC, a window manager with a terminal, an sshd, and the Portico agent.

`furnish` writes what they read; `parts` says how each is started. The agent is the one that any desktop runs, packed as one file.
"""

import grp
import json
import os
import secrets
import shlex
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from portico.clouds import local_texts
from portico.clouds.local_account import Ids
from portico.clouds.local_desktop import AGENT_PORT, SSH_PORT, VNC_PORT, Desktop, Place
from portico.clouds.local_processes import CENTER_MARKER, MARKER
from portico.wire.packing import pack

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games:/usr/sbin:/sbin"
_TOOL_SECONDS = 30
_OPENBOX = Path("/etc/xdg/openbox/rc.xml")


@dataclass(frozen=True, slots=True)
class Part:
    """One process of a desktop. It is started once something listens on all of `after`."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    after: frozenset[tuple[str, int]] = frozenset()
    groups: tuple[int, ...] = ()  # besides the account's own


class NotFurnished(Exception):
    """A tool did not do its work; says which and what it said."""


def environment(desktop: Desktop, place: Place, user: str) -> dict[str, str]:
    """Return the environment that all of its processes start with: nothing of ours but the marks by which they are found."""
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        "HOME": str(place.home),
        "USER": user,
        "LOGNAME": user,
        "SHELL": "/bin/bash",
        MARKER: desktop.external_id,
        CENTER_MARKER: desktop.center_id,
    }


def furnish(desktop: Desktop, place: Place, user: str, ids: Ids | None) -> None:
    """Make the directories and files of a desktop, again after a start without harm. Raises NotFurnished, OSError."""
    os.chmod(place.directory, 0o711)  # noqa: PTH101, S103 - its user passes through to the home, and sees nothing else
    for path, mode, mine in ((place.etc, 0o755, True), (place.log, 0o700, True), (place.run, 0o700, False)):
        _make_directory(path, mode, None if mine else ids)
    if not place.home.exists():
        skeleton = Path("/etc/skel")
        if skeleton.is_dir():
            shutil.copytree(skeleton, place.home, symlinks=True)
            for path in place.home.rglob("*"):
                _give(path, ids)
    _make_directory(place.home, 0o700, ids)
    _write_files(desktop, place, user, ids)
    _make_host_key(place, ids)
    _pack_agent(place.etc / "agent.pyz")


def parts(desktop: Desktop, place: Place, user: str, interpreter: str) -> tuple[Part, ...]:
    """Return the processes of a desktop in the order of their start."""
    base = environment(desktop, place, user)
    found: list[Part] = []
    if "vnc" in desktop.protocols:
        base_x = base | {"DISPLAY": f":{desktop.display}", "XAUTHORITY": str(place.etc / "Xauthority")}
        found += [
            Part("vnc", _x_server(desktop, place), base),
            Part("session", ("/bin/sh", str(place.etc / "session")), base_x, frozenset({(desktop.address, VNC_PORT)})),
        ]
    sshd = shutil.which("sshd", path=PATH) or "/usr/sbin/sshd"  # it insists on an absolute path
    found.append(
        Part("sshd", (sshd, "-D", "-e", "-f", str(place.etc / "sshd_config")), base, groups=_terminal_groups())
    )
    if desktop.agent:
        agent = (interpreter, "-I", str(place.etc / "agent.pyz"), "--config", str(place.etc / "agent.json"))
        found.append(Part("agent", agent, base))
    return tuple(found)


def find_interpreter(run_as: Mapping[str, object]) -> str:
    """Return a Python that the desktop's user may run; ours may live in a directory that is closed to him. Raises NotFurnished."""
    candidates = (sys.executable, os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3")
    for candidate in candidates:
        if not Path(candidate).exists():
            continue
        try:
            done = subprocess.run(  # type: ignore[call-overload]
                (candidate, "-I", "-c", "import ssl, json, http.server"), env={"PATH": PATH}, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=_TOOL_SECONDS, check=False, **run_as,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return str(candidate)
    raise NotFurnished("There is no Python 3 that a desktop's account may run. Install python3.")


def _terminal_groups() -> tuple[int, ...]:
    # sshd gives terminals to the group tty, which it may without rights only as a member, or where devpts has done it already
    # (gid=5). Containers and chroots often lack that option.
    try:
        wanted = grp.getgrnam("tty").gr_gid
    except KeyError:
        return ()
    controller, terminal = os.openpty()
    given = os.fstat(terminal).st_gid
    os.close(controller)
    os.close(terminal)
    return () if given == wanted else (wanted,)


def _x_server(desktop: Desktop, place: Place) -> tuple[str, ...]:
    return (
        "Xtigervnc", f":{desktop.display}", "-interface", desktop.address, "-rfbport", str(VNC_PORT),
        "-SecurityTypes", "VncAuth", "-PasswordFile", str(place.run / "vnc_password"), "-UseBlacklist=0",
        "-geometry", "1280x800", "-depth", "24", "-AcceptSetDesktopSize=1", "-AlwaysShared=1",
        "-auth", str(place.etc / "Xauthority"), "-nolisten", "tcp", "-desktop", desktop.name, "-noreset",
    )  # fmt: skip


def _write_files(desktop: Desktop, place: Place, user: str, ids: Ids | None) -> None:
    etc, run = place.etc, place.run
    marks = " ".join(f"{name}={shlex.quote(value)}" for name, value in (
        ("LANG", "C.UTF-8"), (MARKER, desktop.external_id), (CENTER_MARKER, desktop.center_id)))  # fmt: skip
    _write(etc / "sshd_config", local_texts.SSHD.format(
        address=desktop.address, port=SSH_PORT, etc=etc, run=run, user=user, environment=marks))  # fmt: skip
    _write(etc / "tmux.conf", local_texts.TMUX)
    quoted = {"run": shlex.quote(str(run)), "etc": shlex.quote(str(etc)), "home": shlex.quote(str(place.home))}
    _write(etc / "session", local_texts.SESSION.format(**quoted))
    _write(etc / "openbox.xml", _window_manager())
    _write(etc / "terminal", local_texts.TERMINAL)
    _secret(etc / "Xauthority", _x_authority(desktop.display), ids)
    if desktop.agent:
        _secret(etc / "agent.json", json.dumps(_agent_settings(desktop, place, user), indent=1).encode(), ids)


def _window_manager() -> str:
    try:
        own = _OPENBOX.read_text("utf-8")  # its menus and keys are those that people know
    except (OSError, UnicodeError):
        own = local_texts.OPENBOX
    before, end, after = own.rpartition("</applications>")
    return f"{before}{local_texts.APPLICATION if end else ''}{end}{after}"


def _agent_settings(desktop: Desktop, place: Place, user: str) -> dict[str, object]:
    settings: dict[str, object] = dict(desktop.agent)
    settings |= {
        "state": str(place.run / "agent-state.json"),
        "listen": {"address": desktop.address, "port": AGENT_PORT},
        "address": desktop.address,
        "login_user": user,
        "metadata": False,  # what this machine's cloud says is not about its desktops
        "ssh": {
            "port": SSH_PORT,
            "socket": str(place.run / "tmux.sock"),
            "user_ca_file": str(place.run / "ssh_user_ca.pub"),
            "host_key_files": [str(place.etc / "ssh_host_ed25519_key.pub")],
        },
    }
    if "vnc" in desktop.protocols:
        settings["vnc"] = {
            "port": VNC_PORT,
            "display": f":{desktop.display}",
            "xauthority": str(place.etc / "Xauthority"),
            "password_file": str(place.run / "vnc_password"),
            "leader_file": str(place.run / "session.pid"),
        }
    return settings


def _make_host_key(place: Place, ids: Ids | None) -> None:
    key = place.etc / "ssh_host_ed25519_key"
    if key.exists():
        return
    aside = place.etc / "new_host_key"
    for leftover in (aside, aside.with_suffix(".pub")):
        leftover.unlink(missing_ok=True)
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(aside))
    try:
        subprocess.run(argv, env={"PATH": PATH, "HOME": "/"}, stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=_TOOL_SECONDS, check=True)  # fmt: skip
    except (OSError, subprocess.SubprocessError) as problem:
        raise NotFurnished(f"ssh-keygen: {problem}") from problem
    aside.with_suffix(".pub").replace(key.with_name(key.name + ".pub"))
    _give(aside, ids)
    aside.replace(key)


def _pack_agent(path: Path) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(pack())
    aside.replace(path)


def _x_authority(display: int) -> bytes:
    # Xau(3): family "any address", no address, the display's number, the method, the cookie; each field with its length.
    fields = (b"", str(display).encode(), b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16))
    return struct.pack(">H", 0xFFFF) + b"".join(struct.pack(">H", len(field)) + field for field in fields)


def _make_directory(path: Path, mode: int, ids: Ids | None) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    _give(path, ids)


def _write(path: Path, text: str) -> None:
    path.write_text(text, "utf-8")
    path.chmod(0o644)


def _secret(path: Path, content: bytes, ids: Ids | None) -> None:
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
    _give(aside, ids)
    aside.replace(path)


def _give(path: Path, ids: Ids | None) -> None:
    if ids is not None:
        os.chown(path, ids.uid, ids.gid, follow_symlinks=False)
