"""What an instance learns of itself, from the shapes that Nova serves."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.metadata import UUID, Metadata, serving_metadata
from portico.agent import instance
from portico.agent.instance import find, hello_of
from portico.wire.agent import USER_DATA_MARK

pytestmark = pytest.mark.capability("S070")

META = {"portico:broker": "https://b", "portico:fingerprint": "f" * 64, "portico:token": "once", "role": "desk"}
HELLO = {"broker_url": "https://b", "ca_fingerprint": "f" * 64, "token": "once"}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No real service and no real drive is asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORTICO_AGENT_METADATA", f"127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("PORTICO_AGENT_CONFIG_DRIVE", str(tmp_path / "none"))


def test_the_service_says_who_the_instance_is_and_where_its_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """UUID, the entries that Portico wrote, and the public address."""
    with serving_metadata(Metadata(meta=META, public_address="198.51.100.7")) as where:
        monkeypatch.setenv("PORTICO_AGENT_METADATA", where)
        found = find()
    assert (found.uuid, found.source, found.public_address, found.hello) == (UUID, "metadata", "198.51.100.7", HELLO)
    assert (found.service, found.diagnosis) == ("answers", None)


def test_the_marked_line_of_user_data_says_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment in cloud-init, shell or PowerShell; entries of the metadata hold before it."""
    line = f"#cloud-config\n{USER_DATA_MARK} {json.dumps(HELLO | {'other': 'x', 'join_key': 7})}\npackages: [vim]\n"
    with serving_metadata(Metadata(user_data=line, meta={"portico:token": "newer"})) as where:
        monkeypatch.setenv("PORTICO_AGENT_METADATA", where)
        assert find().hello == HELLO | {"token": "newer"}
    assert hello_of({}, json.dumps({"portico": {"join_key": "k"}})) == {"join_key": "k"}


@pytest.mark.capability("S071")
def test_a_config_drive_stands_in_for_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same documents from a directory, and the diagnosis of why the service was not used."""
    drive = Metadata(meta=META, user_data="#!/bin/sh\n").write(tmp_path / "drive")
    monkeypatch.setenv("PORTICO_AGENT_CONFIG_DRIVE", str(drive))
    found = find()
    assert (found.uuid, found.source, found.hello) == (UUID, "config drive", HELLO)
    assert found.diagnosis is not None
    assert found.service == found.diagnosis.state != "answers"


@pytest.mark.capability("S071")
@pytest.mark.parametrize("status", [404, 500])
def test_a_service_that_knows_nothing_of_us_is_diagnosed(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Neutron answers so where the network has no router or the instance's port is unknown."""
    with serving_metadata(Metadata(status=status)) as where:
        monkeypatch.setenv("PORTICO_AGENT_METADATA", where)
        found = find()
    assert found.hello == {}
    assert found.diagnosis is not None
    assert found.diagnosis.fix


def test_the_firmware_knows_the_uuid_unless_its_maker_left_it_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All zeros and all ones are nobody's."""
    file = tmp_path / "product_uuid"
    monkeypatch.setattr(instance, "_DMI", str(file))
    for text, known in ((UUID.upper(), UUID), ("0" * 8, ""), ("00000000-0000-0000-0000-000000000000", ""),
                        ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "")):  # fmt: skip
        file.write_text(text + "\n")
        assert instance.firmware_uuid() == known
    file.write_text(UUID)
    found = find()
    assert (found.uuid, found.source) == (UUID, "firmware")


@given(st.text(max_size=200), st.dictionaries(st.text(max_size=20), st.none() | st.text() | st.integers()))
def test_whatever_stands_there_nothing_breaks(user_data: str, meta: dict[str, object]) -> None:
    """User data is somebody's program, metadata anything."""
    found = hello_of({"meta": meta}, f"{USER_DATA_MARK}{user_data}")
    assert all(isinstance(value, str) for value in found.values())
