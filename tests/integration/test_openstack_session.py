"""The session with a cloud under faults that real services do not produce to order."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.small_cloud import SmallCloud, small_cloud
from doubles.tls_relay import tls_relay
from portico.clouds import openstack_choices, openstack_scan
from portico.clouds.openstack_session import Api, api_for
from portico.clouds.openstack_settings import OpenStackSettings
from portico.errors import CloudError, CloudRefused

LOOPBACK = ("127.0.0.0/8",)


@pytest.fixture
def cloud() -> Iterator[SmallCloud]:
    with small_cloud() as running:
        yield running


def settings(url: str, **values: Any) -> OpenStackSettings:
    return OpenStackSettings(**{"auth_url": f"{url}/v3", "username": "u", "password": "p", "project": "vdi", **values})


def api(cloud: SmallCloud, waits: list[float] | None = None, **values: Any) -> Api:
    return Api(settings(cloud.url, **values), LOOPBACK, wait=(waits if waits is not None else []).append)


@pytest.mark.capability("S090")
@pytest.mark.parametrize("status", [409, 429, 500, 502, 503, 504])
def test_a_storm_is_outwaited_by_calls_that_may_be_repeated(cloud: SmallCloud, status: int) -> None:
    """A GET is sent again, each time later and not to the moment; then the cloud's sentence is the error."""
    waits: list[float] = []
    cloud.lay_out(status, status, 200, body={"servers": []})
    assert api(cloud, waits).get("compute", "/servers") == {"servers": []}
    assert len(waits) == 2
    assert waits[0] < waits[1]
    cloud.lay_out(*[status] * 4)
    with pytest.raises(CloudError) as trouble:
        api(cloud, waits).get("compute", "/servers")
    assert "request req-" in trouble.value.detail
    assert len(cloud.asked) == 3 + 4


@pytest.mark.capability("S090")
def test_the_wait_that_the_cloud_asks_for_is_kept_unless_it_is_too_long(cloud: SmallCloud) -> None:
    """A short Retry-After is waited for; a long one is handed on to whoever plans the next try."""
    waits: list[float] = []
    cloud.lay_out(429, headers={"Retry-After": "12"})
    api(cloud, waits).get("compute", "/servers")
    assert waits == [12]
    cloud.lay_out(503, headers={"Retry-After": "600"})
    with pytest.raises(CloudError) as trouble:
        api(cloud, waits).get("compute", "/servers")
    assert trouble.value.retry_after == 600
    assert waits == [12]


@pytest.mark.capability("S090")
def test_what_makes_something_is_sent_once(cloud: SmallCloud) -> None:
    """A POST is repeated only where its caller says so, and only where the service turned it away unread."""
    cloud.lay_out(503)
    with pytest.raises(CloudError):
        api(cloud).post("compute", "/servers", {})
    cloud.lay_out(503, 202)
    api(cloud).post("compute", "/servers", {}, again=True)
    cloud.lay_out(500)
    with pytest.raises(CloudError):
        api(cloud).post("compute", "/servers", {}, again=True)
    assert len(cloud.asked) == 1 + 2 + 1


@pytest.mark.capability("S090")
def test_a_token_that_ends_in_mid_pass_is_replaced_once(cloud: SmallCloud) -> None:
    """The pass goes on with a new token; a cloud that refuses that one too is not asked for ever."""
    used = api(cloud)
    used.get("compute", "/servers")
    cloud.refuse_token = "token-1"
    used.get("compute", "/servers")
    assert cloud.logins == 2
    cloud.refuse_token = "token-2"
    cloud.asked.clear()
    used.get("image", "/images")
    assert (cloud.logins, len(cloud.asked)) == (3, 2)


