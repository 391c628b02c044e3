"""The real agent, told of itself by the real Nova: what an instance sees at 169.254.169.254, without the instance.

Between an instance and Nova stands Neutron's proxy, which says in signed headers whose question it is. Here the test does so.
"""

import base64
import hashlib
import hmac
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.brokers import actor
from tests.fleet import CENTER, Fleet, make_fleet
from tests.lab.facts import Facts
from tests.lab.places import ADDRESS, PASSWORD, PORTS
from tests.lab.rest import Cloud
from tests.lab.rest import until as settled
from tests.serving import serving

from doubles.agents import Machine, until
from portico.clouds.openstack import OpenStack
from portico.domain import user_data
from portico.services import provision, specs, waiting
from portico.store import desktops
from portico.store import tables as t

pytestmark = pytest.mark.capability("S070", "S077")


class _Proxy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        headers: dict[str, str] = self.server.signed  # type: ignore[attr-defined]
        nova = http.client.HTTPConnection(ADDRESS, PORTS["nova-metadata"], timeout=60)
        nova.request("GET", self.path, headers=headers)
        answer = nova.getresponse()
        content = answer.read()
        nova.close()
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def neutron_proxy(server: str, project: str, address: str) -> Iterator[str]:
    """Stand in for neutron-metadata-agent on the network of one instance; gives HOST:PORT."""
    signature = hmac.new(PASSWORD.encode(), server.encode(), hashlib.sha256).hexdigest()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    proxy.signed = {  # type: ignore[attr-defined]
        "X-Forwarded-For": address, "X-Instance-ID": server, "X-Tenant-ID": project, "X-Instance-ID-Signature": signature,
    }  # fmt: skip
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{proxy.server_address[1]}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join(30)


@pytest.fixture
def fleet(tmp_path: Path, lab: Facts) -> Iterator[Fleet]:
    """A deployment whose center is the lab's project."""
    made = make_fleet(tmp_path)
    config = replace(made.broker.config, egress_allow=("127.0.0.0/8",))
    made = Fleet(replace(made.broker, config=config, cloud_drivers={"openstack": OpenStack}), made.clock)
    settings = {"auth_url": lab.auth_url, "username": "broker", "password": lab.password, "project": "vdi"}
    made.change(t.centers, CENTER, kind="openstack", body={"full_pass_seconds": 0, "settings": settings})
    yield made
    made.broker.db.dispose()


@pytest.fixture
def url(fleet: Fleet, tmp_path: Path) -> Iterator[str]:
    """The broker's address."""
    with serving(fleet.broker, tmp_path) as address:
        yield address


def boot(cloud: Cloud, lab: Facts, name: str, **more: Any) -> dict[str, Any]:
    """Make a server and wait until it runs."""
    wanted = {"name": name, "flavorRef": lab.flavors["desktop.small"], "imageRef": lab.images["linux-desktop"],
              "networks": [{"uuid": lab.networks["vdi"]["desktops"]}], **more}  # fmt: skip
    server = cloud.post("compute", "/servers", {"server": wanted})["server"]["id"]

    def look() -> Any:
        seen = cloud.get("compute", f"/servers/{server}")["server"]
        return seen if seen["status"] == "ACTIVE" else None

    return dict(settled(f"{server} is built", look))


def address_of(server: dict[str, Any]) -> str:
    """Return a server's fixed address."""
    return str(next(iter(server["addresses"].values()))[0]["addr"])


def heard(fleet: Fleet, desktop_id: str, machine: Machine) -> Any:
    """Wait until the desktop's agent has reported."""
    rows = until(
        lambda: fleet.rows(t.agents, t.agents.c.desktop_id == desktop_id, t.agents.c.boot_id != ""),
        lambda: machine.log.read_text(),
    )
    return rows[0]


