"""Recording by the gateway as a process: real desktops, a broker double that takes what is sent, a disk that is full, a kill in the middle."""

import hashlib
import io
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.integration.test_gateway import ORIGIN, Lab, close_code, rfb_init

from doubles.authority import Authority
from doubles.broker import BrokerDouble, Handler
from doubles.desktops import SshServer, VncServer, wait_until
from doubles.processes import GatewayProcess
from portico.wire.recordings import ASCIICAST, FRAMES, BadRecording, Opener

pytestmark = pytest.mark.capability("S057")


class Shelf:
    """What the broker double was sent, and the key that opens it."""

    def __init__(self, broker: BrokerDouble) -> None:
        self.private = X25519PrivateKey.generate()
        self.files: dict[str, bytearray] = {}
        self.done: dict[str, bytes] = {}
        self.away = False
        self.deaf = False  # takes all of a file once, and dies before it answers
        self.broker = broker
        broker.prefixes["/gateway/v1/recordings/"] = self._take

    def _take(self, on: Handler) -> None:
        path, _, query = on.path.partition("?")
        name, body = path.rpartition("/")[2], on.body()
        asked = dict(part.split("=") for part in query.split("&"))
        if self.away:
            on.json(507, {})
            return
        file = self.files.setdefault(name, bytearray())
        if int(asked["offset"]) == len(file):
            file += body
        done = asked.get("sha256") == hashlib.sha256(file).hexdigest()
        if done and self.deaf:
            self.deaf = False
            on.json(503, {})
            return
        if done:
            with self.broker.changed:
                self.done[name] = bytes(file)
                self.broker.changed.notify_all()
        on.json(200, {"size": len(file), "done": done})

    def wanted(self, name: str, mode: str = "on") -> dict[str, str]:
        """What a grant says."""
        return {"id": name, "mode": mode, "key": "tenant", "public": self.private.public_key().public_bytes_raw().hex()}

    def content(self, name: str) -> tuple[Opener, bytes]:
        """Wait for a recording, and open it."""
        data = self.broker.wait_for(lambda: self.done.get(name))
        opener = Opener(io.BytesIO(data), self.private)
        return opener, b"".join(opener.pieces())


class RecordingLab(Lab):
    shelf: Shelf

    def grant(self, connection: str, protocol: str, server: Any, mode: str = "on") -> str:
        self.broker.grant(connection, protocol, "127.0.0.1", server.port, server.credentials)
        self.broker.grants[connection]["recording"] = self.shelf.wanted(connection, mode)
        return self.broker.ticket(connection, protocol)


def make_lab(folder: Path, **settings: str) -> RecordingLab:
    import ssl

    authority = Authority(folder)
    broker = BrokerDouble(authority).start()
    gateway = GatewayProcess(folder, broker, ORIGIN, forward_listen="", **settings)
    gateway.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    return RecordingLab(broker=broker, gateway=gateway, trust=trust, shelf=Shelf(broker))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordingLab]:
    made = make_lab(tmp_path_factory.mktemp("recordings"))
    yield made
    made.gateway.stop()
    made.broker.stop()


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VncServer]:
    server = VncServer(tmp_path_factory.mktemp("vnc") / "vnc", terminal=False)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "ssh")
    yield server
    server.stop()


def frames(content: bytes) -> list[tuple[float, bytes]]:
    found, at = [], 0
    while at < len(content):
        seconds, kind, size = struct.unpack_from(">dBI", content, at)
        assert kind == 0
        found.append((seconds, content[at + 13 : at + 13 + size]))
        at += 13 + size
    return found


def test_what_a_browser_is_shown_of_a_desktop_is_recorded(lab: RecordingLab, desktop: VncServer) -> None:
    """Byte for byte what it was sent, in order and with times; the person is told."""
    client, answer = lab.enter("vnc", lab.grant("vnc-1", "vnc", desktop))
    assert answer["policy"]["recorded"] is True
    stream, width, height = rfb_init(client)
    client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
    stream.read(16)
    seen = stream.everything
    client.close()
    opener, content = lab.shelf.content("vnc-1")
    assert opener.complete and opener.fields["format"] == FRAMES and opener.fields["protocol"] == "vnc"
    told = frames(content)
    assert b"".join(data for _, data in told).startswith(seen)
    assert [seconds for seconds, _ in told] == sorted(seconds for seconds, _ in told)
    assert desktop.credentials["password"].encode() not in content


def test_a_terminal_is_recorded_as_an_asciicast(lab: RecordingLab, shell: SshServer) -> None:
    """With its size and its changes of size, and nothing of what was typed but did not show."""
    client, answer = lab.enter("ssh", lab.grant("ssh-1", "ssh", shell), columns=91, rows=31)
    assert answer["ok"]
    client.send(json.dumps({"resize": [100, 40]}))
    client.send("stty -echo; echo grüße-$((6*7)); read secret\n".encode())
    shown = b""
    while "grüße-42".encode() not in shown:
        message = client.recv(timeout=20)
        shown += message if isinstance(message, bytes) else b""
    time.sleep(0.3)
    client.send(b"hunter2\n")
    client.close()
    opener, content = lab.shelf.content("ssh-1")
    head, *lines = [json.loads(line) for line in content.decode().splitlines()]
    assert opener.complete and opener.fields["format"] == ASCIICAST
    assert (head["version"], head["width"], head["height"]) == (2, 91, 31)
    assert [line[2] for line in lines if line[1] == "r"] == ["100x40"]
    assert "grüße-42" in "".join(line[2] for line in lines if line[1] == "o") and "hunter2" not in content.decode()


