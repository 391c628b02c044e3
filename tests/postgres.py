"""A private PostgreSQL: made in a temporary directory, reached by a Unix socket, gone with the tests."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

DEADLINE = 60  # seconds for any one step; a loaded machine is slow


class Cluster:
    """A running server of our own. Needs the programs of Debian's package `postgresql`; as root also its account."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="portico-pg-"))
        # The server refuses to run as root.
        self.account: dict[str, object] = {}
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
            self.account = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self.server: subprocess.Popen[bytes] | None = None
        self._counter = 0

    def start(self) -> None:
        """Make the cluster and wait until it answers. Raises RuntimeError with the server's own words."""
        data = self.directory / "data"
        self._run("initdb", "-D", str(data), "-U", "portico", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        quick = [f"-c{name}=off" for name in ("fsync", "synchronous_commit", "full_page_writes")]
        own = [f"-cunix_socket_directories={self.directory}", "-clisten_addresses=", "-cmax_connections=200"]
        log = (self.directory / "server.log").open("wb")
        command = [self._program("postgres"), "-D", str(data), *quick, *own]
        self.server = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory, **self.account)  # type: ignore[call-overload]
        log.close()
        end = time.monotonic() + DEADLINE
        while True:
            try:
                psycopg.connect(self._dsn("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self.server.poll() is not None or time.monotonic() > end:
                    words = (self.directory / "server.log").read_text("utf-8", "replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL did not start: {words}") from None
                time.sleep(0.05)

    def create_database(self, template: str = "template0") -> str:
        """Make a database, as a copy of `template`, and return its name."""
        self._counter += 1
        name = f"portico_{self._counter}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            # A database is copied only while nobody is connected to it.
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [template])
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def url(self, name: str) -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://portico@/{name}?host={self.directory}"

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def stop(self) -> None:
        """End the server and remove all that it kept."""
        if self.server is not None:
            self.server.terminate()
            try:
                self.server.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _dsn(self, name: str) -> str:
        return f"host={self.directory} user=portico dbname={name}"

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [self._program(command[0]), *command[1:]],
            capture_output=True, text=True, check=False, timeout=DEADLINE, cwd=self.directory, **self.account,  # type: ignore[call-overload]
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr or done.stdout}")

    @staticmethod
    def _program(name: str) -> str:
        homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
        found = shutil.which(name, path=os.pathsep.join([*map(str, homes), os.environ.get("PATH", "")]))
        if found is None:
            raise RuntimeError(f"{name} is not here: `make setup` installs PostgreSQL")
        return found
