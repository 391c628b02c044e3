"""One entry of a clouds.yaml becomes the settings of a center, and no other entry's secrets come along."""

from pathlib import Path

import pytest
import yaml

from portico.cli.clouds_yaml import settings
from portico.errors import Invalid

pytestmark = pytest.mark.capability("S085", "S086")

TEXT = """
clouds:
  mine:
    auth: {auth_url: "https://cloud.example:5000/v3", username: ada, project_name: desktops}
    cacert: %s
  theirs:
    auth: {auth_url: "https://other.example", password: not-to-be-seen}
"""


def test_one_entry_is_taken_with_its_secret_and_its_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("the certificate")
    (tmp_path / "clouds.yaml").write_text(TEXT % (tmp_path / "ca.pem"))
    (tmp_path / "secure.yaml").write_text("clouds: {mine: {auth: {password: sesame}}}")
    made = settings("mine", tmp_path / "clouds.yaml")
    assert (made["auth_type"], made["cloud_name"], made["ca_certificates"]) == (
        "clouds.yaml",
        "mine",
        "the certificate",
    )
    assert "not-to-be-seen" not in made["clouds_yaml"]
    (entry,) = yaml.safe_load(made["clouds_yaml"])["clouds"].values()
    assert entry["auth"] == {
        "auth_url": "https://cloud.example:5000/v3", "username": "ada", "project_name": "desktops", "password": "sesame",
    }  # fmt: skip
    assert "cacert" not in entry


@pytest.mark.parametrize("text", ["", "[]", "clouds: 5", "clouds: {a: b}", "{", "clouds: {other: {}}"])
def test_what_cannot_be_used_is_refused_with_the_remedy(tmp_path: Path, text: str) -> None:
    path = tmp_path / "clouds.yaml"
    path.write_text(text)
    with pytest.raises(Invalid):
        settings("mine", path)
    with pytest.raises(Invalid):
        settings("mine", tmp_path / "nowhere.yaml")
