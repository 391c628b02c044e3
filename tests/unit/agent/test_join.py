"""Whom an agent believes about its broker, and that a copy of a machine is not taken for the machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from doubles.metadata import UUID, Metadata, serving_metadata
from portico.agent import config, instance
from portico.agent.config import BadSettings, Settings, load
from portico.agent.join import Admission, Way, settle
from portico.agent.state import State

pytestmark = pytest.mark.capability("S070", "S077")

F, G = "f" * 64, "0" * 64
OTHER = "11111111-2222-3333-4444-555555555555"


def settings(folder: Path, **values: Any) -> Settings:
    """Read settings as they stand in a file."""
    file = folder / "agent.json"
    file.write_text(json.dumps({"state": str(folder / "state.json"), **values}))
    return load(str(file))


def test_what_the_file_says_holds_before_metadata(tmp_path: Path) -> None:
    """A bound image cannot be led elsewhere, and another deployment's token is not sent to its broker."""
    bound = settings(tmp_path, broker_url="https://mine", ca_fingerprint=F)
    theirs = {"broker_url": "https://theirs", "ca_fingerprint": G, "token": "t", "join_key": "k"}
    assert settle(bound, theirs) == Way("https://mine", F, "", "")
    assert settle(bound, {"token": "t"}) == Way("https://mine", F, "t", "")
    assert settle(bound, theirs | {"ca_fingerprint": F}) == Way("https://mine", F, "t", "k")


def test_an_unbound_image_believes_metadata_as_a_whole(tmp_path: Path) -> None:
    """Address and fingerprint come together, or not at all."""
    free = settings(tmp_path, join_key="own")
    hello = {"broker_url": "https://theirs", "ca_fingerprint": G, "token": "t"}
    assert settle(free, hello) == Way("https://theirs", G, "t", "own")
    for broken in (
        {},
        {"broker_url": "https://theirs"},
        hello | {"ca_fingerprint": "12"},
        hello | {"broker_url": "http://x"},
    ):
        assert settle(free, broken) is None


def test_settings_that_name_half_a_broker_are_refused(tmp_path: Path) -> None:
    """So are those that name none and forbid to ask."""
    for values in ({"broker_url": "https://mine"}, {"metadata": False}, {"broker_url": "ftp://x", "ca_fingerprint": F}):
        with pytest.raises(BadSettings):
            settings(tmp_path, **values)
    assert config.fingerprint(":".join(["AB"] * 32)) == "ab" * 32


@pytest.mark.parametrize("moved", [False, True])
def test_a_copy_of_an_enrolled_machine_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    """An image that was made of a desktop holds its credentials: on another machine they are forgotten, on the same kept."""
    file = tmp_path / "product_uuid"
    file.write_text(OTHER if moved else UUID)
    monkeypatch.setattr(instance, "_DMI", str(file))
    monkeypatch.setenv("PORTICO_AGENT_METADATA", "127.0.0.1:1")
    monkeypatch.setenv("PORTICO_AGENT_CONFIG_DRIVE", str(Metadata(uuid=OTHER if moved else UUID).write(tmp_path / "d")))
    known = settings(tmp_path, broker_url="https://mine", ca_fingerprint=F)
    state = State(known.state)
    boot = state.boot_id
    state.enrolled({"bearer": "secret"}, {"uuid": UUID, "firmware": UUID})
    state.expect("vnc", "ada")
    again = State(known.state)
    Admission(known, again)
    assert (again.credentials.get("bearer"), again.users()) == ((None, {}) if moved else ("secret", {"vnc": "ada"}))
    assert (again.boot_id == boot) is not moved


def test_an_enrolled_agent_asks_for_its_public_address_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tells how it reaches the service; where the settings forbid it, nothing is asked."""
    file = tmp_path / "product_uuid"
    file.write_text(UUID)
    monkeypatch.setattr(instance, "_DMI", str(file))
    metadata = Metadata(public_address="198.51.100.7")
    with serving_metadata(metadata) as where:
        monkeypatch.setenv("PORTICO_AGENT_METADATA", where)
        for asks in (True, False):
            known = settings(tmp_path, broker_url="https://mine", ca_fingerprint=F, metadata=asks)
            state = State(known.state)
            state.enrolled({"bearer": "secret"}, {"uuid": UUID, "firmware": UUID})
            metadata.asked.clear()
            told = Admission(known, state).facts()
            assert (told["metadata"], told["public_address"]) == (("answers", "198.51.100.7") if asks else ("", ""))
            assert bool(metadata.asked) is asks


def test_the_secret_of_a_waiting_agent_outlives_a_restart_and_ends_with_admission(tmp_path: Path) -> None:
    """The broker knows it again by it; once admitted, another one is made for the next time."""
    path = str(tmp_path / "state.json")
    first = State(path).join_secret()
    state = State(path)
    assert state.join_secret() == first
    assert len(first) >= 32
    state.enrolled({"bearer": "b"}, {})
    assert state.join_secret() != first
