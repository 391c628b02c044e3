"""A domain of the lab's Keystone with people in every state, behind TLS as in real clouds."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.doubles import pausing
from tests.doubles.tls_relay import certificate
from tests.lab import places, processes
from tests.lab.rest import Cloud, Refused, answers
from tests.lab.schemas import sql

PEOPLE = ("alice", "bob", "dave", "louis", "mia", "pete")
# What the lab's own Keystone leaves open, since others log in there with wrong passwords on purpose.
_RULES = """
[security_compliance]
lockout_failure_attempts = 4
lockout_duration = 3600
password_regex = ^.{8,}$
password_regex_description = eight characters or more
"""
_RELAY = """
import sys
from tests.doubles.tls_relay import relay_forever
relay_forever(sys.argv[1], int(sys.argv[2]), (sys.argv[3], int(sys.argv[4])))
"""


class KeystoneDomain:
    """A domain of its own, a Keystone beside the lab's, on the same database, that has rules for passwords, and TLS before it."""

    def __init__(self) -> None:
        """Name it; `start` makes it."""
        self.domain = f"people-{uuid.uuid4().hex[:8]}"
        self.home = Path(tempfile.mkdtemp(prefix="portico-keystone-"))
        self.admin = Cloud("admin", "admin")
        self.ids: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.keystone: subprocess.Popen[bytes] | None = None
        self.port, self._plain = _free_port(), _free_port()
        self._file, self.pem = certificate(self.home)

    def start(self) -> None:
        """Make the domain, its people, groups and project, and begin to relay."""
        domain = self.make("/domains", "domain", {"name": self.domain})
        self.ids["domain"] = domain
        for name in PEOPLE:
            more: dict[str, Any] = {"enabled": name != "dave", "description": f"{name.capitalize()} Keystone"}
            if name == "mia":  # two ways to prove who she is, one of which nobody can type
                rules = [["password", "application_credential"]]
                more["options"] = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": rules}
            self.user(name, email=f"{name}@cloud.test", department="Research", **more)
        self.group("VDI-Users", "alice", "pete")
        self.ids["project"] = self.make("/projects", "project", {"name": "design", "domain_id": domain})
        roles = {row["name"]: row["id"] for row in self.admin.listed("identity", "/roles")}
        self.admin.put(
            "identity", f"/projects/{self.ids['project']}/groups/{self.ids['VDI-Users']}/roles/{roles['member']}", None
        )
        service = self.user("svc-broker")
        self.admin.put("identity", f"/domains/{domain}/users/{service}/roles/{roles['reader']}", None)
        self.roles = roles
        self._start_keystone()
        self.up()

    def make(self, path: str, kind: str, values: dict[str, Any]) -> str:
        """Make something; returns its id."""
        return str(self.admin.post("identity", path, {kind: values})[kind]["id"])

    def user(self, name: str, **more: Any) -> str:
        """Make a user; returns the id."""
        values = {"name": name, "domain_id": self.ids["domain"], "password": self.password(name), **more}
        self.ids[name] = self.make("/users", "user", values)
        return self.ids[name]

    def group(self, name: str, *members: str) -> None:
        """Make a group with members."""
        self.ids[name] = self.make("/groups", "group", {"name": name, "domain_id": self.ids["domain"]})
        for member in members:
            self.admin.put("identity", f"/groups/{self.ids[name]}/users/{self.ids[member]}", None)

    def change(self, name: str, **values: Any) -> None:
        """Change a user."""
        self.admin.call("PATCH", "identity", f"/users/{self.ids[name]}", {"user": values})

    def expire(self, name: str) -> None:
        """Let a password have expired yesterday: Keystone's API sets no such thing."""
        past = int(time.time() - 86_400)
        sql(
            f"UPDATE keystone.password SET expires_at_int = {past}000000, expires_at = FROM_UNIXTIME({past}) WHERE local_user_id = "
            f"(SELECT id FROM keystone.local_user WHERE user_id = '{self.ids[name]}')"
        )

    def revoked(self) -> int:
        """Count the tokens that were revoked one by one."""
        return int(sql("SELECT COUNT(*) FROM keystone.revocation_event WHERE audit_id IS NOT NULL"))

    def up(self) -> None:
        """Begin to relay."""
        command = [
            sys.executable,
            "-c",
            _RELAY,
            str(self._file),
            str(self.port),
            places.ADDRESS,
            str(self._plain),
        ]
        root = Path(__file__).parents[2]
        log = (self.home / "relay.log").open("ab")
        self.process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        self._await(self.process, lambda: _listens(self.port), "relay.log")

    def _start_keystone(self) -> None:
        """Start a Keystone like the lab's, with rules for passwords."""
        lab = (places.ETC / "uwsgi/keystone.ini").read_text("utf-8")
        (self.home / "keystone.ini").write_text(lab.replace(f":{places.PORTS['keystone']}", f":{self._plain}"))
        (self.home / "rules.conf").write_text(_RULES)
        files = f"{places.ETC}/keystone/keystone.conf;{self.home}/rules.conf"
        where = {"OS_KEYSTONE_CONFIG_DIR": f"{places.ETC}/keystone", "OS_KEYSTONE_CONFIG_FILES": files}
        log = (self.home / "keystone.log").open("ab")
        self.keystone = subprocess.Popen(
            [str(places.BIN / "uwsgi"), "--ini", str(self.home / "keystone.ini")],
            cwd=self.home, env=processes.environment() | where, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        log.close()
        self._await(self.keystone, lambda: answers(f"http://{places.ADDRESS}:{self._plain}/v3"), "keystone.log")

    def _await(self, process: subprocess.Popen[bytes], ready: Callable[[], bool], log: str) -> None:
        end = time.monotonic() + 120
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.home / log).read_text("utf-8", "replace")[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """End the relay."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def pause(self) -> None:
        """Let it accept connections and say nothing more."""
        assert self.process is not None
        pausing.halt(self.process)

    def go_on(self) -> None:
        """Let it work again."""
        assert self.process is not None
        pausing.go_on(self.process)

    def wipe(self) -> None:
        """End it and remove the domain with all that is in it."""
        self.stop()
        if self.keystone is not None:
            self.keystone.terminate()
            self.keystone.wait(60)
        if domain := self.ids.get("domain"):
            try:
                self.admin.call("PATCH", "identity", f"/domains/{domain}", {"domain": {"enabled": False}})
                self.admin.delete("identity", f"/domains/{domain}")
            except Refused as problem:
                raise RuntimeError(f"the domain {self.domain} stays: {problem}") from problem
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def settings(self) -> dict[str, str]:
        """What a directory of ours is told of it."""
        return {
            "auth_url": f"https://127.0.0.1:{self.port}/v3", "domain": self.domain, "ca_certificates": self.pem, "service": "password",
            "service_account": "svc-broker", "service_secret": self.password("svc-broker"),
        }  # fmt: skip

    def password(self, name: str) -> str:
        """Return the password of one of its people."""
        return f"Passw0rd-{name}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