def test_what_a_killed_gateway_recorded_is_there_up_to_the_last_second(lab: RecordingLab, shell: SshServer) -> None:
    """Sent after the restart, readable, and marked as cut off."""
    client, _ = lab.enter("ssh", lab.grant("killed", "ssh", shell), columns=80, rows=24)
    client.send(b"echo before-the-$((1+1))nd\n")
    shown = b""
    while b"before-the-2nd" not in shown:
        message = client.recv(timeout=20)
        shown += message if isinstance(message, bytes) else b""
    folder = Path(lab.gateway._settings["state"]) / "gateway" / "recordings"
    written = folder / "killed.part"
    wait_until(lambda: len(written.read_bytes()) > 300 + len(shown), "the first pieces on the disk")
    lab.gateway.stop(9)
    lab.gateway.start()
    opener, content = lab.shelf.content("killed")
    assert not opener.complete and b"before-the-2nd" in content
    wait_until(lambda: not list(folder.iterdir()), "the sent file's end")


def test_a_change_is_noticed_and_a_cut_is_read_up_to_it(lab: RecordingLab, desktop: VncServer) -> None:
    """In the header, in a piece, a piece left out, another tenant's key."""
    client, _ = lab.enter("vnc", lab.grant("tamper", "vnc", desktop))
    rfb_init(client)
    client.close()
    lab.shelf.content("tamper")
    data = lab.shelf.done["tamper"]
    size = len(b"PORTREC1") + 4 + struct.unpack_from(">I", data, 8)[0]
    for changed in (
        data[:40] + bytes((data[40] ^ 1,)) + data[41:],
        data[:-1] + bytes((data[-1] ^ 1,)),
        b"x" + data[1:],
        b"",
        data[: size - 2],
    ):
        with pytest.raises(BadRecording):
            list(Opener(io.BytesIO(changed), lab.shelf.private).pieces())
    with pytest.raises(BadRecording):
        list(Opener(io.BytesIO(data), X25519PrivateKey.generate()).pieces())
    cut = Opener(io.BytesIO(data[:-5]), lab.shelf.private)
    assert list(cut.pieces()) == [] and not cut.complete
    length = struct.unpack_from(">I", data, size)[0]
    ended = Opener(
        io.BytesIO(data[:size] + struct.pack(">I", length & 0x7FFFFFFF) + data[size + 4 :]), lab.shelf.private
    )
    with pytest.raises(BadRecording):
        list(ended.pieces())


def test_without_room_a_session_that_must_be_recorded_is_refused(tmp_path: Path, desktop: VncServer) -> None:
    """One that may be goes on without; a broker that is full is asked again until it has room."""
    left = tmp_path / "state" / "gateway" / "recordings" / "left.unknown"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1 << 20))
    lab = make_lab(tmp_path, recording_mib="1")
    try:
        assert lab.refused("vnc", lab.grant("must", "vnc", desktop, "required")) == ("recording.failed", 4014)
        client, answer = lab.enter("vnc", lab.grant("may", "vnc", desktop))
        assert answer["ok"] and answer["policy"]["recorded"] is False
        client.close()
    finally:
        lab.gateway.stop()
        lab.broker.stop()


def test_a_session_that_must_be_recorded_ends_when_the_room_is_used_up(tmp_path: Path, desktop: VncServer) -> None:
    """In its middle, with the reason; what was recorded up to then is kept and sent."""
    lab = make_lab(tmp_path, recording_mib="1")
    lab.shelf.away = True
    try:
        client, _ = lab.enter("vnc", lab.grant("full", "vnc", desktop, "required"))
        stream, width, height = rfb_init(client)
        # Raw pictures of the whole desktop, until there are more than fit.
        for _ in range(3):
            client.send(struct.pack(">BBHHHH", 3, 0, 0, 0, width, height))
        assert close_code(client) == 4014
        assert stream.everything
        lab.shelf.away = False
        opener, content = lab.shelf.content("full")
        assert not opener.complete and len(content) > 100_000
    finally:
        lab.gateway.stop()
        lab.broker.stop()


def test_a_broker_that_died_with_all_of_it_is_asked_to_finish(tmp_path: Path) -> None:
    """What it has is not sent again, however many pieces it was: the last word alone is missing."""
    content = bytes(range(256)) * 4096
    left = tmp_path / "state" / "gateway" / "recordings" / "whole.rec"
    left.parent.mkdir(parents=True)
    left.write_bytes(content)
    authority = Authority(tmp_path)
    broker = BrokerDouble(authority).start()
    shelf = Shelf(broker)
    shelf.deaf = True
    gateway = GatewayProcess(tmp_path, broker, ORIGIN, forward_listen="")
    gateway.start()
    try:
        assert broker.wait_for(lambda: shelf.done.get("whole"), 30) == content
        assert not shelf.deaf
        wait_until(lambda: not left.exists(), "the sent file's end")
    finally:
        gateway.stop()
        broker.stop()
