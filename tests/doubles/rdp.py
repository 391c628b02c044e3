"""Real RDP servers on loopback: FreeRDP's shadow server with Network Level Authentication, and xrdp with a session of its own."""

import fcntl
import os
import pwd
import secrets
import subprocess
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from doubles.desktops import ADDRESS, VncServer, free_port, stop, wait_for_port, wait_until


class ShadowServer:
    """Shows the display of a VNC desktop by RDP; takes one account, by NLA alone."""

    username, password = "vdi", "s3cr3t-Päss"

    def __init__(self, folder: Path, desktop: VncServer, port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.desktop, self.proof = desktop, desktop.proof
        self.port = port or free_port()
        self._folder = folder
        told = subprocess.run(
            ["winpr-hash", "-u", self.username, "-p", self.password, "-f", "sam"], capture_output=True, check=True
        )
        sam = folder / "sam"
        sam.write_bytes(told.stdout)
        self._process = subprocess.Popen(
            ["freerdp-shadow-cli", f"/port:{self.port}", f"/bind-address:{ADDRESS}", "/sec:nla", "+auth", f"/sam-file:{sam}"],
            env={**os.environ, "DISPLAY": f":{desktop.display}", "HOME": str(folder)},
            stdin=subprocess.DEVNULL, stdout=(folder / "shadow.log").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        wait_for_port(self.port, self._process)

    @property
    def credentials(self) -> dict[str, Any]:
        """What a grant gives the gateway."""
        return {"username": self.username, "password": self.password}

    @property
    def log(self) -> str:
        """What the server said."""
        return (self._folder / "shadow.log").read_text(errors="replace")

    def stop(self) -> None:
        """End it."""
        stop(self._process)


class XrdpServer:
    """xrdp with its session manager, for one account that it makes and removes; each log-in has a terminal that writes to `proof`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # xrdp looks for its session manager at the port of the system's configuration alone: one at a time on a machine.
        self._turn = (Path(tempfile.gettempdir()) / "portico-test-xrdp.lock").open("w")
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        self.port = free_port()
        self.username, self.password = f"rdp{os.getpid() % 100_000}", f"Xr-{secrets.token_hex(8)}"
        self.home = Path("/home") / self.username  # the folders of a test are for its own account alone
        self._folder = folder
        subprocess.run(["useradd", "-m", "-d", str(self.home), "-s", "/bin/bash", self.username], check=True)
        self.set_password()
        self.proof = self.home / "proof.txt"
        self._certificate()
        start = self.home / "start.sh"
        start.write_text(
            "#!/bin/sh\nexport LANG=C.UTF-8\ncd ~\n"
            "exec xterm -fa monospace -geometry 300x100+0+0 -e sh -c 'echo ready; exec cat >> ~/proof.txt'\n"
        )
        start.chmod(0o755)
        sesman, xrdp = folder / "sesman.ini", folder / "xrdp.ini"
        sesman.write_text(SESMAN.format(start=start, folder=folder))
        xrdp.write_text(XRDP.format(port=self.port, folder=folder))
        self._processes = [
            self._start("xrdp-sesman", "-n", "-c", str(sesman)),
            self._start("xrdp", "-n", "-c", str(xrdp)),
        ]
        wait_for_port(self.port, self._processes[-1])

    def set_password(self) -> None:
        """Give the account its password, again if somebody changed it."""
        subprocess.run(["chpasswd"], input=f"{self.username}:{self.password}".encode(), check=True)

    def _certificate(self) -> None:
        """Make the certificate that it shows, and remember what pins it."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desk-01")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30)).sign(key, hashes.SHA256())
        )  # fmt: skip
        self.fingerprint = made.fingerprint(hashes.SHA256()).hex()
        (self._folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        (self._folder / "key.pem").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=(self._folder / f"{command[0]}.out").open("wb"),
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    @property
    def credentials(self) -> dict[str, Any]:
        """What a grant gives the gateway."""
        return {"username": self.username, "password": self.password}

    def stop(self) -> None:
        """End it, its sessions, and the account."""
        for process in reversed(self._processes):
            stop(process)
        account = pwd.getpwnam(self.username).pw_uid
        # An X server that is killed leaves its socket, and xrdp takes a display with a socket for one in use.
        leftovers = [path for path in Path("/tmp/.X11-unix").glob("X*") if path.stat().st_uid == account]
        subprocess.run(["pkill", "-KILL", "-u", self.username], check=False)
        wait_until(
            lambda: subprocess.run(["pgrep", "-u", self.username], capture_output=True, check=False).returncode == 1,
            "the account's processes do not end",
        )
        for path in leftovers:
            path.unlink(missing_ok=True)
            Path(f"/tmp/.{path.name}-lock").unlink(missing_ok=True)
        subprocess.run(["userdel", "-r", self.username], check=False, capture_output=True)
        self._turn.close()


SESMAN = """[Globals]
ListenAddress=127.0.0.1
ListenPort=3350
EnableUserWindowManager=false
DefaultWindowManager={start}
[Security]
AllowRootLogin=false
MaxLoginRetry=4
AlwaysGroupCheck=false
RestrictOutboundClipboard=none
RestrictInboundClipboard=none
[Sessions]
X11DisplayOffset=40
MaxSessions=10
KillDisconnected=false
Policy=Default
[Logging]
LogFile={folder}/sesman.log
LogLevel=INFO
EnableSyslog=false
[Xorg]
param=/usr/lib/xorg/Xorg
param=-config
param=xrdp/xorg.conf
param=-noreset
param=-nolisten
param=tcp
param=-logfile
param=.xorgxrdp.%s.log
[Chansrv]
FuseMountName=thinclient_drives
"""

XRDP = """[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:{port}
security_layer=tls
certificate={folder}/cert.pem
key_file={folder}/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
autorun=Xorg
allow_channels=true
max_bpp=32
use_fastpath=both
new_cursors=true
[Logging]
LogFile={folder}/xrdp.log
LogLevel=INFO
EnableSyslog=false
[Channels]
rdpdr=true
rdpsnd=true
drdynvc=true
cliprdr=true
rail=true
[Xorg]
name=Xorg
lib=libxup.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=20
"""
