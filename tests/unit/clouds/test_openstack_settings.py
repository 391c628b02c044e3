"""The form of an OpenStack center: what is refused before anything is sent, and a clouds.yaml in its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.clouds.openstack_clouds_yaml import effective
from portico.clouds.openstack_settings import AUTH_TYPES, CLOUDS_YAML, OpenStackSettings, keystone_url
from portico.errors import Invalid
from portico.services.driver_settings import check_settings, secret_names

GOOD: dict[str, Any] = {
    "auth_url": "https://cloud.example:5000/v3", "username": "broker", "password": "secret", "project": "vdi",
}  # fmt: skip
YAML = """
clouds:
  one:
    auth: {auth_url: "https://one.example/identity", username: u, password: pw, project_name: p, user_domain_name: Staff,
           project_domain_id: "0123456789abcdef0123456789abcdef"}
    region_name: North
    interface: internal
  two:
    auth_type: v3applicationcredential
    auth: {auth_url: "https://two.example/v3", application_credential_id: abc, application_credential_secret: def}
"""


def wrong(**values: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as trouble:
        effective(OpenStackSettings(**{**GOOD, **values}))
    return trouble.value.fields


@pytest.mark.capability("S086", "S087")
@pytest.mark.parametrize("path", ["/v3", "/v3/", "/v3.0", "/v3.0/", "/identity/v3", "", "/", "/identity"])
def test_keystone_three_is_named_in_many_ways(path: str) -> None:
    """/v3, /v3.0, a trailing slash and a bare address are taken; what names no version is asked for it."""
    OpenStackSettings(**{**GOOD, "auth_url": f"https://cloud.example:5000{path}"})
    url, named = keystone_url(f"https://cloud.example:5000{path}")
    assert named is ("v3" in path)
    assert url.endswith("/v3") is named
    assert not url.endswith("/")


@pytest.mark.capability("S087")
@pytest.mark.parametrize("path", ["/v2.0", "/v2.0/", "/v2", "/v1", "/v4", "/v3.14", "/V2.0", "/identity/v2.0"])
def test_other_versions_of_keystone_are_refused_by_the_field(path: str) -> None:
    """The error names the field, the version that was typed and the one that is spoken."""
    fields = wrong(auth_url=f"https://cloud.example:5000{path}")
    assert "version 3" in fields["auth_url"]
    assert path.strip("/").split("/")[-1] in fields["auth_url"]


@pytest.mark.capability("S086")
def test_each_field_that_is_missing_is_named() -> None:
    """All of them at once, for each way to log in."""
    with pytest.raises(Invalid) as trouble:
        OpenStackSettings()
    assert set(trouble.value.fields) == {"auth_url", "project", "username", "password"}
    for kind in AUTH_TYPES:
        with pytest.raises(Invalid) as trouble:
            OpenStackSettings(auth_type=kind)
        assert all(sentence.endswith(".") for sentence in trouble.value.fields.values())
    assert set(wrong(create_parallelism=0, read_seconds=1, page_size=0, access_from="10.0.0.1/8")) == {
        "create_parallelism", "read_seconds", "page_size", "access_from",
    }  # fmt: skip
    assert "settings.interface" in check_settings(OpenStackSettings, {**GOOD, "interface": "secret"})
    assert "settings.password" in check_settings(OpenStackSettings, {**GOOD, "password": ""})
    assert check_settings(OpenStackSettings, GOOD) == {}


@pytest.mark.capability("S086")
def test_secrets_are_sealed_and_never_shown() -> None:
    """Every secret is one by type, and stands in no text of the settings."""
    assert secret_names(OpenStackSettings) == {
        "password", "application_credential_secret", "clouds_yaml", "client_secret",
    }  # fmt: skip
    assert "secret" not in repr(OpenStackSettings(**GOOD)).replace("_secret", "")


@pytest.mark.capability("S086")
def test_a_clouds_yaml_takes_the_place_of_the_fields() -> None:
    """The named entry is read: credentials, domains, region, interface."""
    one = effective(OpenStackSettings(auth_type=CLOUDS_YAML, clouds_yaml=YAML, cloud_name="one"))
    assert (one.auth_url, one.username, one.password, one.project) == ("https://one.example/identity", "u", "pw", "p")
    assert (one.domain, one.project_domain, one.region, one.interface) == (
        "Staff", "0123456789abcdef0123456789abcdef", "North", "internal",
    )  # fmt: skip
    two = effective(OpenStackSettings(auth_type=CLOUDS_YAML, clouds_yaml=YAML, cloud_name="two"))
    assert (two.auth_type, two.application_credential_id) == ("application credential", "abc")


@pytest.mark.capability("S086")
@pytest.mark.parametrize(
    ("text", "name", "field", "word"),
    [
        (YAML, "", "cloud_name", "one, two"),
        (YAML, "three", "cloud_name", "one, two"),
        ("clouds: {}", "", "clouds_yaml", "clouds"),
        ("[", "", "clouds_yaml", "YAML"),
        ("!!python/object/apply:os.system [id]", "", "clouds_yaml", "YAML"),
        ("just words", "", "clouds_yaml", "clouds"),
        ("clouds: {a: {auth: {auth_url: 'https://c/v3', username: u, project_name: p}}}", "", "clouds_yaml", "password"),
        ("clouds: {a: {auth: {auth_url: 'https://c/v2.0', username: u, password: x, project_name: p}}}", "", "clouds_yaml", "version 3"),
        ("clouds: {a: {verify: false, auth: {}}}", "", "clouds_yaml", "certificates"),
        ("clouds: {a: {cacert: /etc/ca.pem, auth: {}}}", "", "ca_certificates", "Paste"),
        ("clouds: {a: {auth_type: v3kerberos, auth: {}}}", "", "clouds_yaml", "v3kerberos"),
        ("clouds: {a: {profile: rackspace}}", "", "clouds_yaml", "auth"),
    ],
)  # fmt: skip
def test_a_clouds_yaml_that_cannot_be_used_says_what_is_wrong(text: str, name: str, field: str, word: str) -> None:
    """Every mistake is a sentence for its field; the check of certificates cannot be switched off."""
    with pytest.raises(Invalid) as trouble:
        effective(OpenStackSettings(auth_type=CLOUDS_YAML, clouds_yaml=text, cloud_name=name))
    assert word in trouble.value.fields[field]


@pytest.mark.capability("S086")
@given(st.text(min_size=1, max_size=200))
def test_any_text_as_clouds_yaml_is_read_or_refused(text: str) -> None:
    """No exception but ours."""
    try:
        effective(OpenStackSettings(auth_type=CLOUDS_YAML, clouds_yaml=text))
    except Invalid as trouble:
        assert trouble.fields
