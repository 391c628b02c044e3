"""Real desktops on loopback: a TigerVNC server and an OpenSSH server, each on its own free port and stopped by its pid."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

ADDRESS = "127.0.0.1"


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    """Wait until somebody listens; fail if the process ends first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        with suppress(OSError), socket.create_connection((ADDRESS, port), 0.5):
            return
        time.sleep(0.05)
    raise AssertionError(f"nobody listens on {port}")


def wait_until(holds: Callable[[], bool], trouble: str, seconds: float = 60.0) -> None:
    """Wait until something holds; fail with a sentence if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError(trouble)


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, seconds: float = 10.0) -> int:
    """End a process and return its status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
    return int(process.returncode)


class VncServer:
    """An X server that speaks VNC, with a terminal that appends typed lines to `proof`."""

    password = "s3cr3t-1"
    display = -1

    def __init__(
        self, folder: Path, terminal: bool = True, security: tuple[str, ...] = ("-SecurityTypes", "VncAuth")
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.proof = folder / "proof.txt"
        self._processes: list[subprocess.Popen[bytes]] = []
        password_file = folder / "passwd"
        packed = subprocess.run(["vncpasswd", "-f"], input=self.password.encode(), capture_output=True, check=True)
        password_file.write_bytes(packed.stdout)
        ours, its = os.pipe()
        self.server = self._start(
            "Xtigervnc", "-displayfd", str(its), "-rfbport", str(self.port), "-interface", ADDRESS, *security,
            "-PasswordFile", str(password_file), "-geometry", "1024x768", "-depth", "24", "-AlwaysShared", "-nolisten", "tcp",
            "-desktop", "desk", "-AcceptSetDesktopSize", pass_fds=(its,),
        )  # fmt: skip
        os.close(its)
        with os.fdopen(ours) as said:  # The server chooses a free display itself: no other one can take it in between.
            self.display = int(said.readline() or -1)
        wait_for_port(self.port, self.server)
        if (
            terminal
        ):  # It covers the screen, and no window manager takes the keyboard from it: keys go where the pointer is.
            self._start(
                "xterm", "-fa", "monospace", "-geometry", "300x100+0+0", "-e", "sh", "-c",
                f"echo ready; exec cat >> {self.proof}",
            )  # fmt: skip
            wait_until(self._takes_keys, "the desktop's terminal has no keyboard")

    def _takes_keys(self) -> bool:
        """Whether the terminal runs and is shown: keys that come before are lost."""
        asked = subprocess.run(
            ["xwininfo", "-display", f":{self.display}", "-name", "sh"], capture_output=True, text=True, check=False
        )
        return self.proof.exists() and "IsViewable" in asked.stdout

    def _start(self, *command: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command,
            env={**os.environ, "DISPLAY": f":{self.display}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
        )
        self._processes.append(process)
        return process

    def stop(self) -> None:
        """End everything that runs in it."""
        for process in reversed(self._processes):
            stop(process)

    @property
    def credentials(self) -> dict[str, Any]:
        """What a grant gives the gateway."""
        return {"username": "", "password": self.password}


class SshServer:
    """An OpenSSH server that takes certificates of its own user CA."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.user = getpass.getuser()
        host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._user_ca = asyncssh.generate_private_key("ssh-ed25519")
        host_path, ca_path = folder / "host_key", folder / "user_ca.pub"
        host_path.write_bytes(host_key.export_private_key())
        host_path.chmod(0o600)
        ca_path.write_bytes(self._user_ca.export_public_key())
        self.host_key = host_key.export_public_key().decode().strip()
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress {ADDRESS}:{self.port}\nHostKey {host_path}\nTrustedUserCAKeys {ca_path}\nPidFile none\n"
            "AuthorizedKeysFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            # Not the shell's start-up files of whoever runs the tests: they may take their time, and locks of their own.
            f"SetEnv HOME={folder}\n"
            "PermitRootLogin prohibit-password\nStrictModes no\nAcceptEnv LANG\nSubsystem sftp internal-sftp\nPrintMotd no\nPrintLastLog no\n"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where it separates privileges; Debian's service makes it otherwise
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "sshd"
        self._process = subprocess.Popen(
            [sshd, "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for_port(self.port, self._process)

    @property
    def credentials(self) -> dict[str, Any]:
        """What a grant gives the gateway: a key, a certificate that lives two minutes, and the pinned host key."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        certificate = self._user_ca.generate_user_certificate(
            key, "test", principals=[self.user], valid_before="+2m", valid_after="-1m"
        )
        return {
            "username": self.user,
            "ssh_key": key.export_private_key().decode(),
            "ssh_certificate": certificate.export_certificate().decode(),
            "ssh_host_keys": [self.host_key],
        }

    def stop(self) -> None:
        """End it."""
        stop(self._process)


class Screen:
    """A screen with the keyboard of a PC, for native clients that are driven as a person would drive them."""

    def __init__(self, size: str = "1024x768x24") -> None:
        ours, its = os.pipe()
        self._process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(its), "-screen", "0", size, "-nolisten", "tcp", "-noreset"], pass_fds=(its,),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its)
        with os.fdopen(ours) as said:
            self.display = int(said.readline() or -1)
        assert self.display >= 0, "no screen"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to be shown on it."""
        return {**os.environ, "DISPLAY": f":{self.display}"}

    def type_line(self, window_class: str, text: str) -> None:
        """Type a line into a window; there is no window manager to give it the keyboard."""
        for command in (
            ["search", "--class", window_class, "windowfocus"],
            ["mousemove", "300", "300", "click", "1"],
            ["type", "--delay", "30", text],
            ["key", "Return"],  # a line end that is typed becomes a key that PCs do not have
        ):
            subprocess.run(
                ["xdotool", *command],
                env=self.environment,
                check=False,
                timeout=60,
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """End it."""
        stop(self._process)
