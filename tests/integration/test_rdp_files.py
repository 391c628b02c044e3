"""Files for RDP clients: a session ticket that comes again while its session lives, and no longer."""

from dataclasses import replace
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet

from portico.displays.rdp import Rdp
from portico.errors import Conflict, NotFound, Unauthenticated, Unavailable
from portico.services import connect, endings, gateways, rdp_files, release
from portico.services.connect import Connecting
from portico.services.sessions import SignedIn
from portico.store import tables as t

pytestmark = pytest.mark.capability("S014", "S052", "S068")


def with_rdp(fleet: Fleet, protocol: str = "rdp") -> tuple[SignedIn, Connecting, Any]:
    """A person with a connection to a desktop that speaks RDP, and a gateway."""
    for row in fleet.desktops(1):
        fleet.change(t.desktops, row.id, protocols={"vnc": 5900, "rdp": 3389})
    line = fleet.line(fleet.pool())
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, protocol)
    assert isinstance(got, Connecting)
    return me, got, fleet.gateway()


def make(fleet: Fleet, me: SignedIn, connection_id: str) -> dict[str, Any]:
    return rdp_files.make(replace(fleet.broker, displays={"rdp": Rdp()}), me, connection_id)


def setting(text: str, name: str) -> str:
    return next(line.split(":", 2)[2] for line in text.split("\r\n") if line.startswith(f"{name}:"))


def redeem(fleet: Fleet, gateway: Any, ticket: str, address: str = "203.0.113.9") -> dict[str, Any]:
    return gateways.redeem(fleet.broker, gateway, {"ticket": ticket, "client_address": address})


def test_the_file_leads_through_the_gateway_and_is_signed(fleet: Fleet) -> None:
    """Gateway and target are the portal's name, the cookie is a ticket that opens this connection, and no password is there."""
    me, got, gateway = with_rdp(fleet)
    made = make(fleet, me, got.id)
    text = made["text"]
    assert setting(text, "gatewayhostname").startswith(setting(text, "full address"))
    assert setting(text, "gatewaycredentialssource") == "5" and setting(text, "gatewayusagemethod") == "1"
    assert "password" not in text.lower() and "signature:s:" in text
    assert made["name"].endswith(".rdp")
    grant = redeem(fleet, gateway, setting(text, "gatewayaccesstoken"))
    assert (grant["connection"], grant["protocol"], grant["target"]["port"]) == (got.id, "rdp", 3389)


def test_it_is_good_again_from_the_same_address_alone(fleet: Fleet) -> None:
    """A client that reconnects comes in, hours later too; somebody else with a copy does not."""
    me, got, gateway = with_rdp(fleet)
    ticket = setting(make(fleet, me, got.id)["text"], "gatewayaccesstoken")
    redeem(fleet, gateway, ticket)
    closed = {"kind": "closed", "connection": got.id, "sequence": 1, "reason": "browser.left"}
    gateways.report(fleet.broker, gateway, {"boot_id": "a", "events": [closed], "live": []})
    fleet.clock.forward(3600)
    assert redeem(fleet, gateway, ticket)["connection"] == got.id
    with pytest.raises(Conflict):
        redeem(fleet, gateway, ticket, "198.51.100.1")


def test_it_must_be_opened_in_time(fleet: Fleet) -> None:
    """Five minutes and the clocks' skew, then the first use is refused."""
    me, got, gateway = with_rdp(fleet)
    ticket = setting(make(fleet, me, got.id)["text"], "gatewayaccesstoken")
    fleet.clock.forward(331)
    with pytest.raises((Unauthenticated, Conflict)):
        redeem(fleet, gateway, ticket)


def test_nobody_comes_back_after_a_release_or_an_administrators_end(fleet: Fleet) -> None:
    """The ticket was good; its session has ended for a reason that somebody wanted."""
    me, got, gateway = with_rdp(fleet)
    ticket = setting(make(fleet, me, got.id)["text"], "gatewayaccesstoken")
    redeem(fleet, gateway, ticket)
    with fleet.broker.db.write() as conn:
        endings.close_connections(fleet.broker, conn, got.assignment_id, "closed.by_administrator")
    with pytest.raises(gateways.Gone):
        redeem(fleet, gateway, ticket)
    release.release(fleet.broker, me, got.assignment_id)
    with pytest.raises(gateways.Gone):
        redeem(fleet, gateway, ticket)


def test_only_ones_own_rdp_connection_has_a_file(fleet: Fleet) -> None:
    """Somebody else's is not found, another protocol has none, and without a gateway there is none."""
    me, got, _ = with_rdp(fleet, "vnc")
    with pytest.raises(Conflict, match="RDP"):
        make(fleet, me, got.id)
    stranger = replace(me, user=replace(me.user, id=fleet.user("stranger"), login_name="stranger"))
    with pytest.raises(NotFound):
        make(fleet, stranger, got.id)
    mine = connect.connect(fleet.broker, me, f"a.{got.assignment_id}", CLIENT, "rdp")
    assert isinstance(mine, Connecting)
    fleet.clock.forward(31)
    with pytest.raises(Unavailable):
        make(fleet, me, mine.id)


def test_a_file_for_clients_without_rd_gateway(fleet: Fleet) -> None:
    """By the gateway's own port, with a token that is kept only as a hash, holds no credentials, and is good again from one address."""
    me, got, gateway = with_rdp(fleet)
    broker = replace(fleet.broker, displays={"rdp": Rdp()})
    with pytest.raises(Conflict, match="no port"):
        rdp_files.make(broker, me, got.id, by_port=True)
    assert not rdp_files.has_port(fleet.broker)
    fleet.change(t.gateways, gateway.id, load={"sessions": 0, "rdp_port": 3390}, public_url="https://gw.example:8445")
    assert rdp_files.has_port(fleet.broker)
    text = rdp_files.make(broker, me, got.id, by_port=True)["text"]
    assert setting(text, "full address") == "gw.example" and setting(text, "server port") == "3390"
    assert "gatewayhostname" not in text and "LoadBalanceInfo" in setting(text, "signscope")
    token = setting(text, "loadbalanceinfo").removeprefix("Cookie: msts=")
    assert token not in str(fleet.rows(t.tickets)) and len(token) <= 64
    for _ in range(2):
        grant = redeem(fleet, fleet.again(gateway), token)
        assert grant["credentials"] == {"username": "", "password": ""} and grant["connection"] == got.id
    with pytest.raises(Conflict):
        redeem(fleet, fleet.again(gateway), token, "203.0.113.10")
    with pytest.raises(Unauthenticated):
        redeem(fleet, fleet.again(gateway), "r.nothing")
    connect.disconnect(fleet.broker, me, got.id)
    with pytest.raises(gateways.Gone):
        redeem(fleet, fleet.again(gateway), token)
