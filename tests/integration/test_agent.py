"""A real agent on a real local desktop, with a broker double that speaks wire/agent.py over HTTPS."""

import contextlib
import datetime
import hashlib
import http.client
import ipaddress
import json
import os
import pty
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.x509.oid import NameOID

from portico.clouds import local_processes
from portico.clouds.local import Local, LocalSettings
from portico.domain.model import PowerAction
from portico.ports.cloud import CloudContext, Machine, MachineSpec

PATIENCE_SECONDS = 30
TOKEN = "one-time-token"


class Authority:
    """A deployment's CA."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self.issue(self.key, "Test CA", authority=True)
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        self.fingerprint = hashlib.sha256(der).hexdigest()
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, key: Any, name: str, unit: str = "", authority: bool = False) -> x509.Certificate:
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit)] if unit else []
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder().subject_name(x509.Name(attributes)).issuer_name(issuer).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        )  # fmt: skip
        return builder.sign(self.key, hashes.SHA256())

    def pair(self, name: str, unit: str) -> tuple[str, str]:
        """Return a certificate and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(key, name, unit).public_bytes(serialization.Encoding.PEM).decode()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return certificate, key.private_bytes(*form).decode()

    def context(self, directory: Path, unit: str, purpose: ssl.Purpose) -> ssl.SSLContext:
        certificate, key = self.pair("test", unit)
        file = directory / f"{unit}-{purpose.name}.pem"
        file.write_text(certificate + key)
        context = ssl.create_default_context(purpose, cadata=self.pem)
        context.load_cert_chain(file)
        return context


class BrokerDouble(ThreadingHTTPServer):
    """Answers agents as a broker does, and remembers what they said."""

    daemon_threads = True

    def __init__(self, directory: Path, ssh_user_ca: str = "ssh-ed25519 AAAA") -> None:
        super().__init__(("127.0.0.1", 0), BrokerHandler)
        self.authority = Authority()
        self.presented = self.authority.pem
        self.ssh_user_ca = ssh_user_ca
        self.away = False
        self.enrolments: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.events: dict[tuple[str, int], dict[str, Any]] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue()
        self.changed = threading.Condition()
        context = self.authority.context(directory, "server", ssl.Purpose.CLIENT_AUTH)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass

    def wait(self, wanted: Callable[[], Any]) -> Any:
        with self.changed:
            assert self.changed.wait_for(wanted, PATIENCE_SECONDS), (self.enrolments, self.reports[-3:])
            return wanted()

    def ask(self, kind: str, **arguments: Any) -> dict[str, Any]:
        name = f"command-{time.monotonic_ns()}"
        self.commands.put({"id": name, "kind": kind, **arguments})
        return dict(self.wait(lambda: self.results.get(name)))

    def happened(self) -> list[str]:
        return [event["kind"] for _, event in sorted(self.events.items(), key=lambda item: item[0][1])]

    def hello(self, **more: Any) -> dict[str, Any]:
        url = f"https://127.0.0.1:{self.server_address[1]}"
        return {"broker_url": url, "ca_fingerprint": self.authority.fingerprint, "token": TOKEN, **more}


