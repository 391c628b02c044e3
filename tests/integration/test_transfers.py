"""Files between a browser and a real sshd, through the gateway as a process."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.test_gateway import ORIGIN, Lab, close_code
from websockets.sync.client import ClientConnection

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import SshServer, wait_until
from doubles.processes import GatewayProcess

pytestmark = pytest.mark.capability("S057", "S050")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    import ssl

    folder = tmp_path_factory.mktemp("transfers")
    authority = Authority(folder)
    broker = BrokerDouble(authority).start()
    gateway = GatewayProcess(folder, broker, ORIGIN, forward_listen="", transfer_mib="8")
    gateway.start()
    trust = ssl.create_default_context(cafile=str(authority.path))
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    server = SshServer(folder / "ssh")
    yield Lab(broker=broker, gateway=gateway, trust=trust, server=server)
    server.stop()
    gateway.stop()
    broker.stop()


class Files:
    """A browser's panel: a terminal, and beside it the door for files."""

    def __init__(self, lab: Lab, connection: str, **policy: Any) -> None:
        self.lab, self.connection = lab, connection
        lab.broker.grant(connection, "ssh", "127.0.0.1", lab.server.port, lab.server.credentials, **policy)
        self.terminal, answer = lab.enter("ssh", lab.broker.ticket(connection, "ssh"), columns=80, rows=24)
        self.client = self.open(answer["files"])
        self.hello = json.loads(self.client.recv(timeout=20))
        self._number = 0

    def open(self, secret: str) -> ClientConnection:
        client = self.lab.open("files")
        client.send(json.dumps({"session": secret}))
        return client

    def ask(self, **fields: Any) -> tuple[int, dict[str, Any]]:
        """Ask, and return the number and the first answer."""
        self._number += 1
        self.client.send(json.dumps({"id": self._number, **fields}))
        return self._number, self.told()

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.client.recv(timeout=20)))

    def put(self, path: Path, content: bytes, **more: Any) -> dict[str, Any]:
        """Send a file and return the last answer."""
        number, answer = self.ask(put=str(path), size=len(content), **more)
        if "error" in answer:
            return answer
        sent = 0
        while sent < len(content):
            piece = content[sent : sent + 60_000]
            # In frames of any size, as browsers cut them.
            self.client.send([struct.pack(">I", number)[:3], struct.pack(">I", number)[3:], piece])
            sent += len(piece)
            answer = self.told()
            assert answer.get("got") == sent
        return self.told()

    def get(self, path: Path) -> tuple[bytes, dict[str, Any]]:
        """Take a file and return it, and the last answer."""
        number, answer = self.ask(get=str(path))
        if "error" in answer:
            return b"", answer
        content = b""
        while True:
            message = self.client.recv(timeout=20)
            if isinstance(message, str):
                return content, json.loads(message)
            assert struct.unpack_from(">I", message)[0] == number
            content += message[4:]
            self.client.send(json.dumps({"id": number, "got": len(content)}))

    def close(self) -> None:
        self.client.close()
        self.terminal.close()


def test_files_cross_both_ways_and_are_reported(lab: Lab, tmp_path: Path) -> None:
    """Whole, larger than the window, under their own name only when all is there; folders are listed and made."""
    files = Files(lab, "both")
    assert (
        files.hello["ok"]
        and files.hello["home"] == str(Path.home())
        and files.hello["files_in"]
        and files.hello["files_out"]
    )
    content = os.urandom(3_000_000)
    assert files.put(tmp_path / "größe.bin", content) == {"id": 1, "done": True}
    assert (tmp_path / "größe.bin").read_bytes() == content
    assert files.get(tmp_path / "größe.bin") == (content, {"id": 2, "done": True})
    assert files.put(tmp_path / "empty", b"")["done"] and files.get(tmp_path / "empty")[1]["done"]
    assert files.ask(mkdir=str(tmp_path / "new"))[1]["ok"]
    (tmp_path / "link").symlink_to(tmp_path / "new")
    entries = {one["name"]: one for one in files.ask(list=str(tmp_path))[1]["entries"]}
    assert {name: one["kind"] for name, one in entries.items()} == {
        "größe.bin": "file",
        "empty": "file",
        "new": "dir",
        "link": "dir",
    }
    assert entries["größe.bin"]["size"] == len(content)
    events = lab.broker.wait_for(
        lambda: len(found := [one for one in lab.broker.events() if one["kind"].startswith("file.")]) >= 4 and found
    )
    assert (events[0]["kind"], events[0]["reason"], events[0]["bytes_in"]) == ("file.in", "größe.bin", len(content))
    assert (events[1]["kind"], events[1]["bytes_out"]) == ("file.out", len(content))
    files.close()


