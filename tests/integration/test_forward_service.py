"""From a click to a port of a gateway: what the broker asks, believes and ends."""

from dataclasses import replace
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet

from portico.displays.native import NoMachine, Pcoip, Rgs
from portico.displays.vnc import Vnc
from portico.domain.model import NoDesktop
from portico.services import connect, forwards, gateways, release
from portico.services.connect import Connecting
from portico.services.sessions import SignedIn
from portico.store import tables as t

pytestmark = pytest.mark.capability("S014", "S016", "S031", "S051")
DEVICE = replace(CLIENT, kind="connect")
DISPLAYS = {"nomachine": NoMachine(), "rgs": Rgs(), "pcoip": Pcoip(), "vnc": Vnc()}
PORTS = {"nomachine": 4000, "rgs": 42966, "pcoip": 4172, "vnc": 5900}


class Native:
    """A person with a client of a device, a pool whose plan lets it through, and a way to see what gateways are told."""

    def __init__(self, fleet: Fleet, **plan: Any) -> None:
        self.fleet = fleet
        self.broker = replace(fleet.broker, displays=DISPLAYS)
        for row in fleet.desktops(2):
            fleet.change(t.desktops, row.id, protocols=PORTS)
        self.line = fleet.line(fleet.pool())
        made = fleet.plan(t.protocol_plans, **{"protocols": list(PORTS), **plan})
        fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": made})
        self.me: SignedIn = fleet.log_in()

    def open(self, protocol: str = "nomachine", offer: str = "") -> Connecting | NoDesktop:
        return connect.connect(self.broker, self.me, offer or f"{self.line}.0", DEVICE, protocol)

    def opened(self, protocol: str = "nomachine", offer: str = "") -> Connecting:
        got = self.open(protocol, offer)
        assert isinstance(got, Connecting)
        return got

    def view(self, got: Connecting) -> Connecting:
        return connect.view(self.broker, self.me, got.id)

    def asked(self, gateway: Any, kind: str = "forward") -> list[dict[str, Any]]:
        return [one for one in gateways.control(self.broker, gateway, 0)["messages"] if one["kind"] == kind]

    def report(self, gateway: Any, *events: dict[str, Any], boot_id: str = "b", live: tuple[str, ...] = ()) -> None:
        numbered = [{"sequence": number, "reason": "", **event} for number, event in enumerate(events, 1)]
        again = self.fleet.again(gateway)
        mark = again.row.sequence if again.row.boot_id == boot_id else 0
        for event in numbered:
            event["sequence"] += mark
        gateways.report(self.broker, again, {"boot_id": boot_id, "events": numbered, "live": list(live)})


def listening(got: Connecting, theirs: int = 4000, ours: int = 20123) -> dict[str, Any]:
    return {"kind": "listening", "connection": got.id, "ports": [[theirs, ours]]}


@pytest.mark.capability("S056")
def test_a_client_of_a_device_is_led_to_a_port_of_a_gateway(fleet: Fleet) -> None:
    """Asked when the desktop is ready, waited for, shown with the file that starts the client, and over when it is over."""
    native, gateway = Native(fleet), fleet.gateway()
    got = native.opened()
    assert (got.state, str(got.progress.stage)) == ("waiting", "connecting") and got.launch is None
    native.view(got)
    (order,) = native.asked(gateway)
    assert order["client"] == CLIENT.address and order["mode"] == "random_filtered"
    assert order["targets"] == [["tcp", 4000], ["udp", 4000]] and not order["fixed"]
    native.report(gateway, listening(got), live=(got.id,))
    seen = native.view(got)
    assert seen.state == "ready" and seen.address == "localhost:20123"
    assert seen.launch and seen.launch["name"].endswith(".nxs") and 'value="20123"' in seen.launch["text"]
    native.report(gateway, {"kind": "opened", "connection": got.id}, live=(got.id,))
    assert native.view(got).state == "open" and fleet.row(t.assignments, got.assignment_id).state == "connected"
    native.report(gateway, {"kind": "closed", "connection": got.id, "reason": "client.left"})
    assert native.view(got).state == "closed" and fleet.row(t.assignments, got.assignment_id).state == "disconnected"


def test_it_waits_for_a_gateway_and_not_for_ever_for_its_answer(fleet: Fleet) -> None:
    """Each with the reason that the person reads."""
    native = Native(fleet)
    got = native.opened()
    assert got.progress.reason and got.progress.reason.code == "gateway.none"
    gateway = fleet.gateway()
    assert native.view(got).progress.reason.code == "forward.opening"  # type: ignore[union-attr]
    fleet.clock.forward(21)
    seen = native.view(got)
    assert seen.state == "failed" and seen.progress.reason and seen.progress.reason.code == "forward.no_answer"
    native.report(gateway, listening(got), live=(got.id,))  # it was only slow
    assert native.view(got).state == "ready"


@pytest.mark.capability("S055")
def test_a_gateway_that_cannot_says_why(fleet: Fleet) -> None:
    """A client with one port only, whose port somebody at the same address uses: nobody is thought to have left."""
    native, gateway = Native(fleet, forward="same_port"), fleet.gateway()
    got = native.opened("pcoip")
    (order,) = native.asked(gateway)
    assert order["fixed"] and order["mode"] == "same_port"
    native.report(gateway, {"kind": "closed", "connection": got.id, "reason": "forward.port_taken"})
    seen = native.view(got)
    assert seen.state == "failed" and seen.progress.reason and seen.progress.reason.code == "forward.port_taken"
    assert fleet.row(t.assignments, got.assignment_id).state == "assigned"


