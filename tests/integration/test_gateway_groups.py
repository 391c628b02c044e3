"""Groups of gateways: written by whoever handles the tenants, named by plans, and held to when somebody is led to a desktop."""

from dataclasses import replace
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet

from portico.domain.access import Actor
from portico.domain.model import Client, Role
from portico.errors import Conflict, Denied, Invalid, Unavailable
from portico.services import configure, connect, gateways, reach
from portico.services.configure import Query
from portico.services.connect import Connecting
from portico.store import tables as t

pytestmark = pytest.mark.capability("S014", "S031", "S051", "S068", "S069")


def admin(fleet: Fleet, **areas: str) -> Actor:
    me = fleet.log_in().actor
    return Actor(me.user_id, "admin", me.tenant_id, Role("r", me.tenant_id, "a", areas=areas))


def everything(fleet: Fleet) -> Actor:
    return admin(fleet, gateways="edit", tenants="edit", plans="edit", locations="edit")


def group(fleet: Fleet, **fields: Any) -> str:
    made = configure.create_item(fleet.broker, everything(fleet), "gateway-groups", {"name": "near", **fields})
    return str(made["id"])


def opened(fleet: Fleet, **plan: Any) -> tuple[Any, Connecting, str]:
    """Return a person with a connection to a desktop at 192.0.2.x, and the plan's id."""
    fleet.desktops(1)
    plan_id = fleet.plan(t.protocol_plans, **plan)
    line = fleet.line(fleet.pool(), protocol_plan_id=plan_id)
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    return me, got, plan_id


def address_of(fleet: Fleet, got: Connecting) -> str:
    return str(fleet.row(t.desktops, got.desktop_id).address)


def redeem(fleet: Fleet, gateway: Any, ticket: str) -> dict[str, Any]:
    return gateways.redeem(
        fleet.broker, fleet.again(gateway), {"ticket": ticket, "client_address": CLIENT.address or "192.0.2.9"}
    )


def test_who_writes_a_group_and_what_it_may_say(fleet: Fleet) -> None:
    """Administrators of a tenant see groups and may name them; each wrong field is named; one in use stays."""
    mine = admin(fleet, gateways="edit")
    with pytest.raises(Denied):
        configure.create_item(fleet.broker, mine, "gateway-groups", {"name": "x"})
    with pytest.raises(Invalid) as wrong:
        configure.create_item(
            fleet.broker, everything(fleet), "gateway-groups",
            {"name": "", "balance": "luck", "public_url": "https://a.example/x", "may_reach": ["10.0.0.0/8", "near"]},
        )  # fmt: skip
    assert set(wrong.value.fields) == {"name", "balance", "public_url", "may_reach"}
    made = group(fleet, may_reach=["10.0.0.0/8"])
    assert [one["id"] for one in configure.list_items(fleet.broker, mine, "gateway-groups", Query()).items] == [made]
    with pytest.raises(Denied):
        configure.update_item(fleet.broker, mine, "gateway-groups", made, {"may_reach": []})
    gateway = fleet.gateway()
    boss = everything(fleet)
    with pytest.raises(Invalid):
        configure.update_item(fleet.broker, boss, "gateways", gateway.id, {"group_id": "nonsense"})
    configure.update_item(fleet.broker, boss, "gateways", gateway.id, {"group_id": made})
    plan = configure.create_item(fleet.broker, boss, "protocol-plans", {"name": "far", "gateway_group_id": made})
    with pytest.raises(Conflict, match="gateway gateway, protocol plan far"):
        configure.delete_item(fleet.broker, boss, "gateway-groups", made)
    configure.update_item(fleet.broker, boss, "protocol-plans", plan["id"], {"gateway_group_id": None})
    configure.update_item(fleet.broker, boss, "gateways", gateway.id, {"group_id": None})
    assert configure.delete_item(fleet.broker, boss, "gateway-groups", made) == {"deleted": 1}
    for noun in ("protocol-plans", "locations"):
        with pytest.raises(Invalid) as wrong:
            configure.create_item(fleet.broker, boss, noun, {"name": "p", "gateway_group_id": made})
        assert set(wrong.value.fields) == {"gateway_group_id"}


def test_a_gateway_leads_only_into_the_networks_of_its_group(fleet: Fleet) -> None:
    """A person is told so; and a ticket from before does not help when the group changes meanwhile."""
    me, got, _ = opened(fleet)
    gateway, address = fleet.gateway(), address_of(fleet, got)
    made = group(fleet, may_reach=["198.51.100.0/24"])
    fleet.change(t.gateways, gateway.id, group_id=made)
    with pytest.raises(Unavailable, match=f"No gateway leads to {address}"):
        connect.ticket(fleet.broker, me, got.id)
    configure.update_item(
        fleet.broker, everything(fleet), "gateway-groups", made, {"may_reach": ["198.51.100.0/24", address]}
    )
    given = connect.ticket(fleet.broker, me, got.id)["ticket"]
    configure.update_item(fleet.broker, everything(fleet), "gateway-groups", made, {"may_reach": ["198.51.100.0/24"]})
    with pytest.raises(Denied):
        redeem(fleet, gateway, given)
    configure.update_item(fleet.broker, everything(fleet), "gateway-groups", made, {"may_reach": []})
    assert redeem(fleet, gateway, given)["target"]["host"] == address


