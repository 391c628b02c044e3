"""Two tenants on the same addresses: each gateway reaches its own network alone, and takes nothing that is for the other."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet
from websockets.sync.client import connect as open_socket

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import wait_until
from doubles.namespaces import DESKTOP, Network, network
from doubles.processes import GatewayProcess
from portico.errors import Invalid, Unavailable
from portico.services import connect, gateways
from portico.services.connect import Connecting
from portico.store import tables as t
from portico.web.portal.connections import viewer_csp

pytestmark = pytest.mark.capability("S014", "S031", "S068", "S082")
ORIGIN = "https://portal.example"


class Tenant:
    """A tenant's network with its gateway in it, and the broker's end of the way there."""

    def __init__(self, folder: Path, there: Network, realm: str) -> None:
        self.network, self.realm = there, realm
        folder.mkdir()
        self.authority = Authority(folder)
        self.broker = BrokerDouble(self.authority, there.broker)
        self.broker.realm = realm
        self.broker.start()
        self.gateway = GatewayProcess(
            folder,
            self.broker,
            ORIGIN,
            gateway_listen=f"{there.gateway}:8445",
            forward_listen=there.gateway,
            may_reach=f"{DESKTOP}/32",
        )
        self.gateway.prefix = tuple(there.prefix)
        self.gateway.start(wait=False)
        wait_until(self._listens, "the gateway")

    def _listens(self) -> bool:
        with closing(socket.socket()) as probe:
            return probe.connect_ex((self.network.gateway, 8445)) == 0

    def forward(self, connection: str, realm: str, host: str = DESKTOP) -> dict[str, Any]:
        """Ask for a way to the desktop and return what the gateway says of it."""
        self.broker.tell(
            kind="forward", connection=connection, client=self.network.broker, host=host, realm=realm, mode="random_filtered",
            targets=[["tcp", 4000]], fixed=False,
        )  # fmt: skip
        return self.broker.wait_for(
            lambda: next((one for one in self.broker.events() if one["connection"] == connection), None)
        )

    def stop(self) -> None:
        self.gateway.stop()
        self.broker.stop()


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[tuple[Tenant, Tenant]]:
    with ExitStack() as stack:
        made = []
        for number, realm in enumerate(("north", "south")):
            made.append(Tenant(tmp_path / realm, stack.enter_context(network(number, realm)), realm))
            stack.callback(made[-1].stop)
        yield made[0], made[1]


def test_the_same_address_is_another_desktop_in_each_network(tenants: tuple[Tenant, Tenant]) -> None:
    """Each gateway leads to the one of its own tenant, and refuses what is for the other."""
    for tenant in tenants:
        told = tenant.forward("own", tenant.realm)
        with closing(socket.create_connection((tenant.network.gateway, told["ports"][0][1]), 10)) as client:
            client.sendall(b"hello")
            assert client.recv(100) == f"{tenant.realm} hello".encode()
        assert tenant.forward("foreign", "elsewhere")["reason"] == "forward.no_address"
    _, south = tenants
    south.broker.grant("c", "vnc", DESKTOP, 4000, {"username": ""})
    trust = ssl.create_default_context(cafile=str(south.authority.path))
    ticket = south.broker.ticket("c", realm="north")
    with open_socket(f"wss://{south.network.gateway}:8445/gw/vnc", ssl=trust, origin=ORIGIN) as client:  # type: ignore[arg-type]
        client.send(json.dumps({"ticket": ticket}))
        assert json.loads(client.recv(timeout=20))["error"] == "ticket.invalid"
    assert south.broker.redeemed == []


def test_a_gateway_connects_to_nothing_outside_of_its_own_ranges(tenants: tuple[Tenant, Tenant]) -> None:
    """Whatever a broker says: neither for a browser nor by a port."""
    north, _ = tenants
    assert north.forward("out", north.realm, north.network.gateway)["reason"] == "forward.no_address"
    north.broker.grant("out", "vnc", north.network.gateway, 4000, {"username": ""})
    trust = ssl.create_default_context(cafile=str(north.authority.path))
    with open_socket(f"wss://{north.network.gateway}:8445/gw/vnc", ssl=trust, origin=ORIGIN) as client:  # type: ignore[arg-type]
        client.send(json.dumps({"ticket": north.broker.ticket("out", realm=north.realm)}))
        assert json.loads(client.recv(timeout=20))["error"] == "desktop.unreachable"


def with_realm(fleet: Fleet, realm: str) -> tuple[Any, Connecting]:
    for row in fleet.desktops(1):
        fleet.change(t.desktops, row.id, realm=realm)
    line, me = fleet.line(fleet.pool()), fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    return me, got


def test_a_token_admits_a_gateway_of_its_realm(fleet: Fleet) -> None:
    """Which a center must have named; the gateway cannot choose it."""
    fleet.change(t.centers, "center", body={**fleet.row(t.centers, "center").body, "realm": "north"})
    admin = fleet.log_in().actor
    editor = type(admin)(
        admin.user_id, "admin", admin.tenant_id, type(admin.role)("r", admin.tenant_id, "a", areas={"gateways": "edit"})
    )
    with pytest.raises(Invalid):
        gateways.new_token(fleet.broker, editor, "west")
    token = gateways.new_token(fleet.broker, editor, "north")
    answer = gateways.enroll(fleet.broker, {"name": "gw", "token": token, "realm": "south"})
    assert answer["realm"] == "north" and fleet.row(t.gateways, answer["gateway_id"]).realm == "north"


def test_a_person_is_led_to_the_gateway_of_the_desktops_network(fleet: Fleet) -> None:
    """At its own address, where it has one; none is none, though another network's is there."""
    me, got = with_realm(fleet, "north")
    fleet.gateway("here")
    with pytest.raises(Unavailable):
        connect.ticket(fleet.broker, me, got.id)
    there = fleet.gateway("there", realm="north")
    assert connect.ticket(fleet.broker, me, got.id)["url"] == "/gw/vnc"
    fleet.change(t.gateways, there.id, public_url="https://north.example:8445")
    given = connect.ticket(fleet.broker, me, got.id)
    assert given["url"] == "https://north.example:8445/gw/vnc"
    grant = gateways.redeem(
        fleet.broker, fleet.again(there), {"ticket": given["ticket"], "client_address": "192.0.2.1"}
    )
    assert grant["target"]["realm"] == "north"


def test_the_viewers_page_may_speak_to_those_gateways_alone(fleet: Fleet) -> None:
    """And what a gateway says of itself puts nothing else into the policy."""
    from portico.services import reach

    gateway = fleet.gateway("there")
    assert reach.origins(fleet.broker) == ()
    fleet.change(t.gateways, gateway.id, public_url="https://north.example:8445/x")
    assert "connect-src 'self' wss://north.example:8445 data:;" in viewer_csp(reach.origins(fleet.broker))
    for evil in (
        "https://a.example; script-src *",
        "https://*",
        "http://a.example",
        "https://a.example 'unsafe-inline'",
        "javascript:1",
    ):
        fleet.change(t.gateways, gateway.id, public_url=evil)
        assert reach.origins(fleet.broker) == ()
