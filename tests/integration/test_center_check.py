"""A center's form and pre-flight: secrets of several lines, what is found after saving, and what is mended at a word."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from starlette.testclient import TestClient
from tests.brokers import actor, make_broker
from tests.integration.apis import Api
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.clouds.openstack import OpenStack
from portico.clouds.static import Static
from portico.errors import CloudRefused
from portico.ports.cloud import Finding, Meta
from portico.services import centers, configure
from portico.services.broker import Broker
from portico.web.app import create_app


@dataclass(frozen=True)
class Settings:
    """Settings with a secret of several lines."""

    url: Annotated[str, Meta("URL")] = ""
    file: Annotated[str, Meta("File", secret=True, multiline=True)] = ""
    depth: Annotated[int, Meta("Depth", advanced=True)] = 1


class Leaky(Static):
    """A cloud with one thing to mend."""

    kind: ClassVar[str] = "leaky"
    Settings: ClassVar[type] = Settings
    mended: ClassVar[list[str]] = []

    def __init__(self, settings: Settings, context: Any) -> None:
        self.settings = settings

    def check(self) -> tuple[Finding, ...]:
        if self.settings.url == "away":
            raise CloudRefused("Keystone does not know broker with this password.")
        state = (
            ("granted", "", "") if self.mended else ("warning", "Let Portico add the rules.", "security_group_rules")
        )
        return (
            Finding("compute:create", "missing", "Give the user a role.", "rights", "os_compute_api:servers:create"),
            Finding("compute:stop", "unknown", "It shows later.", "rights"),
            Finding("default security group", state[0], state[1], "network", "closed: SSH 22", state[2]),
        )

    def mend(self, fix: str) -> None:
        if fix != "security_group_rules":
            raise CloudRefused("Portico cannot mend this by itself.", fix)
        self.mended.append(fix)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    drivers = {"leaky": Leaky, "openstack": OpenStack}
    yield replace(make_broker(tmp_path), cloud_drivers=drivers)
    Leaky.mended.clear()


@pytest.fixture
def client(broker: Broker) -> Iterator[TestClient]:
    with TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


def typed(client: TestClient, kind: str, **values: str) -> dict[str, str]:
    """Return the form of a new center as it is shown, with these settings typed in."""
    page = Page(client.get(f"/admin/centers/new?kind={kind}").text)
    shown = {str(one["name"]): str(one.get("value") or "") for one in page.all("input") if one.get("name")}
    shown |= {"settings.auth_type": "password", "settings.interface": "public"} if kind == "openstack" else {}
    return shown | {"name": "Here", "kind": kind} | {f"settings.{name}": value for name, value in values.items()}


@pytest.mark.capability("S063")
def test_saving_a_center_shows_what_is_found(client: TestClient, broker: Broker) -> None:
    """The save is answered by the page with its pre-flight, grouped, with remedies; what does not answer does not block it."""
    csrf = log_in(client)
    form = typed(client, "leaky", url="x", file="one\r\ntwo", depth="2") | {"csrf": csrf}
    made = client.post("/admin/centers/new", data=form, headers=SAME)
    assert made.status_code == 303, made.text
    location = made.headers["location"]
    assert location.endswith("?done=created&check=1")
    text = client.get(location).text
    for words in (
        "Rights",
        "compute:create",
        "Missing",
        "os_compute_api:servers:create",
        "Give the user a role.",
        "Unknown",
        "closed: SSH 22",
    ):
        assert words in text
    center = location.partition("?")[0]
    assert "one\ntwo" not in client.get(f"{center}?tab=settings").text
    saved = client.post(f"{center}/edit", data={**form, "settings.file": "", "settings.url": "away"}, headers=SAME)
    assert saved.headers["location"].endswith("?done=saved&check=1")
    assert "does not know broker" in client.get(saved.headers["location"]).text


@pytest.mark.capability("S063", "S065")
def test_what_can_be_mended_has_a_button_that_mends_it(client: TestClient, broker: Broker) -> None:
    """It is done once asked for, told in the log, and what is found afterwards is shown."""
    csrf = log_in(client)
    made = configure.create_item(broker, actor(broker), "centers", {"name": "Here", "kind": "leaky", "settings": {}})
    page = Page(client.get(f"/admin/centers/{made['id']}?check=1").text)
    action = next(form["action"] or "" for form in page.all("form") if (form.get("action") or "").endswith("/mend"))
    answer = client.post(action, data={"csrf": csrf, "fix": "security_group_rules"}, headers=SAME)
    assert answer.headers["location"].endswith("?check=1&done=mended")
    assert "/mend" not in client.get(answer.headers["location"]).text
    assert "had the center" in client.get("/admin/events").text


@pytest.mark.capability("S063", "S065")
def test_check_and_mend_over_rest(broker: Broker) -> None:
    """Findings with their fix; mending by its name; a fix that is none, or missing, is told."""
    me = Api(broker).log_in("admin")
    made = configure.create_item(broker, actor(broker), "centers", {"name": "Here", "kind": "leaky", "settings": {}})
    found = me.call("POST", f"/centers/{made['id']}/check").json()["findings"]
    assert {one["group"] for one in found} == {"rights", "network"}
    assert [one["fix"] for one in found if one["fix"]] == ["security_group_rules"]
    assert me.call("POST", f"/centers/{made['id']}/mend", {"fix": "security_group_rules"}).status_code == 204
    assert me.call("POST", f"/centers/{made['id']}/mend", {"fix": "nothing"}).status_code in (409, 503)
    assert me.call("POST", f"/centers/{made['id']}/mend", {}).status_code == 422
    kinds = {one["kind"]: one for one in me.call("GET", "/centers/kinds").json()["items"]}
    fields = {one["name"]: one for one in kinds["openstack"]["fields"]}
    assert fields["ca_certificates"]["multiline"]
    assert fields["password"]["type"] == "secret"


@pytest.mark.capability("S086", "S087")
def test_the_form_of_an_openstack_center(client: TestClient, broker: Broker) -> None:
    """The fields of the source document, files as areas, what is rarely needed folded away; a wrong address by its field."""
    csrf = log_in(client)
    text = client.get("/admin/centers/new?kind=openstack").text
    for name in ("auth_url", "domain", "project", "username", "password", "network", "region"):
        assert f'name="settings.{name}"' in text
    assert '<textarea class="area code" id="settings-clouds_yaml"' in text
    assert '<textarea class="area" id="settings-ca_certificates"' in text
    values = {"auth_url": "https://cloud.example:5000/v2.0", "project": "p", "username": "u", "password": "pw-typed"}
    form = typed(client, "openstack", **values) | {"csrf": csrf}
    answer = client.post("/admin/centers/new", data=form, headers=SAME)
    assert answer.status_code == 422
    assert "Portico speaks version 3 of Keystone, not v2.0" in answer.text
    assert "pw-typed" not in answer.text


@pytest.mark.capability("S063")
def test_every_center_is_checked_for_the_doctor(broker: Broker) -> None:
    """One that is away is a finding and does not hide the others."""
    for name, url in (("Away", "away"), ("Here", "x")):
        form = {"name": name, "kind": "leaky", "settings": {"url": url}}
        configure.create_item(broker, actor(broker), "centers", form)
    checked = {one.name: one.findings for one in centers.check_all(broker)}
    assert "does not know broker" in checked["center Away"][0].remedy
    assert len(checked["center Here"]) == 3
