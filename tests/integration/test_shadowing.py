"""Joining a session at the broker: who may ask, what the person says, who is let in and for how long."""

from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet

from portico.domain.access import Actor
from portico.domain.model import Role
from portico.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from portico.services import connect, gateways, shadowing
from portico.services.connect import Connecting
from portico.services.gateways import Gone
from portico.services.sessions import SignedIn
from portico.store import tables as t

pytestmark = pytest.mark.capability("S057")


class Visited:
    """A person in a session, and somebody of the help desk."""

    def __init__(self, fleet: Fleet, shadowing: str = "control", **plan: Any) -> None:
        self.fleet = fleet
        fleet.desktops(2)
        self.line = fleet.line(fleet.pool())
        made = fleet.plan(t.protocol_plans, shadowing=shadowing, **plan)
        fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": made})
        self.me: SignedIn = fleet.log_in()
        self.helper = self.somebody("edit")
        self.gateway = fleet.gateway()
        got = connect.connect(fleet.broker, self.me, f"{self.line}.0", CLIENT, "vnc")
        assert isinstance(got, Connecting)
        self.connection = got.id
        self.sequence = 0
        self.enter()
        self.report("opened")

    def somebody(self, level: str = "", name: str = "grace", tenant: str = "") -> Actor:
        mine = tenant or self.me.user.tenant_id
        role = Role("r", mine, "Help desk", areas={"shadowing": level} if level else {})
        known = {row.login_name: row.id for row in self.fleet.rows(t.users)}
        return Actor(known.get(name) or self.fleet.user(name), name, mine, role)

    def enter(self) -> dict[str, Any]:
        ticket = connect.ticket(self.fleet.broker, self.me, self.connection)["ticket"]
        return self.redeem(ticket)

    def redeem(self, ticket: str) -> dict[str, Any]:
        return gateways.redeem(self.fleet.broker, self.gateway, {"ticket": ticket, "client_address": "192.0.2.1"})

    def report(self, kind: str, **more: Any) -> None:
        self.sequence += 1
        event = {"kind": kind, "connection": self.connection, "reason": "", "sequence": self.sequence, **more}
        again = self.fleet.again(self.gateway)
        gateways.report(self.fleet.broker, again, {"boot_id": "b", "events": [event], "live": [self.connection]})

    def ask(self, mode: str = "view") -> str:
        return shadowing.ask(self.fleet.broker, self.helper, self.connection, mode)

    def answer(self, shadow: str, *, agrees: bool = True) -> None:
        shadowing.answer(self.fleet.broker, self.me, self.connection, shadow, agrees=agrees)

    def state(self, shadow: str) -> str:
        return shadowing.find(self.fleet.broker, self.helper, shadow).state

    def ticket(self, shadow: str) -> str:
        return shadowing.ticket(self.fleet.broker, self.helper, shadow)["ticket"]

    def told(self, kind: str) -> list[dict[str, Any]]:
        messages = gateways.control(self.fleet.broker, self.gateway, 0)["messages"]
        return [one for one in messages if one["kind"] == kind]


def test_the_way_of_a_visit(fleet: Fleet) -> None:
    """Asked at the gateway of the session, agreed to by its person, entered with a ticket for that gateway, left; each step is an event."""
    visited = Visited(fleet)
    assert visited.enter()["shadowed"] is False
    visited.report("opened")
    shadow = visited.ask("control")
    (asked,) = visited.told("shadow")
    assert (asked["connection"], asked["shadow"], asked["who"], asked["mode"]) == (
        visited.connection,
        shadow,
        "grace",
        "control",
    )
    assert visited.state(shadow) == "asked"
    with pytest.raises(NotFound):
        visited.ticket(shadow)
    visited.answer(shadow)
    visited.answer(shadow)  # a second click says the same
    assert visited.state(shadow) == "agreed" and visited.enter()["shadowed"] is True
    visited.report("opened")
    granted = visited.redeem(visited.ticket(shadow))
    assert granted["connection"] == visited.connection and granted["protocol"] == "vnc"
    assert {key: granted["shadow"][key] for key in ("id", "mode", "who")} == {
        "id": shadow,
        "mode": "control",
        "who": "grace",
    }
    assert fleet.row(t.connections, visited.connection).state == "open"  # the person's own session goes on
    visited.report("shadow.opened", shadow=shadow)
    assert visited.state(shadow) == "open"
    shadowing.end(fleet.broker, visited.helper, shadow)
    assert [one["shadow"] for one in visited.told("shadow.end")] == [shadow]
    assert visited.state(shadow) == "ended" and visited.enter()["shadowed"] is False
    codes = [code for code in fleet.codes() if code.startswith("shadow.")]
    assert codes == ["shadow.asked_control", "shadow.agreed", "shadow.opened", "shadow.ended"]  # fmt: skip