class BrokerHandler(BaseHTTPRequestHandler):
    server: BrokerDouble
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.server.away:
            self.close_connection = True
        elif self.path == "/agent/v1/ca":
            self.answer(200, self.server.presented.encode())
        elif self.path == "/agent/v1/commands?wait=25" and self.is_known():
            commands = []
            with contextlib.suppress(queue.Empty):
                commands.append(self.server.commands.get(timeout=2))
            self.answer(200, json.dumps({"commands": commands}).encode())
        else:
            self.answer(401, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.away:
            self.close_connection = True
            return
        with self.server.changed:
            self.server.changed.notify_all()
            if self.path == "/agent/v1/enroll" and body["token"] == TOKEN:
                self.server.enrolments.append(body)
                certificate, key = self.server.authority.pair("agent", "agent")
                answer = {"agent_id": "a1", "bearer": "secret", "ca": self.server.authority.pem, "certificate": certificate,
                          "key": key, "ssh_user_ca": self.server.ssh_user_ca, "heartbeat_seconds": 60}  # fmt: skip
                self.answer(200, json.dumps(answer).encode())
            elif self.path == "/agent/v1/report" and self.is_known():
                self.server.reports.append(body)
                for event in body["events"]:
                    self.server.events.setdefault((body["boot_id"], event["sequence"]), event)
                self.server.results.update({result["id"]: result for result in body["results"]})
                self.answer(200, b'{"ok": true, "heartbeat_seconds": 60}')
            else:
                self.answer(401, b"{}")

    def is_known(self) -> bool:
        return self.headers["Authorization"] == "Bearer secret"

    def answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Place:
    """A local center with a broker double, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        keys = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f")
        for name in ("user_ca", "user"):
            subprocess.run([*keys, directory / name], check=True)
        self.broker = BrokerDouble(directory, (directory / "user_ca.pub").read_text())
        # Accounts and processes are named by the deployment; tests run side by side.
        self.deployment = f"deployment-{directory.name}"
        self.cloud = Local(LocalSettings(), CloudContext(self.deployment, f"center-{directory.name}", directory))

    def desktop(self, image: str, **hello: Any) -> Machine:
        spec = MachineSpec("desktop", self.deployment, "test desktop", image, agent=self.broker.hello(**hello))
        external_id = self.cloud.create(spec)
        self.broker.wait(lambda: self.broker.reports)
        return next(machine for machine in self.cloud.scan().machines if machine.external_id == external_id)

    def agents(self, external_id: str) -> set[local_processes.Process]:
        found = {item.process for item in local_processes.everything()}
        return {
            process
            for process in found
            if local_processes.environment(process.pid).get(local_processes.MARKER) == external_id
            and b"agent.pyz" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        }

    def door(self, address: str, unit: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        context = self.broker.authority.context(self.directory, unit, ssl.Purpose.SERVER_AUTH)
        context.check_hostname = False
        connection = http.client.HTTPSConnection(address, 8080, context=context, timeout=PATIENCE_SECONDS)
        connection.request(method, path, json.dumps(body) if body else None)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.fixture
def place() -> Iterator[Place]:
    directory = Path(tempfile.mkdtemp(prefix="pa-", dir="/tmp"))
    directory.chmod(0o755)
    place = Place(directory)
    yield place
    for machine in place.cloud.scan().machines:
        place.cloud.delete(machine.external_id)
    place.broker.shutdown()
    place.broker.server_close()
    shutil.rmtree(directory)


class Viewer:
    """A VNC client that gets as far as the first picture (RFC 6143)."""

    def __init__(self, address: str, password: str) -> None:
        self.socket = socket.create_connection((address, 5900), timeout=PATIENCE_SECONDS)
        self.read(12)
        self.socket.sendall(b"RFB 003.008\n")
        assert 2 in self.read(self.read(1)[0])
        self.socket.sendall(b"\x02")
        challenge = self.read(16)
        # VNC takes each byte of the password with its bits in reverse; three equal keys make triple DES a single one.
        key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0"))
        encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
        self.socket.sendall(encryptor.update(challenge))
        self.accepted = self.read(4) == b"\0\0\0\0"
        if self.accepted:
            self.socket.sendall(b"\x01")
            self.size = self.read(4)
            self.name = self.read(int.from_bytes(self.read(20)[16:], "big"))
            self.socket.sendall(b"\x03\x00" + bytes(4) + self.size)

    def read(self, number: int) -> bytes:
        content = b""
        while len(content) < number:
            more = self.socket.recv(number - len(content))
            assert more, "the server hung up"
            content += more
        return content

    def close(self) -> None:
        self.socket.close()


class Terminal:
    """An OpenSSH client on a terminal of its own, with a certificate of the deployment's user CA."""

    def __init__(self, place: Place, machine: Machine, principal: str) -> None:
        key, known = place.directory / "user", place.directory / "known_hosts"
        certify = [
            "ssh-keygen",
            "-q",
            "-s",
            place.directory / "user_ca",
            "-I",
            "test",
            "-n",
            principal,
            "-V",
            "+5m",
            key,
        ]
        subprocess.run(certify, check=True, capture_output=True)
        known.write_text(f"[{machine.address}]:2222 {machine.ssh_host_keys[0]}\n")
        options = [
            f"-oUserKnownHostsFile={known}",
            "-oStrictHostKeyChecking=yes",
            "-oIdentitiesOnly=yes",
            "-oBatchMode=yes",
        ]
        argv = ["ssh", "-F", "/dev/null", "-tt", "-i", str(key), *options, "-p2222", f"{principal}@{machine.address}"]
        self.master, slave = pty.openpty()
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "HOME": str(place.directory)}
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        os.set_blocking(self.master, False)
        self.shown = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text.encode() not in self.shown:
            assert time.monotonic() < deadline, self.shown
            with contextlib.suppress(BlockingIOError, OSError):
                self.shown += os.read(self.master, 65536)
            time.sleep(0.02)

    def drop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)
        os.close(self.master)