def test_a_plan_leads_through_its_group_alone(fleet: Fleet) -> None:
    """Also when another gateway has less to do."""
    made = group(fleet)
    me, got, _ = opened(fleet, gateway_group_id=made)
    fleet.gateway("other")
    with pytest.raises(Unavailable, match="No gateway of the group near"):
        connect.ticket(fleet.broker, me, got.id)
    member = fleet.gateway("member")
    fleet.change(t.gateways, member.id, group_id=made, public_url="https://member.example", load={"sessions": 99})
    assert connect.ticket(fleet.broker, me, got.id)["url"] == "https://member.example/gw/vnc"


def test_behind_a_balancer_any_member_takes_the_ticket(fleet: Fleet) -> None:
    """And no gateway of another group does."""
    made = group(fleet, balance="all", public_url="https://all.example")
    me, got, _ = opened(fleet, gateway_group_id=made)
    members = [fleet.gateway(name) for name in ("one", "two")]
    for member in members:
        fleet.change(t.gateways, member.id, group_id=made, public_url=f"https://{member.name}.example")
    stranger = fleet.gateway("three")
    for _ in range(2):
        given = connect.ticket(fleet.broker, me, got.id)
        assert given["url"] == "https://all.example/gw/vnc"
        with pytest.raises(Denied):
            redeem(fleet, stranger, given["ticket"])
        assert redeem(fleet, members.pop(), given["ticket"])["connection"] == got.id
    assert "https://all.example" in reach.origins(fleet.broker)


def test_people_stay_at_the_site_where_they_came_in(fleet: Fleet) -> None:
    """As the address of ours by which they logged in says; an address that is not ours says nothing."""
    made = group(fleet, balance="entrance")
    me, got, _ = opened(fleet)
    for name, sessions in (("east", 7), ("west", 0)):
        fleet.change(
            t.gateways, fleet.gateway(name).id, group_id=made, public_url=f"https://{name}.example",
            load={"sessions": sessions},
        )  # fmt: skip
    assert connect.ticket(fleet.broker, me, got.id)["url"] == "https://west.example/gw/vnc"
    east = replace(me, client=replace(me.client, entrance="https://east.example"))
    assert connect.ticket(fleet.broker, east, got.id)["url"] == "https://east.example/gw/vnc"
    object.__setattr__(fleet.broker.config, "other_urls", ("https://east.example/",))
    assert reach.entrance(fleet.broker, "east.example") == "https://east.example"
    assert reach.entrance(fleet.broker, "evil.example") == reach.entrance(fleet.broker, "east.example/..") == ""


def test_a_location_says_how_its_clients_come_to_desktops(fleet: Fleet) -> None:
    """The first that fits counts: some need no gateway, some go through a group; a plan's own group wins over it."""
    boss = everything(fleet)
    near = group(fleet)
    office = {
        "name": "Office", "position": 1, "direct": True,
        "conditions": [{"attribute": "address", "operator": "ip", "text": "198.51.100.0/24"}],
    }  # fmt: skip
    configure.create_item(fleet.broker, boss, "locations", {"name": "Elsewhere", "gateway_group_id": near})
    configure.create_item(fleet.broker, boss, "locations", office)
    with pytest.raises(Invalid) as wrong:
        configure.create_item(
            fleet.broker,
            boss,
            "locations",
            {"name": "x", "conditions": [{"attribute": "os", "operator": "ip", "text": "10.0.0.0/8"}]},
        )
    assert set(wrong.value.fields) == {"conditions.0.operator"}
    me, got, plan = opened(fleet)
    for address, state in (("198.51.100.7", "ready"), ("203.0.113.7", "waiting")):
        line = got.assignment_id
        native = connect.connect(fleet.broker, me, f"a.{line}", Client(address, "connect"), "vnc")
        assert isinstance(native, Connecting) and native.state == state
        assert bool(native.address) == (state == "ready")
    fleet.gateway("other")
    with pytest.raises(Unavailable, match="No gateway of the group near"):
        connect.ticket(fleet.broker, me, got.id)
    at_work = replace(me, client=replace(me.client, address="198.51.100.7"))
    assert connect.ticket(fleet.broker, at_work, got.id)["url"] == "/gw/vnc"
    fleet.change(t.protocol_plans, plan, body={"gateway_group_id": near})
    with pytest.raises(Unavailable):
        connect.ticket(fleet.broker, at_work, got.id)
    with pytest.raises(Conflict, match="location Elsewhere"):
        configure.delete_item(fleet.broker, boss, "gateway-groups", near)