def test_a_person_who_declines_or_says_nothing_is_not_joined(fleet: Fleet) -> None:
    """And the helper reads which of both it was; then he may ask again."""
    visited = Visited(fleet)
    shadow = visited.ask()
    visited.answer(shadow, agrees=False)
    assert visited.state(shadow) == "declined"
    with pytest.raises(Conflict):
        visited.answer(shadow)
    with pytest.raises(NotFound):
        visited.ticket(shadow)
    shadow = visited.ask()
    fleet.clock.forward(61)
    assert visited.state(shadow) == "unanswered"
    with pytest.raises(Conflict):
        visited.answer(shadow)
    visited.report("opened")
    assert visited.ask() and visited.enter()["shadowed"] is False


def test_the_plan_decides_what_may_be_asked(fleet: Fleet) -> None:
    """Nothing, to watch, or to help; a desktop that its own person may only look at is nobody's to use."""
    visited = Visited(fleet, "view")
    with pytest.raises(Conflict):
        visited.ask("control")
    with pytest.raises(Invalid) as wrong:
        visited.ask("own")
    assert "mode" in wrong.value.fields
    for plan, modes in (("off", ()), ("view", ("view",)), ("control", ("view", "control"))):
        made = fleet.plan(t.protocol_plans, shadowing=plan)
        fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": made})
        fleet.broker.snapshots.get(fresh=True)
        assert shadowing.permitted(fleet.broker, visited.line, visited.me.user.tenant_id, "vnc") == modes
        assert shadowing.permitted(fleet.broker, visited.line, visited.me.user.tenant_id, "nomachine") == ()


@pytest.mark.capability("S008")
def test_who_may_not_ask(fleet: Fleet) -> None:
    """Without the right, with the lesser one, of another tenant, for one's own session, and while somebody else is asking."""
    visited = Visited(fleet)
    ask = shadowing.ask
    for somebody, mode, error in (
        (visited.somebody(), "view", Denied),
        (visited.somebody("view"), "control", Denied),
        (visited.somebody("edit", tenant="other"), "view", NotFound),
        (Actor(visited.me.user.id, "user", visited.me.user.tenant_id, visited.helper.role), "view", Conflict),
    ):
        with pytest.raises(error):
            ask(fleet.broker, somebody, visited.connection, mode)
    shadow = visited.ask()
    other = visited.somebody("edit", "lin")
    with pytest.raises(Conflict):
        ask(fleet.broker, other, visited.connection, "view")
    visited.answer(shadow)
    for somebody in (other, visited.somebody("edit", tenant="other")):
        for act in (shadowing.find, shadowing.ticket, shadowing.end):
            with pytest.raises(NotFound):
                act(fleet.broker, somebody, shadow)
    stranger = fleet.log_in("lin")
    with pytest.raises(NotFound):
        shadowing.answer(fleet.broker, stranger, visited.connection, shadow, agrees=True)


def test_a_visit_has_its_time_and_a_ticket_its_use(fleet: Fleet) -> None:
    """The way in stands open for two minutes, a visit lasts an hour, a line that broke may come back for two minutes."""
    visited = Visited(fleet)
    shadow = visited.ask()
    visited.answer(shadow)
    ticket = visited.ticket(shadow)
    visited.redeem(ticket)
    with pytest.raises(Conflict):
        visited.redeem(ticket)
    fleet.clock.forward(121)
    assert visited.state(shadow) == "ended"
    with pytest.raises(NotFound):
        visited.ticket(shadow)
    shadow = visited.ask()
    visited.answer(shadow)
    visited.report("shadow.opened", shadow=shadow)
    fleet.clock.forward(3000)
    assert visited.state(shadow) == "open"
    late = visited.ticket(shadow)
    visited.report("shadow.closed", shadow=shadow, reason="shadow.left")
    fleet.clock.forward(50)
    visited.redeem(visited.ticket(shadow))
    visited.report("shadow.opened", shadow=shadow)
    fleet.clock.forward(600)
    assert visited.state(shadow) == "ended"
    with pytest.raises((Gone, Unauthenticated)):
        visited.redeem(late)


def test_the_person_ends_it_at_the_gateway(fleet: Fleet) -> None:
    """The gateway tells; a ticket that was handed out before opens nothing any more."""
    visited = Visited(fleet)
    shadow = visited.ask()
    visited.answer(shadow)
    ticket = visited.ticket(shadow)
    visited.report("shadow.opened", shadow=shadow)
    visited.report("shadow.closed", shadow=shadow, reason="shadow.ended")
    assert visited.state(shadow) == "ended"
    with pytest.raises(Gone):
        visited.redeem(ticket)
    visited.report("shadow.opened", shadow=shadow)  # a late word changes nothing
    assert visited.state(shadow) == "ended"