@pytest.mark.capability("S026", "S057")
def test_a_vnc_session_from_log_on_to_log_off(place: Place) -> None:
    """The one-time password opens the screen; log-on, disconnect, reconnect and log-off reach the broker in order."""
    machine = place.desktop("linux-desktop")
    broker = place.broker
    facts = broker.enrolments[0]["facts"]
    assert facts["address"] == machine.address
    assert facts["protocols"] == machine.protocols
    first = broker.ask("prepare", protocol="vnc", user="ada")
    assert first["ok"], first
    viewer = Viewer(str(machine.address), first["password"])
    assert viewer.accepted
    broker.wait(lambda: broker.happened() == ["logged_on"])
    viewer.close()
    broker.wait(lambda: broker.happened()[1:] == ["disconnected"])
    second = broker.ask("prepare", protocol="vnc", user="ada")
    assert second["password"] != first["password"]
    assert not Viewer(str(machine.address), first["password"]).accepted
    viewer = Viewer(str(machine.address), second["password"])
    broker.wait(lambda: broker.happened()[2:] == ["reconnected"])
    session = broker.wait(lambda: broker.reports[-1]["sessions"])[0]
    assert (session["user"], session["kind"], session["state"]) == ("ada", "vnc", "logged on")
    assert not broker.ask("prepare", protocol="vnc", user="bob")["ok"]
    assert broker.ask("disconnect", session=session["id"])["ok"]
    broker.wait(lambda: broker.happened()[3:] == ["disconnected"])
    assert broker.ask("log_out", session=None)["ok"]
    broker.wait(lambda: broker.happened()[4:] == ["logged_off"])
    assert {event["user"] for event in broker.events.values()} == {"ada"}
    third = broker.ask("prepare", protocol="vnc", user="bob")  # the screen has started anew for the next one
    assert third["ok"], third
    assert Viewer(str(machine.address), third["password"]).accepted


@pytest.mark.capability("S057")
def test_a_revoked_password_opens_nothing(place: Place) -> None:
    """After revoke, the password that prepare gave is refused."""
    machine = place.desktop("linux-desktop")
    password = place.broker.ask("prepare", protocol="vnc", user="ada")["password"]
    assert place.broker.ask("revoke", protocol="vnc")["ok"]
    assert not Viewer(str(machine.address), password).accepted


@pytest.mark.capability("S026", "S057")
def test_a_terminal_outlives_its_connection_and_ends_with_exit(place: Place) -> None:
    """An SSH certificate opens the shell; a dropped connection leaves it running, exit ends it, and the broker hears of all."""
    machine = place.desktop("linux-shell")
    broker = place.broker
    prepared = broker.ask("prepare", protocol="ssh", user="ada")
    assert prepared["ok"], prepared
    assert prepared["password"] == ""
    terminal = Terminal(place, machine, prepared["username"])
    terminal.until("$")
    terminal.type("echo still-$((40 + 2)) > remembered; cat remembered\n")
    terminal.until("still-42")
    broker.wait(lambda: broker.happened() == ["logged_on"])
    terminal.drop()
    broker.wait(lambda: broker.happened()[1:] == ["disconnected"])
    terminal = Terminal(place, machine, prepared["username"])
    terminal.until("still-42")
    broker.wait(lambda: broker.happened()[2:] == ["reconnected"])
    terminal.type("exit\n")
    assert terminal.process.wait(PATIENCE_SECONDS) == 0
    broker.wait(lambda: broker.happened()[3:] == ["logged_off"])
    terminal.drop()


