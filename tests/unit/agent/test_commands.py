"""What the broker may ask of an agent about a server that it only knows the port of."""

import json
import socket
from pathlib import Path

import pytest

from portico.agent.commands import Hands
from portico.agent.config import BadSettings, load
from portico.agent.linux import Eyes, facts
from portico.agent.state import State

pytestmark = pytest.mark.capability("S077")


def test_a_server_that_only_its_port_is_known_of_is_told_of_and_prepared(tmp_path: Path) -> None:
    """xrdp in an image: people bring a password of their own, and no session of it is expected."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        file = tmp_path / "agent.json"
        values = {
            "broker_url": "https://b",
            "ca_fingerprint": "ab" * 32,
            "state": str(tmp_path / "s"),
            "protocols": {"rdp": port},
        }
        file.write_text(json.dumps(values))
        settings = load(str(file))
        state = State(settings.state)
        hands = Hands(settings, state, Eyes(settings), lambda: None)
        answer = hands.carry_out({"id": "1", "kind": "prepare", "protocol": "rdp", "user": "ada"})
        other = hands.carry_out({"id": "2", "kind": "prepare", "protocol": "vnc", "user": "ada"})
    assert answer == {
        "id": "1",
        "ok": True,
        "error": "",
        "port": port,
        "username": "ada",
        "password": "",
        "certificates": [],
    }
    assert (other["ok"], state.users()) == (False, {})
    assert facts(settings, 0, "10.0.0.5")["protocols"] == {"rdp": port}


@pytest.mark.parametrize("name", ["root", "", "a b", "x:y\nroot:z", "-a"])
def test_only_an_ordinary_account_is_given_passwords(tmp_path: Path, name: str) -> None:
    """The settings are refused, rather than a password given to somebody else."""
    file = tmp_path / "agent.json"
    file.write_text(json.dumps({"broker_url": "https://b", "ca_fingerprint": "ab" * 32, "rdp": {"account": name}}))
    with pytest.raises(BadSettings):
        load(str(file))
