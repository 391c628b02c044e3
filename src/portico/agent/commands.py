"""What the broker may ask of the agent: one function each, returning values or raising Failed. See wire.agent for the arguments."""

import os
import secrets
import shutil
import signal
import string
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Optional

from portico.agent.config import Rdp, Settings, Vnc
from portico.agent.linux import Eyes, display_environment, find_leader, run, tmux_server
from portico.agent.rdp import certificates, set_password
from portico.agent.rights import Rights
from portico.agent.state import State, write_secret
from portico.wire.agent import COMMANDS

PASSWORD_SECONDS = 120  # so long a one-time password is good; sessions that were begun with it go on
_READY_SECONDS = 10.0
_LETTERS = string.ascii_letters + string.digits
_LOCKERS = (["xscreensaver-command", "-lock"], ["light-locker-command", "-l"], ["xdg-screensaver", "lock"])


class Failed(Exception):
    """The command could not be carried out; says why, for the administrator."""


class Hands:
    """Carries out commands. `look` has the sessions looked at now, so that what is over is noticed before anything begins.

    `patience_seconds` is how long somebody who was announced may still come, or come back, and find their rights.
    """

    def __init__(
        self, settings: Settings, state: State, eyes: Eyes, look: Callable[[], None],
        patience_seconds: float = PASSWORD_SECONDS,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._state = state
        self._eyes = eyes
        self._look = look
        self._useless_at: Optional[float] = None
        self._rights = Rights(settings, state)
        self._patience_seconds = patience_seconds
        self._at_work = threading.RLock()  # commands and looks are different threads
        self._awaited: Dict[str, float] = {}  # protocol → until when somebody may still come, or come back

    def carry_out(self, command: Dict[str, Any]) -> Dict[str, Any]:
        """Do what a COMMAND says and return its RESULT; never raises."""
        name = str(command.get("id", ""))
        kind = command.get("kind")
        if kind not in COMMANDS:
            return {"id": name, "ok": False, "error": "unknown command"}
        try:
            values = getattr(self, "_" + str(kind))(command)
        except Failed as problem:
            return {"id": name, "ok": False, "error": str(problem)}
        except OSError as problem:
            return {"id": name, "ok": False, "error": problem.strerror or type(problem).__name__}
        return dict(values or {}, id=name, ok=True, error="")

    def make_useless(self) -> None:
        """Replace the passwords by ones that nobody knows."""
        self._useless_at = None
        if self._settings.vnc:
            _write_vnc_password(self._settings.vnc, _password())
        if self._settings.rdp:
            _set_password(self._settings.rdp.account)

    def expire(self) -> None:
        """Make a one-time password useless once its time is over."""
        if self._useless_at is not None and time.monotonic() >= self._useless_at:
            self.make_useless()

    def settle_rights(self, *ended: str) -> None:
        """Take back the rights that were given for sessions, once nobody is there or expected; `ended` are kinds of session."""
        if not self._state.groups():
            return
        with self._at_work:
            for kind in ended:
                self._awaited.pop(kind, None)
            now = time.monotonic()
            for protocol, port in self._unseen().items():
                if self._eyes.is_used(port):
                    self._awaited[protocol] = now + self._patience_seconds
            if not self._state.sessions() and all(until <= now for until in self._awaited.values()):
                self._rights.take_back()

    def _unseen(self) -> Dict[str, int]:
        # Sessions of these servers cannot be looked at: who is connected is at work.
        rdp = {"rdp": self._settings.rdp.port} if self._settings.rdp else {}
        return dict(self._settings.protocols, **rdp)

    def _prepare(self, command: Dict[str, Any]) -> Dict[str, Any]:
        values, rights = self._make_ready(command), command.get("rights")
        if isinstance(rights, list):  # a broker that does not know of them says nothing
            with self._at_work:
                self._awaited[str(command.get("protocol"))] = time.monotonic() + self._patience_seconds
                values["rights"] = self._rights.settle(str(values["username"]), [str(one) for one in rights])
        return values

    def _make_ready(self, command: Dict[str, Any]) -> Dict[str, Any]:
        protocol, user = command.get("protocol"), str(command.get("user", ""))
        if protocol == "rdp" and self._settings.rdp:
            return self._prepare_rdp(self._settings.rdp)
        port = {"vnc": self._settings.vnc, "ssh": self._settings.ssh}.get(str(protocol))
        if port is None and protocol in self._settings.protocols:
            # Of this server we know only where it listens: whoever comes brings a password of their own.
            number = self._settings.protocols[str(protocol)]
            self._wait_until_ready(str(protocol), number)
            shown = {"certificates": certificates(self._settings.address, number)} if protocol == "rdp" else {}
            return dict(shown, port=number, username=user, password="")
        if port is None:
            raise Failed("this desktop does not speak {}".format(protocol))
        self._wait_until_ready(str(protocol), port.port)
        known = self._state.sessions().get(str(protocol))
        if known is not None and known.user not in ("", user):
            raise Failed("the session of another user is still here")
        self._state.expect(str(protocol), user)
        values = {"port": port.port, "username": self._settings.login_user, "password": ""}
        if protocol == "vnc" and self._settings.vnc:
            password = _password()
            _write_vnc_password(self._settings.vnc, password)
            values["password"] = password
            self._useless_at = time.monotonic() + PASSWORD_SECONDS
        return values

    def _prepare_rdp(self, rdp: Rdp) -> Dict[str, Any]:
        self._wait_until_ready("rdp", rdp.port)
        shown = certificates(self._settings.address, rdp.port)
        password = _set_password(rdp.account)
        self._useless_at = time.monotonic() + PASSWORD_SECONDS
        return {"port": rdp.port, "username": rdp.account, "password": password, "certificates": shown}

    def _wait_until_ready(self, protocol: str, port: int) -> None:
        until = time.monotonic() + _READY_SECONDS
        while True:
            self._look()  # a session that has just ended must not be taken for the one to come
            vnc = self._settings.vnc
            led = protocol != "vnc" or (vnc is not None and find_leader(vnc) is not None)
            if led and self._eyes.listens(port):
                return
            if time.monotonic() > until:
                raise Failed("{} is not ready on this desktop".format(protocol))
            time.sleep(0.1)

    def _revoke(self, command: Dict[str, Any]) -> None:
        if command.get("protocol") in ("vnc", "rdp"):
            self.make_useless()

    def _log_out(self, command: Dict[str, Any]) -> None:
        for kind in self._kinds(command):
            if kind == "vnc" and self._settings.vnc:
                leader = find_leader(self._settings.vnc)
                if leader:
                    os.kill(leader.pid, signal.SIGTERM)
            elif self._settings.ssh and tmux_server(self._settings.ssh.socket)[0]:
                self._tmux("kill-server")
        if command.get("session") is None:  # it is all over, also what cannot be seen
            with self._at_work:
                self._awaited.clear()
                self._rights.take_back()
        self.make_useless()

    def _disconnect(self, command: Dict[str, Any]) -> None:
        for kind in self._kinds(command):
            if kind == "vnc" and self._settings.vnc:
                self.make_useless()
                if run(["vncconfig", "-disconnect"], display_environment(self._settings.vnc)) is None:
                    raise Failed("the X server did not drop its clients")
            elif self._settings.ssh and tmux_server(self._settings.ssh.socket)[1]:
                self._tmux("detach-client", "-s", "portico")

    def _lock(self, command: Dict[str, Any]) -> None:
        kinds = self._kinds(command)
        if "vnc" not in kinds or not self._settings.vnc:
            raise Failed("only a graphical session can be locked")
        for argv in _LOCKERS:
            if shutil.which(argv[0]) and run(argv, display_environment(self._settings.vnc)) is not None:
                return
        raise Failed("there is no screen locker on this desktop")

    def _message(self, command: Dict[str, Any]) -> None:
        title, text = _plain(command.get("title"), 100), _plain(command.get("text"), 2000)
        shown = 0
        sessions = self._state.sessions()
        if "vnc" in sessions and self._settings.vnc:
            argv = [
                "xterm",
                "-T",
                title or "Message",
                "-geometry",
                "70x12+200+200",
                "-fa",
                "Monospace",
                "-fs",
                "12",
                "-e",
            ]
            _start([*argv, "sh", "-c", 'printf "%s\\n" "$1"; read -r _', "sh", text], self._settings.vnc)
            shown += 1
        if "ssh" in sessions and self._settings.ssh:
            self._tmux("display-message", "-d", "15000", "-t", "portico", _tmux_text("{} {}".format(title, text)))
            shown += 1
        if not shown:
            raise Failed("nobody is logged on")

    def _kinds(self, command: Dict[str, Any]) -> List[str]:
        wanted = command.get("session")
        sessions = self._state.sessions()
        kinds = [kind for kind, session in sessions.items() if wanted in (None, session.id)]
        if wanted is not None and not kinds:
            raise Failed("there is no such session (any more)")
        return kinds if wanted is not None else [kind for kind in ("vnc", "ssh") if getattr(self._settings, kind)]

    def _tmux(self, *words: str) -> None:
        if self._settings.ssh and run(["tmux", "-S", self._settings.ssh.socket, *list(words)], None) is None:
            raise Failed("tmux did not do what was asked")


def _password() -> str:
    # VNC authentication (RFC 6143, section 7.2.2) knows eight characters.
    return "".join(secrets.choice(_LETTERS) for _ in range(8))


def _set_password(account: str) -> str:
    password = secrets.token_urlsafe(24)
    if not set_password(account, password):
        raise Failed("the account {} was given no password".format(account))
    return password


def _write_vnc_password(vnc: Vnc, password: str) -> None:
    # vncpasswd reads the password and prints the file's content: eight bytes, DES under a key that all VNC programs know.
    printed = run(["vncpasswd", "-f"], None, password.encode("ascii") + b"\n")
    if not printed or len(printed) < 8:
        raise Failed("vncpasswd is missing or failed")
    write_secret(vnc.password_file, printed)


def _start(argv: List[str], vnc: Vnc) -> None:
    subprocess.Popen(
        argv, env=display_environment(vnc), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _plain(value: Any, most: int) -> str:
    # What is shown in a terminal must not be able to drive it.
    text = str(value or "")[:most]
    return "".join(letter for letter in text if letter == "\n" or letter.isprintable())


def _tmux_text(text: str) -> str:
    return text.replace("#", "##").replace("\n", " ")