def test_what_is_there_is_not_overwritten_unasked(lab: Lab, tmp_path: Path) -> None:
    """And a cancelled one leaves what was there, and no draft."""
    files = Files(lab, "over")
    target = tmp_path / "kept"
    target.write_text("old")
    assert files.put(target, b"new")["error"] == "exists"
    number, answer = files.ask(put=str(target), size=100, overwrite=True)
    assert answer["ready"]
    files.client.send(struct.pack(">I", number) + b"half")
    assert files.told()["got"] == 4
    files.client.send(json.dumps({"id": number, "cancel": True}))
    assert files.told()["error"] == "cancelled"
    assert target.read_text() == "old" and [one.name for one in tmp_path.iterdir()] == ["kept"]
    assert files.put(target, b"new", overwrite=True)["done"] and target.read_text() == "new"
    files.close()


@pytest.mark.parametrize(
    ("policy", "may_put", "may_get"),
    [({"files_in": False}, False, True), ({"files_out": False}, True, False), ({"view_only": True}, False, True)],
)
def test_what_the_policy_forbids_is_refused_whatever_the_page_does(
    lab: Lab, tmp_path: Path, policy: Any, may_put: bool, may_get: bool
) -> None:
    """By the gateway, not by the buttons."""
    files = Files(lab, f"policy-{may_put}-{may_get}-{len(policy)}{next(iter(policy))}", **policy)
    (tmp_path / "there").write_text("secret")
    put, got = files.put(tmp_path / "sent", b"x"), files.get(tmp_path / "there")
    made = files.ask(mkdir=str(tmp_path / "folder"))[1]
    assert (put.get("done", False), (tmp_path / "sent").exists()) == (may_put, may_put)
    assert (made.get("ok", False), (tmp_path / "folder").exists()) == (may_put, may_put)
    assert got == (
        (b"secret", {"id": 2, "done": True})
        if may_get
        else (b"", {"id": 2, "error": "forbidden", "message": "forbidden"})
    )
    files.close()


def test_trouble_has_a_name(lab: Lab, tmp_path: Path) -> None:
    """Missing, a folder in place of a file, too big, too much, no such folder, and none of it ends the panel."""
    files = Files(lab, "trouble")
    assert files.get(tmp_path / "missing")[1]["error"] == "missing"
    assert files.get(tmp_path)[1]["error"] == "not_a_file"
    assert files.put(tmp_path / "no" / "folder", b"x")["error"] == "missing"
    assert files.ask(put=str(tmp_path / "big"), size=9 << 20)[1]["error"] == "too_big"
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    assert files.get(tmp_path / "big")[1]["error"] == "too_big"
    number, _ = files.ask(put=str(tmp_path / "more"), size=3)
    files.client.send(struct.pack(">I", number) + b"more than said")
    assert files.told()["error"] == "malformed" and not (tmp_path / "more").exists()
    assert files.ask(list=str(tmp_path))[1]["entries"]
    files.close()


def test_only_the_sessions_own_page_comes_in_and_it_leaves_with_the_session(lab: Lab, tmp_path: Path) -> None:
    """A guessed secret, and one whose session has ended, open nothing; a half-sent file goes with the session."""
    files = Files(lab, "own")
    stranger = files.open("guessed")
    assert json.loads(stranger.recv(timeout=20))["error"] == "ticket.invalid" and close_code(stranger) == 4001
    number, _ = files.ask(put=str(tmp_path / "half"), size=100)
    files.client.send(struct.pack(">I", number) + b"half")
    files.told()
    lab.broker.tell(kind="close", connection="own", reason="closed.by_administrator")
    assert close_code(files.client) == 4003
    wait_until(lambda: not (tmp_path / "half").exists(), "the half file's end")
    files.terminal.close()


@pytest.fixture(scope="module")
def panel(lab: Lab) -> Iterator[Files]:
    made = Files(lab, "fuzz", files_in=False)
    yield made
    made.close()


WORDS = ["id", "list", "get", "put", "size", "mkdir", "got", "cancel", "x"]
VALUES = st.none() | st.booleans() | st.integers(max_value=1 << 33) | st.text(max_size=12)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.dictionaries(st.sampled_from(WORDS), VALUES), max_size=6))
def test_whatever_a_page_says_the_panel_lives_on(panel: Files, said: list[bytes | dict[str, Any]]) -> None:
    """Nonsense is passed over or answered with an error."""
    for message in said:
        panel.client.send(message if isinstance(message, bytes) else json.dumps(message))
    panel._number += 1
    marker = (1 << 31) + panel._number
    panel.client.send(json.dumps({"id": marker, "list": "/"}))
    while True:
        answer = panel.client.recv(timeout=20)
        if isinstance(answer, str) and (told := json.loads(answer)).get("id") == marker and "entries" in told:
            break
