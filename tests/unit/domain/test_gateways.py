"""Which gateway leads where: realm, group and reach say who may, the group's balance who does."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.gateways import ALL, BALANCES, ENTRANCE, FEWEST, Gateway, GatewayGroup, Path, Wish, choose, reaches
from portico.domain.model import Reason

pytestmark = pytest.mark.capability("S014", "S031", "S051", "S068")

A, B = (Gateway(name, "", None, f"https://{name}.example", 0) for name in "ab")
HERE = Wish("", "10.0.0.5")


def chosen(*gateways: Gateway, groups: tuple[GatewayGroup, ...] = (), wish: Wish = HERE) -> str:
    """Return the id of the gateway, or the code of the reason."""
    found = choose(gateways, {group.id: group for group in groups}, wish)
    return found.gateway.id if isinstance(found, Path) else found.code


def test_the_one_with_the_fewest_sessions() -> None:
    """And of equals always the same."""
    assert chosen(replace(A, sessions=3), replace(B, sessions=2)) == "b"
    assert chosen(B, A) == chosen(A, B) == "a"


def test_only_of_the_realm_of_the_group_and_within_reach() -> None:
    """Each obstacle has a reason of its own."""
    near = GatewayGroup("g", "near", may_reach=("10.0.0.0/24", "2001:db8::/32"))
    member = replace(A, group_id="g")
    assert chosen() == chosen(A, wish=replace(HERE, realm="north")) == "gateway.none"
    assert chosen(A, wish=replace(HERE, group_id="g")) == "gateway.none_in_group"
    assert chosen(member, B, groups=(near,), wish=replace(HERE, group_id="g")) == "a"
    for host in ("10.0.1.5", "desktop.example", "2001:db9::1"):
        assert chosen(member, groups=(near,), wish=replace(HERE, host=host)) == "gateway.none_reaches"
        assert chosen(member, B, groups=(near,), wish=replace(HERE, host=host)) == "b"
    assert chosen(member, groups=(near,), wish=replace(HERE, host="2001:db8::1")) == "a"


def test_where_the_person_came_in() -> None:
    """In a group of that kind alone; who came in elsewhere gets the one with the fewest sessions."""
    site = GatewayGroup("g", "sites", balance=ENTRANCE)
    busy, idle = replace(A, group_id="g", sessions=9), replace(B, group_id="g")
    came = replace(HERE, entrance="https://a.example")
    assert chosen(busy, idle, groups=(site,), wish=came) == "a"
    assert chosen(busy, idle, groups=(site,), wish=HERE) == "b"
    assert chosen(busy, idle, groups=(replace(site, balance=FEWEST),), wish=came) == "b"


def test_any_of_them_behind_a_balancer() -> None:
    """The ticket is then for none in particular, and met at the balancer's address; without a group its own address decides."""
    shared = GatewayGroup("g", "shared", balance=ALL, public_url="https://all.example")
    found = choose([replace(A, group_id="g")], {"g": shared}, HERE)
    assert isinstance(found, Path) and (found.origin, found.pinned) == ("https://all.example", False)
    alone, under_the_portal = choose([A], {}, HERE), choose([replace(A, origin="")], {}, HERE)
    assert isinstance(alone, Path) and (alone.origin, alone.pinned) == ("https://a.example", True)
    assert isinstance(under_the_portal, Path) and (under_the_portal.origin, under_the_portal.pinned) == ("", False)


def test_metadata_services_are_out_of_reach() -> None:
    """Unless somebody names their network."""
    anywhere = GatewayGroup("g", "anywhere")
    assert not reaches(anywhere, "169.254.169.254") and not reaches(anywhere, "::ffff:169.254.169.254")
    assert not reaches(anywhere, "fe80::1%eth0")
    assert reaches(anywhere, "10.0.0.1") and reaches(anywhere, "desktop.example")
    assert reaches(replace(anywhere, may_reach=("169.254.0.0/16",)), "169.254.1.2")


@given(
    st.lists(st.tuples(st.sampled_from(["", "n"]), st.sampled_from([None, "g", "h"]), st.integers(0, 5)), max_size=8),
    st.sampled_from(BALANCES),
    st.sampled_from(["", "n"]),
    st.sampled_from([None, "g", "h"]),
    st.sampled_from(["10.0.0.1", "10.1.0.1"]),
)
def test_nobody_is_led_where_they_may_not_go(
    rows: list[tuple[str, str | None, int]], balance: str, realm: str, group: str | None, host: str
) -> None:
    """Whatever gateways there are: the chosen one is of the realm and the group, and reaches the desktop; none only where none does."""
    gateways = [Gateway(str(i), r, g, f"https://{i}.example", load) for i, (r, g, load) in enumerate(rows)]
    groups = {"g": GatewayGroup("g", "g", balance, may_reach=("10.0.0.0/16",)), "h": GatewayGroup("h", "h")}
    found = choose(gateways, groups, Wish(realm, host, group, "https://1.example"))
    fit = [
        one
        for one in gateways
        if one.realm == realm and group in (None, one.group_id) and not (one.group_id == "g" and host == "10.1.0.1")
    ]
    assert isinstance(found, Reason) == (not fit)
    assert isinstance(found, Reason) or found.gateway in fit
