"""The gateway and the front as the processes that they are, configured by environment."""

import os
import subprocess
import sys
from pathlib import Path

from doubles.broker import BrokerDouble
from doubles.desktops import free_port, stop, wait_for_port

RUN = "import sys; from portico.config import load; from portico.gateway.{module} import {name} as run; sys.exit(run(load()))"


class Service:
    """One process; `log` is what it wrote so far."""

    module, name = "", ""
    prefix: tuple[str, ...] = ()  # a command that runs it elsewhere, such as in a network of its own

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._log = folder / f"{self.name}.log"
        self._settings = {"state": str(folder / "state"), **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, wait: bool = True) -> None:
        """Run it, and wait until it listens."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PORTICO_CONFIG": os.devnull}
        environment |= {f"PORTICO_{name.upper()}": value for name, value in self._settings.items()}
        program = RUN.format(module=self.module, name=self.name)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.prefix, sys.executable, "-c", program], env=environment, stdout=log, stderr=log
            )
        if wait:
            wait_for_port(self.port, self._process)

    def stop(self, number: int = 15) -> int:
        """End it and return its status."""
        assert self._process is not None
        return stop(self._process, number)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    def memory_kib(self) -> int:
        """Return the memory that it alone holds."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))

    def wait(self, seconds: float = 20.0) -> int:
        """Wait until it ends by itself and return its status."""
        assert self._process is not None
        return self._process.wait(seconds)


class GatewayProcess(Service):
    """`portico gateway`."""

    module, name = "app", "run_gateway"

    def __init__(self, folder: Path, broker: BrokerDouble, public_url: str, **settings: str) -> None:
        port = free_port()
        known = {
            "gateway_listen": f"127.0.0.1:{port}",
            "rdgateway_listen": "",
            "gateway_token": "token-1",
            "broker_url": broker.url,
            "ca_fingerprint": broker.authority.fingerprint,
            "public_url": public_url,
        }
        super().__init__(folder, port, **{**known, **settings})


class FrontProcess(Service):
    """`portico front`."""

    module, name = "forwarder", "run_front"

    def __init__(self, folder: Path, broker: BrokerDouble, port: int, gateway_port: int, **settings: str) -> None:
        certificate, key = broker.authority.issue("front", "127.0.0.1", "localhost")
        known = {
            "front_listen": f"127.0.0.1:{port}",
            "gateway_listen": f"127.0.0.1:{gateway_port}",
            "broker_url": broker.url,
            "ca_fingerprint": broker.authority.fingerprint,
            "public_url": f"https://localhost:{port}",
            "front_certificate": str(certificate),
            "front_key": str(key),
        }
        super().__init__(folder, port, **{**known, **settings})