@pytest.mark.capability("S090")
def test_tokens_are_shared_by_the_calls_of_a_process(cloud: SmallCloud) -> None:
    """A driver object lives for one call; the log-in does not. Other settings are another session. Threads share it as well."""
    mine = settings(cloud.url)
    threads = [threading.Thread(target=lambda: api_for(mine, LOOPBACK).get("compute", "/servers")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cloud.logins == 1
    api_for(settings(cloud.url, password="other"), LOOPBACK).get("compute", "/servers")
    assert cloud.logins == 2


@pytest.mark.capability("S086")
def test_no_address_out_of_a_catalogue_is_reached_that_may_not_be_typed(cloud: SmallCloud) -> None:
    """A catalogue that leads to the metadata service, and a redirect that leads anywhere, are not followed."""
    cloud.catalog["image"] = "http://169.254.169.254/latest"
    with pytest.raises(CloudRefused, match=r"169\.254\.169\.254"):
        api(cloud).get("image", "/images")
    cloud.lay_out(302, headers={"Location": "http://169.254.169.254/"})
    with pytest.raises(CloudError, match="redirect"):
        api(cloud).get("compute", "/servers")
    with pytest.raises(CloudRefused, match="egress_allow"):
        Api(settings(cloud.url)).get("compute", "/servers")


@pytest.mark.capability("S089", "S108")
def test_a_page_that_fails_leaves_no_list(cloud: SmallCloud) -> None:
    """A pass with a hole raises: nothing can be taken for deleted that was only not listed."""
    server = {"id": "1", "name": "n", "status": "ACTIVE", "addresses": {}}
    link = {"servers": [server], "servers_links": [{"rel": "next", "href": "http://elsewhere/"}]}
    cloud.lay_out(200, body=link)
    cloud.lay_out(*[500] * 4)
    with pytest.raises(CloudError):
        openstack_scan.scan(api(cloud))
    cloud.lay_out(200, 200, body=link)
    assert [one["id"] for one in api(cloud).pages("compute", "/servers/detail", "servers")] == ["1"]
    cloud.lay_out(200, body={"servers": [server, {"id": "2", "status": "UNKNOWN"}]})
    found = openstack_scan.scan(api(cloud))
    assert ([one.external_id for one in found.machines], found.complete) == (["1"], False)


@pytest.mark.capability("S108")
def test_a_cloud_without_cinder_has_an_empty_menu() -> None:
    """Only images, flavors and networks are needed."""
    with small_cloud("compute", "image", "network") as cloud:
        assert openstack_choices.choices(api(cloud)).volume_types == ()
    with small_cloud("compute", "image") as cloud, pytest.raises(CloudRefused, match="Neutron"):
        openstack_choices.choices(api(cloud))


@pytest.mark.capability("S086")
def test_a_certificate_is_verified_by_the_authority_that_was_pasted(cloud: SmallCloud, tmp_path: Path) -> None:
    """An unknown authority, an expired certificate and another name's are refused, each in words; the pasted one is taken."""
    host, port = "127.0.0.1", int(cloud.url.rpartition(":")[2])
    with tls_relay((host, port), tmp_path) as relay:
        url = f"https://127.0.0.1:{relay.port}"
        with pytest.raises(CloudError, match=r"self-signed certificate.*CA certificates"):
            Api(settings(url), LOOPBACK).get("compute", "/servers")
        Api(settings(url, ca_certificates=relay.pem), LOOPBACK).get("compute", "/servers")
    with tls_relay((host, port), tmp_path, days=-1) as relay, pytest.raises(CloudError, match="expired"):
        url = f"https://127.0.0.1:{relay.port}"
        Api(settings(url, ca_certificates=relay.pem), LOOPBACK).get("compute", "/servers")
    with (
        tls_relay((host, port), tmp_path, address="127.0.0.2") as relay,
        pytest.raises(CloudError, match="cannot be verified"),
    ):
        url = f"https://127.0.0.1:{relay.port}"
        Api(settings(url, ca_certificates=relay.pem), LOOPBACK).get("compute", "/servers")


@pytest.mark.capability("S086")
def test_a_service_that_is_away_or_silent_is_told_from_one_that_refuses(cloud: SmallCloud) -> None:
    """Nobody there, and nobody who answers in time: both say where."""
    with pytest.raises(CloudError, match=r"127\.0\.0\.1:9 cannot be reached"):
        Api(settings("http://127.0.0.1:9"), LOOPBACK).get("compute", "/servers")
    used = api(cloud)
    used.service("compute")
    held = threading.Event()
    slow = threading.Thread(target=held.wait, daemon=True)
    slow.start()
    begun = time.monotonic()
    cloud.answers = _Never(held)  # type: ignore[assignment]
    with pytest.raises(CloudError, match="did not answer in time") as trouble:
        used.post("compute", "/servers", {}, timeout=0.2)
    held.set()
    assert time.monotonic() - begun < 60
    assert trouble.value.params["outcome"] == "unknown"


class _Never(list[Any]):
    """Answers that do not come before an event."""

    def __init__(self, held: threading.Event) -> None:
        super().__init__([None])
        self._held = held

    def pop(self, index: Any = -1) -> Any:
        self._held.wait(60)
        return (200, {}, {})
