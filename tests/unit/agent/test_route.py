"""Why the metadata service is not reached, and the command that mends it."""

import pytest

from portico.agent.route import (
    NO_ANSWER,
    NO_GATEWAY,
    NO_ROUTE,
    REFUSED,
    best,
    diagnose,
    parse_linux,
    parse_windows,
)

pytestmark = pytest.mark.capability("S071")

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
OWN_NETWORK = "eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"  # 192.168.0.0/24
DEFAULT = "eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"  # by way of 192.168.0.1
TO_SERVICE = "eth0\tFEA9FEA9\t0200A8C0\t0007\t0\t0\t100\tFFFFFFFF\t0\t0\t0\n"  # by way of 192.168.0.2
LINK_LOCAL = "eth0\t0000FEA9\t00000000\t0001\t0\t0\t1000\t0000FFFF\t0\t0\t0\n"  # 169.254.0.0/16, directly
DOWN = "eth1\t00000000\t0100A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n"

WINDOWS = """\
===========================================================================
Schnittstellenliste
 11...fa 16 3e 11 22 33 ......Red Hat VirtIO Ethernet Adapter
===========================================================================

IPv4-Routentabelle
===========================================================================
Aktive Routen:
     Netzwerkziel    Netzwerkmaske          Gateway    Schnittstelle Metrik
          0.0.0.0          0.0.0.0         10.0.0.1        10.0.0.17      5
         10.0.0.0    255.255.255.0   Auf Verbindung         10.0.0.17    261
        127.0.0.0        255.0.0.0   Auf Verbindung         127.0.0.1    306
      169.254.0.0      255.255.0.0   Auf Verbindung         10.0.0.17    281
===========================================================================
Ständige Routen:
  Netzwerkadresse          Netzmaske  Gatewayadresse  Metrik
          0.0.0.0          0.0.0.0         10.0.0.1       1
===========================================================================
"""


def test_a_machine_without_any_way_is_told_the_command() -> None:
    """Without a default route the fix names the DHCP server, which serves metadata on networks without a router."""
    found = diagnose("Network is unreachable", parse_linux(HEAD + OWN_NETWORK), False, "192.168.0.2")
    assert found.state == NO_ROUTE
    assert found.fix == "ip route add 169.254.169.254/32 via 192.168.0.2"
    found = diagnose("Network is unreachable", parse_linux(HEAD + OWN_NETWORK + DOWN), False)
    assert found.fix == "ip route add 169.254.169.254/32 via GATEWAY"


def test_a_link_local_route_hides_the_service() -> None:
    """169.254.0.0/16 on the wire itself is narrower than the default route: no gateway ever sees the question."""
    found = diagnose("No route to host", parse_linux(HEAD + DEFAULT + OWN_NETWORK + LINK_LOCAL), False)
    assert (found.state, found.gateway) == (NO_GATEWAY, "192.168.0.1")
    assert "eth0" in found.sentence
    assert found.fix == "ip route add 169.254.169.254/32 via 192.168.0.1"


@pytest.mark.parametrize(
    ("trouble", "state"), [("timed out", NO_ANSWER), ("Connection refused", REFUSED), ("status 404", REFUSED)]
)
def test_a_way_that_leads_to_nothing_is_the_clouds_to_mend(trouble: str, state: str) -> None:
    """With a route in place no command of this machine helps: the operators or a config drive do."""
    found = diagnose(trouble, parse_linux(HEAD + DEFAULT + OWN_NETWORK + LINK_LOCAL + TO_SERVICE), False)
    assert (found.state, found.gateway) == (state, "192.168.0.2")
    assert trouble in found.sentence
    assert "config drive" in found.fix


def test_what_windows_prints_is_understood_in_any_language() -> None:
    """The routes of `route PRINT`; the persistent ones below are not counted twice."""
    routes = parse_windows(WINDOWS)
    assert [route.metric for route in routes] == [5, 261, 306, 281]
    found = best(routes, "192.0.2.1")
    assert found is not None
    assert (found.gateway, found.interface) == ("10.0.0.1", "10.0.0.17")
    wrong = diagnose("timed out", routes, True)
    assert wrong.state == NO_GATEWAY
    assert wrong.fix == "route -p add 169.254.169.254 mask 255.255.255.255 10.0.0.1 metric 6"


def test_the_narrowest_way_wins_then_the_cheapest() -> None:
    """As the kernel chooses."""
    routes = parse_linux(HEAD + DEFAULT + LINK_LOCAL + TO_SERVICE)
    chosen = best(routes, "169.254.169.254")
    assert chosen is not None
    assert chosen.gateway == "192.168.0.2"
    assert best(parse_linux(HEAD), "169.254.169.254") is None
