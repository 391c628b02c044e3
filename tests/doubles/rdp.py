"""Real RDP servers on loopback: FreeRDP's shadow server with Network Level Authentication, and xrdp with a session of its own."""

import os
import subprocess
import time
from pathlib import Path
from typing import Any

from doubles.desktops import ADDRESS, VncServer, free_port, stop, wait_for_port


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