@pytest.mark.capability("S074", "S085")
@pytest.mark.parametrize("way", ["metadata", "user data"])
def test_a_server_of_nova_is_told_how_its_agent_enrols(
    lab: Facts, broker: Cloud, fleet: Fleet, url: str, tmp_path: Path, mark: str, way: str
) -> None:
    """By what Portico writes into the server's metadata, or by the marked line of the user data that it fills in."""
    pool = fleet.state_of(fleet.pool(image=lab.images["linux-desktop"]))
    made = specs.intent(fleet.broker, pool, specs.Named(mark, 1, {}, UTC), timedelta(minutes=30))
    desktop_id = made["id"]
    with fleet.broker.db.write() as conn:
        desktops.add(conn, [made | {"stage": "building"}])
        provision._expect_agent(fleet.broker, conn, made)
    token = provision._token(fleet.broker, fleet.rows(t.agents)[0])
    hello = {"broker_url": url, "ca_fingerprint": fleet.broker.keys.ca_fingerprint, "token": token}
    text = user_data.render("#cloud-config\n# portico-agent: {AGENT}\n", hello)
    names = {"broker_url": "portico:broker", "ca_fingerprint": "portico:fingerprint", "token": "portico:token"}
    more: dict[str, Any] = {"user_data": base64.b64encode(text.encode()).decode()}
    if way == "metadata":
        more = {"metadata": {names[key]: value for key, value in hello.items()}}
    server = boot(broker, lab, mark, **more)
    fleet.change(t.desktops, desktop_id, external_id=server["id"])
    machine = Machine(tmp_path / "m")
    with neutron_proxy(server["id"], lab.projects["vdi"], address_of(server)) as where, machine.told(where):
        row = heard(fleet, desktop_id, machine)
    assert (row.instance_id, row.token_hash) == (server["id"], None)
    assert "agent.no_metadata" not in fleet.codes()


def test_a_server_made_in_horizon_waits_and_is_found_by_its_uuid(
    lab: Facts, broker: Cloud, fleet: Fleet, url: str, tmp_path: Path, mark: str
) -> None:
    """The agent is quicker than the inventory; once the center lists the server, an administrator vouches for it."""
    server = boot(broker, lab, mark)
    machine = Machine(tmp_path / "m")
    machine.write(broker_url=url, ca_fingerprint=fleet.broker.keys.ca_fingerprint)
    with neutron_proxy(server["id"], lab.projects["vdi"], address_of(server)) as where:
        with machine.told(where):
            row = until(lambda: fleet.rows(t.waiting_agents), lambda: machine.log.read_text())[0]
        assert (row.instance_id, row.reason["code"], row.service) == (server["id"], "waiting.no_machine", "answers")
        fleet.scan()
        desktop = fleet.rows(t.desktops, t.desktops.c.external_id == server["id"])[0]
        assert desktop.address == address_of(server)
        fleet.clock.forward(waiting.FEWEST_SECONDS)
        with machine.told(where):
            until(lambda: fleet.rows(t.waiting_agents)[0].desktop_id, lambda: machine.log.read_text())
        assert (
            fleet.rows(t.waiting_agents)[0].reason["code"] == "waiting.address"
        )  # it asks from loopback, not from 10.…
        waiting.admit(fleet.broker, actor(fleet.broker), row.id)
        with machine.told(where):
            heard(fleet, desktop.id, machine)
    assert fleet.row(t.desktops, desktop.id).agent == "running"


def test_what_nova_serves_has_the_shapes_of_our_double(lab: Facts, broker: Cloud, mark: str) -> None:
    """The members that the agent reads, and 404 where there is no user data: the tests on loopback speak of the same thing."""
    server = boot(broker, lab, mark, metadata={"portico:token": "t"})
    with neutron_proxy(server["id"], lab.projects["vdi"], address_of(server)) as where:
        connection = http.client.HTTPConnection(where, timeout=60)

        def get(path: str) -> tuple[int, str]:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        status, text = get("/openstack/latest/meta_data.json")
        assert status == 200
        document = json.loads(text)
        assert (document["uuid"], document["meta"]) == (server["id"], {"portico:token": "t"})
        assert get("/openstack/latest/user_data")[0] == 404
        assert get("/latest/meta-data/public-ipv4") == (200, "")
        connection.close()