@pytest.mark.capability("S027")
def test_what_happened_while_nobody_listened_is_told_later(place: Place) -> None:
    """Events of a time without broker, and across kill -9 of the agent, arrive once and in order."""
    machine = place.desktop("linux-desktop")
    broker = place.broker
    password = broker.ask("prepare", protocol="vnc", user="ada")["password"]
    broker.away = True
    viewer = Viewer(str(machine.address), password)
    state = place.directory / "desktops" / machine.external_id / "run" / "agent-state.json"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not json.loads(state.read_text())["events"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = place.agents(machine.external_id)
    local_processes.send(before, signal.SIGKILL)
    viewer.close()
    broker.away = False
    broker.wait(lambda: broker.happened() == ["logged_on", "disconnected"])
    assert len({boot_id for boot_id, _ in broker.events}) == 1
    assert len(broker.enrolments) == 1
    assert not before & place.agents(machine.external_id)


@pytest.mark.capability("S027")
def test_the_agents_door_opens_for_brokers_only(place: Place) -> None:
    """On port 8080, a certificate of our CA with the broker's role commands; another role and none at all do not."""
    machine = place.desktop("linux-desktop")
    address = str(machine.address)
    assert place.broker.wait(lambda: place.broker.reports)[0]["facts"]["port"] == 8080
    status, values = place.door(address, "broker", "GET", "/agent/v1/status")
    assert (status, values["sessions"]) == (200, [])
    command = {"id": "c1", "kind": "prepare", "protocol": "vnc", "user": "ada"}
    status, result = place.door(address, "broker", "POST", "/agent/v1/command", command)
    assert (status, result["ok"], result["id"]) == (200, True, "c1")
    assert place.door(address, "broker", "POST", "/agent/v1/command", command)[1] == result
    assert Viewer(address, result["password"]).accepted
    assert place.door(address, "broker", "POST", "/agent/v1/command", {"id": "c2", "kind": "explode"})[1]["ok"] is False
    assert place.door(address, "broker", "POST", "/agent/v1/command", ["x"])[0] == 400
    assert place.door(address, "agent", "GET", "/agent/v1/status")[0] == 403
    stranger = ssl.create_default_context(cadata=place.broker.authority.pem)
    stranger.check_hostname = False
    connection = http.client.HTTPSConnection(address, 8080, context=stranger, timeout=PATIENCE_SECONDS)
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        connection.request("GET", "/agent/v1/status")
        connection.getresponse()


@pytest.mark.capability("S027")
def test_an_agent_tells_nothing_to_another_broker(place: Place) -> None:
    """A broker whose CA has another fingerprint, or that shows our CA without its key, hears no token."""
    for presented in (Authority().pem, place.broker.authority.pem):
        double = BrokerDouble(place.directory)
        double.presented = presented
        fingerprint = place.broker.authority.fingerprint
        data = double.hello() | {"ca_fingerprint": fingerprint}
        spec = MachineSpec(f"d-{presented[40:60]}", "deployment", "d", "linux-shell", agent=data)
        external_id = place.cloud.create(spec)
        log = place.directory / "desktops" / external_id / "log" / "agent.log"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (log.exists() and "broker not reached" in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not double.enrolments
        assert TOKEN not in log.read_text()
        double.shutdown()
        double.server_close()


@pytest.mark.capability("S026", "S090")
def test_a_stopped_desktop_comes_back_with_its_files_and_its_agent(place: Place) -> None:
    """After stop and start the session is reported ended, the home is as it was, and the agent needs no new token."""
    machine = place.desktop("linux-desktop")
    broker = place.broker
    password = broker.ask("prepare", protocol="vnc", user="ada")["password"]
    viewer = Viewer(str(machine.address), password)
    broker.wait(lambda: broker.happened() == ["logged_on"])
    home = place.directory / "desktops" / machine.external_id / "home"
    (home / "kept").write_text("work")
    place.cloud.power(machine.external_id, PowerAction.STOP)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while place.cloud.scan().machines[0].power != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    viewer.close()
    place.cloud.power(machine.external_id, PowerAction.START)
    broker.wait(lambda: broker.happened()[-1] == "logged_off")
    assert broker.ask("prepare", protocol="vnc", user="bob")["ok"]
    assert (home / "kept").read_text() == "work"
    assert len(broker.enrolments) == 1