def test_a_gateway_that_starts_anew_is_asked_again_for_the_same_ports(fleet: Fleet) -> None:
    """What is open stays open in our books, what was closed is not asked for, and what it cannot open any more ends."""
    native, gateway = Native(fleet), fleet.gateway()
    got = native.opened()
    native.report(gateway, listening(got), {"kind": "opened", "connection": got.id}, live=(got.id,))
    fleet.clock.forward(3600)
    assert native.asked(gateway) == []
    native.report(gateway, boot_id="c")
    (order,) = native.asked(gateway)
    assert order["ports"] == [20123] and order["connection"] == got.id
    assert native.view(got).state == "open"
    native.report(gateway, listening(got), boot_id="c", live=(got.id,))
    fleet.clock.forward(3600)
    native.report(gateway, boot_id="c", live=(got.id,))
    assert native.asked(gateway) == [] and native.view(got).state == "open"
    native.report(gateway, boot_id="d")
    native.report(gateway, {"kind": "closed", "connection": got.id, "reason": "forward.port_taken"}, boot_id="d")
    assert native.view(got).state == "closed"
    fleet.clock.forward(3600)
    native.report(gateway, boot_id="e")
    assert native.asked(gateway) == []


def test_a_release_and_a_second_client_close_the_port(fleet: Fleet) -> None:
    """The gateway is told at once."""
    native, gateway = Native(fleet), fleet.gateway()
    first = native.opened()
    native.report(gateway, listening(first), live=(first.id,))
    second = native.opened("rgs", f"a.{first.assignment_id}")
    assert [one["connection"] for one in native.asked(gateway, "close")] == [first.id]
    native.report(gateway, listening(second, 42966), live=(first.id, second.id))
    release.release(native.broker, native.me, first.assignment_id)
    fleet.work()
    assert second.id in [one["connection"] for one in native.asked(gateway, "close")]
    assert native.view(second).launch is None


@pytest.mark.parametrize(
    ("field", "code"), [("clipboard_out", "not_held"), ("files_in", "not_held"), ("view_only", "not_view_only")]
)
def test_what_a_plan_forbids_is_not_passed_on_blindly(fleet: Fleet, field: str, code: str) -> None:
    """A gateway that does not understand a protocol cannot hold anything back, so the person is told to use the browser."""
    native = Native(fleet, **{field: field == "view_only"})
    answer = native.open()
    assert isinstance(answer, NoDesktop)
    assert [one.code for one in answer.reason.because] == [f"protocol.{code}"]


@pytest.mark.capability("S069")
def test_without_forwards_the_client_goes_to_the_floating_address(fleet: Fleet) -> None:
    """Nobody is asked, and the client is given the desktop's own port."""
    native, gateway = Native(fleet, forward="off"), fleet.gateway()
    for row in fleet.rows(t.desktops):
        fleet.change(t.desktops, row.id, public_address="198.51.100.7")
    got = native.opened("vnc")
    assert got.state == "ready" and got.address == "198.51.100.7:5900"
    assert got.launch == {"kind": "uri", "uri": "vnc://198.51.100.7:5900"} and native.asked(gateway) == []


def test_the_gateway_with_the_fewest_sessions_of_the_right_network_is_asked(fleet: Fleet) -> None:
    """Load decides among those of the desktop's realm; the dead and those of other networks are not asked."""
    native = Native(fleet)
    busy, idle, other = fleet.gateway("busy"), fleet.gateway("idle"), fleet.gateway("other", realm="elsewhere")
    for gateway, sessions in ((busy, 9), (idle, 2), (other, 0)):
        load = {"boot_id": "b", "events": [], "live": [], "load": {"sessions": sessions}}
        gateways.report(native.broker, fleet.again(gateway), load)
    got = native.opened()
    assert fleet.row(t.connections, got.id).gateway_id == idle.id
    # What a gateway says that was not asked changes nothing.
    native.report(busy, listening(got, ours=23000))
    native.report(idle, {**listening(got), "ports": [["4000", 1], [4000], [4000, 99999]]})
    assert native.view(got).state == "waiting" and forwards.MAX_PORTS >= 2


@pytest.mark.capability("S057")
def test_a_file_that_crossed_is_an_event(fleet: Fleet) -> None:
    """With its name and size, whatever a gateway puts into them."""
    native, gateway = Native(fleet), fleet.gateway()
    got = native.opened("vnc")
    sent = {"kind": "file.in", "connection": got.id, "reason": "plan\x00\n.txt", "bytes_in": 12, "bytes_out": 0}
    taken = {"kind": "file.out", "connection": got.id, "reason": "x" * 300, "bytes_in": 0, "bytes_out": 2**70}
    native.report(gateway, sent, taken)
    rows = {row.code: row for row in fleet.rows(t.events) if row.code.startswith("desktop.file_")}
    assert rows["desktop.file_in"].params["file"] == "plan.txt" and rows["desktop.file_in"].params["bytes"] == 12
    assert len(rows["desktop.file_out"].params["file"]) == 200 and rows["desktop.file_out"].user_id == native.me.user.id


def test_a_forward_that_is_not_opened_again_is_given_up(fleet: Fleet) -> None:
    """A gateway that came back and lost what it was asked: the person is not thought connected for ever."""
    native, gateway = Native(fleet), fleet.gateway()
    got = native.opened()
    native.report(gateway, listening(got), {"kind": "opened", "connection": got.id}, live=(got.id,))
    fleet.clock.forward(3600)
    native.report(gateway, boot_id="c")
    assert native.view(got).state == "open"
    fleet.clock.forward(forwards.PATIENCE.total_seconds() + 1)
    native.report(gateway, boot_id="c")
    assert native.view(got).state == "closed"
    assert fleet.rows(t.forwards)[0].state == "closed"
    assert fleet.row(t.assignments, got.assignment_id).state == "disconnected"
