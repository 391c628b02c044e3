"""What a center's machines have used, for whom it is reported, and how."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.brokers import actor, make_broker
from tests.integration.apis import Api
from tests.page_client import ORIGIN, log_in

from portico.clouds.static import Static
from portico.domain.access import Actor
from portico.errors import CloudRefused, Denied, Invalid, NotFound
from portico.ports.cloud import Capabilities, Usage
from portico.services import configure, usage
from portico.services.broker import Broker
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S004")


class Counted(Static):
    """A cloud that counts: an hour of one machine for each day."""

    kind = "openstack"

    def capabilities(self) -> Capabilities:
        return replace(super().capabilities(), usage=True)

    def usage(self, since: datetime, until: datetime) -> Usage:
        days = (until - since).days
        return Usage(since, until, 1, float(days), days * 2.0, days * 4.0, days * 10.0)


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return replace(make_broker(tmp_path), cloud_drivers={"openstack": Counted, "static": Static})


@pytest.fixture
def center(broker: Broker) -> str:
    made = configure.create_item(
        broker, actor(broker), "centers", {"name": "Customer", "kind": "openstack", "settings": {}}
    )
    return str(made["id"])


@pytest.fixture
def client(broker: Broker) -> Iterator[TestClient]:
    with TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


def test_each_month_is_asked_for_and_told_over_rest(broker: Broker, center: str) -> None:
    me = Api(broker).log_in("admin")
    told = me.call("GET", f"/centers/{center}/usage?months=3").json()["months"]
    assert len(told) == 3
    assert told[1]["until"] == told[0]["since"]
    assert told[1]["hours"] in (28, 29, 30, 31)
    assert told[1]["core_hours"] == 2 * told[1]["hours"]
    wrong = me.call("GET", f"/centers/{center}/usage?months=0")
    assert wrong.status_code == 422
    assert "months" in wrong.text


def test_it_is_told_to_who_may_see_the_center_alone(broker: Broker, center: str) -> None:
    admin = actor(broker)
    with pytest.raises(NotFound):
        usage.by_month(broker, replace(admin, tenant_id="another"), center)
    nobody = actor(broker, "user")
    assert isinstance(nobody, Actor)
    with pytest.raises(Denied):
        usage.by_month(broker, nobody, center)
    with pytest.raises(Invalid):
        usage.by_month(broker, admin, center, 25)


def test_a_center_that_does_not_count_says_so(broker: Broker) -> None:
    made = configure.create_item(broker, actor(broker), "centers", {"name": "Plain", "kind": "static", "settings": {}})
    with pytest.raises(CloudRefused):
        usage.by_month(broker, actor(broker), made["id"])


def test_the_page_of_a_center_shows_the_months(client: TestClient, broker: Broker, center: str) -> None:
    log_in(client)
    assert f"/admin/centers/{center}?usage=1" in client.get(f"/admin/centers/{center}").text
    text = client.get(f"/admin/centers/{center}?usage=1").text
    assert text.count('<th scope="row"') == 6
    assert "so far" in text
