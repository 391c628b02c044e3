"""What agents and gateways report moves assignments, whatever the order in which it comes."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.brokers import actor
from tests.fleet import CLIENT, Fleet

from portico.domain.jobs import AssignmentTimer
from portico.domain.model import PowerAction
from portico.domain.states import Event
from portico.errors import Invalid
from portico.services import agents, connect, evidence, gateways, power, release
from portico.services.claims import Claim
from portico.services.connect import Connecting
from portico.services.sessions import SignedIn
from portico.store import jobs
from portico.store import tables as t

pytestmark = pytest.mark.capability("S032", "S029")


def used_desktop(fleet: Fleet, plan: dict[str, Any] | None = None, **pool: Any) -> tuple[SignedIn, Connecting]:
    """A user with a desktop, under a release plan."""
    fleet.fill(fleet.pool(start_below=1, stop_at=1, **pool))
    body = {} if plan is None else {"release_plan_id": fleet.plan(t.release_plans, **plan)}
    line = fleet.line(fleet.rows(t.pools)[0].id, **body)
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    return me, got


def state(fleet: Fleet, got: Connecting) -> str:
    return str(fleet.row(t.assignments, got.assignment_id).state)


def timers(fleet: Fleet, action: str = "release") -> list[Any]:
    waiting = fleet.rows(t.jobs, t.jobs.c.kind == "assignment_timer", t.jobs.c.state == "queued")
    return [job for job in waiting if job.payload["action"] == action]


# --- agents


def test_a_session_of_the_agent_moves_the_assignment(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_after_log_out_minutes": 5})
    agent = fleet.agent(got.desktop_id)
    seen = []
    for kind in ("logged_on", "disconnected", "reconnected", "logged_off"):
        agent.report(agent.happened(kind))
        seen.append(state(fleet, got))
    assert seen == ["connected", "disconnected", "connected", "logged out"]


@pytest.mark.capability("S078")
def test_events_count_in_their_order_however_they_come_and_once(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_after_log_out_minutes": 5})
    agent = fleet.agent(got.desktop_id)
    on, off, again = agent.happened("logged_on", "disconnected", "reconnected")
    agent.report([again, off, on, on])
    assert state(fleet, got) == "connected"
    before = fleet.codes()
    for late in ([on], [off], [off, on], [again]):
        agent.report(late)
    assert state(fleet, got) == "connected"
    assert fleet.codes() == before


def test_a_report_of_an_earlier_boot_is_history(fleet: Fleet) -> None:
    _, got = used_desktop(fleet)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"))
    held_up = [*agent.happened("logged_off")]
    agent.reboot()
    agent.report(agent.happened("logged_on"), sessions=[{"state": "logged on"}])
    assert fleet.row(t.assignments, got.assignment_id).evidence is False or state(fleet, got) == "connected"
    epoch = fleet.row(t.assignments, got.assignment_id).epoch
    agent.report(held_up, boot="boot-1", sessions=[])
    row = fleet.row(t.assignments, got.assignment_id)
    assert (row.state, row.epoch) == ("connected", epoch)
    assert fleet.row(t.desktops, got.desktop_id).session == "logged on"
    assert fleet.row(t.agents, agent.id.id).boot_id == "boot-2"


def test_a_heartbeat_without_sessions_says_nothing_of_them(fleet: Fleet) -> None:
    _, got = used_desktop(fleet)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"), sessions=[{"state": "logged on"}])
    agent.report()
    assert fleet.row(t.desktops, got.desktop_id).session == "logged on"
    agent.report(sessions=[])
    assert fleet.row(t.desktops, got.desktop_id).session == "none"


def test_events_after_a_release_are_history(fleet: Fleet) -> None:
    me, got = used_desktop(fleet)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"))
    release.release(fleet.broker, me, got.assignment_id)
    agent.report(agent.happened("logged_off"))
    fleet.work()
    assert state(fleet, got) == "released"
    agent.report(agent.happened("logged_on", "disconnected"))
    assert state(fleet, got) == "released"


def test_a_broker_that_dies_before_it_moves_the_mark_reads_again_and_changes_nothing(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_after_log_out_minutes": 5})
    agent = fleet.agent(got.desktop_id)
    message = agent.happened("logged_on", "disconnected")
    agent.report(message)
    before = fleet.row(t.assignments, got.assignment_id), fleet.codes(), len(timers(fleet))
    fleet.change(t.agents, agent.id.id, sequence=0)  # as it was when the broker died
    agent.report([message[1]])
    after = fleet.row(t.assignments, got.assignment_id), fleet.codes(), len(timers(fleet))
    assert (after[0].state, after[0].epoch, after[1], after[2]) == (
        before[0].state,
        before[0].epoch,
        before[1],
        before[2],
    )


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FACTS = st.dictionaries(
    st.sampled_from(["protocols", "ssh_host_keys", "login_user", "os_family", "port"]), JUNK, max_size=4
)


def test_any_report_is_answered_or_refused(fleet: Fleet) -> None:
    _, got = used_desktop(fleet)
    agent = fleet.agent(got.desktop_id)
    keys = st.sampled_from(["boot_id", "sequence", "facts", "sessions", "events", "results"])

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(keys, JUNK), FACTS, JUNK)
    def report(junk: dict[str, Any], facts: Any, event: Any) -> None:
        usual = {
            "boot_id": "boot-1",
            "sequence": 1,
            "facts": facts,
            "events": [event, {"sequence": event, "kind": event}],
        }
        for message in (usual, usual | junk):
            with suppress(Invalid):
                agents.report(fleet.broker, agent.id, message)

    report()


def test_an_agent_that_is_silent_too_long_is_unreachable_and_keeps_its_user(fleet: Fleet) -> None:
    _, got = used_desktop(fleet)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"))
    fleet.clock.forward(minutes=4)
    assert agents.note_lost(fleet.broker) == 1
    assert fleet.row(t.desktops, got.desktop_id).agent == "unreachable"
    assert state(fleet, got) == "connected"
    agent.report()
    assert fleet.row(t.desktops, got.desktop_id).agent == "running"


# --- gateways


def gateway_says(
    fleet: Fleet, gateway: Any, *events: tuple[str, str], live: tuple[str, ...] = (), boot: str = "b"
) -> None:
    row = fleet.row(t.gateways, gateway.id)
    mark = row.sequence if row.boot_id == boot else 0
    made = [{"kind": kind, "connection": id, "sequence": mark + n + 1} for n, (kind, id) in enumerate(events)]
    gateways.report(fleet.broker, fleet.again(gateway), {"boot_id": boot, "events": made, "live": list(live)})


def opened(fleet: Fleet, me: SignedIn, got: Connecting, gateway: Any) -> None:
    text = connect.ticket(fleet.broker, me, got.id)["ticket"]
    gateways.redeem(fleet.broker, gateway, {"ticket": text})


@pytest.mark.capability("S050")
def test_the_gateways_word_moves_the_assignment(fleet: Fleet) -> None:
    me, got = used_desktop(fleet)
    gateway = fleet.gateway()
    opened(fleet, me, got, gateway)
    gateway_says(fleet, gateway, ("opened", got.id), live=(got.id,))
    assert state(fleet, got) == "connected"
    gateway_says(fleet, gateway, ("closed", got.id))
    assert state(fleet, got) == "disconnected"
    gateway_says(fleet, gateway, ("opened", got.id))  # the word of its opening was held up
    assert state(fleet, got) == "disconnected"
    gateway_says(fleet, gateway, ("closed", got.id), ("closed", got.id))
    assert state(fleet, got) == "disconnected"
    gateway_says(fleet, gateway, ("closed", "nobody's"), ("", ""), ("opened", "x" * 500))


def test_a_broker_that_dies_between_the_steps_of_an_opening_finishes_it(fleet: Fleet) -> None:
    me, got = used_desktop(fleet)
    gateway = fleet.gateway()
    gateway_says(fleet, gateway)
    opened(fleet, me, got, gateway)
    fleet.change(t.connections, got.id, state="open", opened_at=fleet.clock())  # noted, and then the broker died
    gateway_says(fleet, gateway, ("opened", got.id), live=(got.id,))
    assert state(fleet, got) == "connected"


@pytest.mark.capability("S050")
def test_a_gateway_that_begins_anew_carries_nothing_of_before(fleet: Fleet) -> None:
    me, got = used_desktop(fleet)
    gateway = fleet.gateway()
    opened(fleet, me, got, gateway)
    gateway_says(fleet, gateway, ("opened", got.id), live=(got.id,))
    gateway_says(fleet, gateway, boot="b2")
    assert fleet.row(t.connections, got.id).close_reason == "gateway.lost"
    assert state(fleet, got) == "disconnected"


def test_a_connection_that_a_gateway_no_longer_names_is_over(fleet: Fleet) -> None:
    me, got = used_desktop(fleet)
    gateway = fleet.gateway()
    opened(fleet, me, got, gateway)
    gateway_says(fleet, gateway, ("opened", got.id), live=(got.id,))
    gateway_says(fleet, gateway)  # perhaps on its way still
    assert state(fleet, got) == "connected"
    fleet.clock.forward(31)
    gateway_says(fleet, gateway)
    assert state(fleet, got) == "disconnected"


# --- timers


def test_a_reconnect_ends_the_timers_and_nothing_fires_twice(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_after_disconnect_minutes": 10, "release_if_never_connected_minutes": None})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "disconnected"))
    assert len(timers(fleet)) == 1
    fleet.clock.forward(minutes=9)
    agent.report(agent.happened("reconnected"))
    fleet.clock.forward(minutes=5)
    fleet.work()
    assert state(fleet, got) == "connected"
    agent.report(agent.happened("disconnected", "disconnected"))
    assert len(timers(fleet)) == 1
    fleet.clock.forward(minutes=10, seconds=1)
    fleet.change(t.agents, agent.id.id, enrolled_at=None)  # nobody to ask
    fleet.work()
    assert fleet.codes().count("assignment.releasing") == 1
    reason = fleet.row(t.assignments, got.assignment_id).release_reason
    assert reason["code"] in (
        "release.after_disconnect",
        "release.no_evidence",
        "release.reboot_first",
        "release.delete",
    )


def test_a_timer_of_an_old_epoch_does_nothing_even_at_the_last_moment(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_after_disconnect_minutes": 10})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "disconnected"))
    row = timers(fleet)[0] if len(timers(fleet)) == 1 else next(
        job for job in timers(fleet) if job.payload["reason"] == "release.after_disconnect"
    )  # fmt: skip
    with fleet.broker.db.write() as conn:
        fence = jobs.claim(conn, row, fleet.broker.id, fleet.clock(), 60)
    assert fence is not None
    timer = AssignmentTimer(**row.payload)
    # The timer looked before the user came back, and acts after it.
    agent.report(agent.happened("reconnected"))
    assert evidence.apply(fleet.broker, timer.assignment_id, Event.RELEASE, "broker", None, timer.epoch) is None
    release.fire(fleet.broker, timer, Claim(row.id, fence))
    assert state(fleet, got) == "connected"


def test_a_desktop_never_opened_is_taken_back_and_says_after_how_long(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_if_never_connected_minutes": 7}, deletable=False)
    fleet.clock.forward(minutes=6)
    fleet.work()
    assert state(fleet, got) == "assigned"
    fleet.clock.forward(minutes=2)
    fleet.work()
    assert state(fleet, got) == "released"
    releasing = fleet.rows(t.events, t.events.c.code == "assignment.releasing")[0]
    assert (releasing.reason["code"], releasing.reason["params"]) == ("release.never_connected", {"minutes": 7})


def test_a_power_plan_that_was_overtaken_by_the_user_stops_nothing(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_if_never_connected_minutes": None})
    plan = fleet.plan(t.power_plans, on_disconnect="stop", on_disconnect_minutes=10)
    line = fleet.rows(t.pool_assignments)[0]
    fleet.change(t.pool_assignments, line.id, body=line.body | {"power_plan_id": plan})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "disconnected"))
    fleet.clock.forward(minutes=10, seconds=1)
    row = timers(fleet, "power")[0]
    with fleet.broker.db.write() as conn:
        fence = jobs.claim(conn, row, fleet.broker.id, fleet.clock(), 60)
    assert fence is not None
    release.fire(fleet.broker, AssignmentTimer(**row.payload), Claim(row.id, fence))
    with fleet.broker.db.write() as conn:
        jobs.finish(conn, row.id, fence, "done", fleet.clock())
    agent.report(agent.happened("reconnected"))
    fleet.work()
    assert fleet.machines().machines[0].power == "running"
    agent.report(agent.happened("disconnected"))
    fleet.clock.forward(minutes=10, seconds=1)
    fleet.work()
    assert fleet.machines().machines[0].power == "stopped"


# --- nobody at keyboard and mouse


IDLE = {"id": "1", "user": "user", "state": "idle", "idle_seconds": 300}
AT_WORK = {"id": "1", "user": "user", "state": "logged on", "idle_seconds": 0}


def test_a_session_that_nobody_touches_is_locked_and_in_the_end_logged_out(fleet: Fleet) -> None:
    """By the minutes since the person stopped, in their order; the log-off then follows its own plan."""
    _, got = used_desktop(
        fleet, {"lock_after_idle_minutes": 10, "log_out_after_idle_minutes": 30, "release_after_log_out_minutes": 0}
    )
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"), sessions=[AT_WORK])
    agent.report(agent.happened("idle"), sessions=[IDLE])
    with agent.answering() as seen:
        fleet.clock.forward(minutes=4)
        fleet.work()
        assert seen == []
        fleet.clock.forward(minutes=1, seconds=1)
        fleet.work()
        assert seen == ["lock"]
        agent.report(agent.happened("locked"), sessions=[IDLE | {"state": "locked"}])
        fleet.clock.forward(minutes=20)
        fleet.work()
        assert seen == ["lock", "log_out"]
    assert state(fleet, got) == "connected"  # only the agent's word ends it
    agent.report(agent.happened("logged_off"), sessions=[])
    fleet.work()
    assert state(fleet, got) == "released"


def test_who_moves_the_mouse_ends_what_idleness_had_begun(fleet: Fleet) -> None:
    """The timer of the longest duration goes on, and a second idle time starts from its own beginning."""
    _, got = used_desktop(
        fleet,
        {"disconnect_after_idle_minutes": 15, "release_after_minutes": 120, "release_if_never_connected_minutes": None},
    )
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "idle"), sessions=[IDLE])
    assert len(timers(fleet, "disconnect")) == 1
    opened = fleet.row(t.assignments, got.assignment_id).connected_at
    fleet.clock.forward(minutes=9)
    agent.report(agent.happened("active"), sessions=[AT_WORK])
    assert fleet.row(t.assignments, got.assignment_id).connected_at == opened
    with agent.answering() as seen:
        fleet.clock.forward(minutes=5)
        fleet.work()
        assert seen == []
        agent.report(agent.happened("idle"), sessions=[IDLE])
        fleet.clock.forward(minutes=10, seconds=1)
        fleet.work()
        assert seen == ["disconnect"]
    epoch = fleet.row(t.assignments, got.assignment_id).epoch
    assert [one.payload["epoch"] for one in timers(fleet) if one.payload["reason"] == "release.max_duration"][
        -1
    ] == epoch


def test_a_word_of_idleness_that_comes_twice_or_late_changes_nothing(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"lock_after_idle_minutes": 10})
    agent = fleet.agent(got.desktop_id)
    on, idle, active = agent.happened("logged_on", "idle", "active")
    agent.report([on])
    agent.report([idle], sessions=[IDLE])
    agent.report([idle], sessions=[IDLE])
    assert len(timers(fleet, "lock")) == 1
    agent.report([active], sessions=[AT_WORK])
    before = fleet.row(t.assignments, got.assignment_id).epoch
    agent.report([idle, active], sessions=[AT_WORK])
    agent.report(agent.happened("active"), sessions=[AT_WORK])
    assert fleet.row(t.assignments, got.assignment_id).epoch == before
    with agent.answering() as seen:
        fleet.clock.forward(minutes=30)
        fleet.work()
    assert seen == []


def test_a_desktop_that_nobody_uses_is_suspended_under_its_person(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"release_if_never_connected_minutes": None})
    plan = fleet.plan(t.power_plans, on_idle="suspend", on_idle_minutes=60)
    line = fleet.rows(t.pool_assignments)[0]
    fleet.change(t.pool_assignments, line.id, body=line.body | {"power_plan_id": plan})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "idle"), sessions=[IDLE])
    fleet.clock.forward(minutes=54)
    fleet.work()
    assert fleet.machines().machines[0].power == "running"
    fleet.clock.forward(minutes=1, seconds=1)
    fleet.work()
    assert fleet.machines().machines[0].power == "suspended"
    assert state(fleet, got) == "connected"


def test_who_moves_the_mouse_at_the_last_moment_is_not_suspended(fleet: Fleet) -> None:
    """The timer has fired and its order waits: it is called off."""
    _, got = used_desktop(fleet, {"release_if_never_connected_minutes": None})
    plan = fleet.plan(t.power_plans, on_idle="suspend", on_idle_minutes=30)
    line = fleet.rows(t.pool_assignments)[0]
    fleet.change(t.pool_assignments, line.id, body=line.body | {"power_plan_id": plan})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "idle"), sessions=[IDLE])
    fleet.clock.forward(minutes=25, seconds=1)
    row = timers(fleet, "power")[0]
    with fleet.broker.db.write() as conn:
        fence = jobs.claim(conn, row, fleet.broker.id, fleet.clock(), 60)
    assert fence is not None
    release.fire(fleet.broker, AssignmentTimer(**row.payload), Claim(row.id, fence))
    with fleet.broker.db.write() as conn:
        jobs.finish(conn, row.id, fence, "done", fleet.clock())
    assert fleet.rows(t.jobs, t.jobs.c.kind == "desktop_power", t.jobs.c.state == "queued")
    agent.report(agent.happened("active"), sessions=[AT_WORK])
    fleet.work()
    assert fleet.machines().machines[0].power == "running"


# --- handing over


@pytest.mark.capability("S011", "S012", "S027", "S111", "S113")
def test_a_single_use_desktop_is_deleted_at_log_out_and_another_is_made(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"delete_after_release": True})
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "logged_off"))
    fleet.work()
    assert state(fleet, got) == "released"
    assert fleet.row(t.desktops, got.desktop_id).stage == "gone"
    left = fleet.rows(t.desktops, t.desktops.c.deleted_at.is_(None))
    assert [row.stage for row in left] == ["ready"]
    assert [machine.desktop_id for machine in fleet.machines().machines] == [left[0].id]


@pytest.mark.capability("S025", "S026", "S111")
def test_a_permanent_desktop_is_handed_on_after_a_log_off_and_never_deleted(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"delete_after_release": True, "release_after_log_out_minutes": 0}, deletable=False)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on", "logged_off"), sessions=[])
    fleet.work()
    assert state(fleet, got) == "released"
    row = fleet.row(t.desktops, got.desktop_id)
    assert (row.stage, row.free_seats) == ("ready", 1)
    line = fleet.rows(t.pool_assignments)[0]
    fleet.user("next")
    again = connect.connect(fleet.broker, fleet.log_in("next"), f"{line.id}.0", CLIENT, "vnc")
    assert isinstance(again, Connecting)
    assert again.desktop_id == got.desktop_id


@pytest.mark.capability("S026")
def test_a_desktop_is_free_only_after_its_agent_has_seen_the_user_leave(fleet: Fleet) -> None:
    me, got = used_desktop(fleet, deletable=False)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"), sessions=[{"state": "logged on"}])
    with agent.answering() as asked:
        release.release(fleet.broker, me, got.assignment_id)
        fleet.work()
        assert asked == ["log_out"]
        assert state(fleet, got) == "releasing"
        assert fleet.row(t.desktops, got.desktop_id).free_seats == 0
    agent.report(agent.happened("logged_off"), sessions=[])
    fleet.work()
    assert state(fleet, got) == "released"
    assert fleet.row(t.desktops, got.desktop_id).stage == "ready"


@pytest.mark.capability("S026")
def test_without_evidence_a_desktop_is_quarantined_until_it_was_rebooted(fleet: Fleet) -> None:
    me, got = used_desktop(fleet, deletable=False)
    agent = fleet.agent(got.desktop_id)
    agent.report(agent.happened("logged_on"), sessions=[{"state": "logged on"}])
    fleet.change(t.desktops, got.desktop_id, agent="unreachable")
    release.release(fleet.broker, me, got.assignment_id)
    fleet.work()
    assert state(fleet, got) == "released"
    assert fleet.row(t.desktops, got.desktop_id).stage == "quarantined"
    line = fleet.rows(t.pool_assignments)[0]
    assert not isinstance(connect.connect(fleet.broker, me, f"{line.id}.0", CLIENT), Connecting)
    agent.report()  # back, and the same boot: no proof
    fleet.scan()
    assert fleet.row(t.desktops, got.desktop_id).stage == "quarantined"
    agent.reboot()
    assert fleet.row(t.desktops, got.desktop_id).stage == "ready"
    assert "desktop.healed" in fleet.codes()


@pytest.mark.capability("S026")
def test_a_desktop_without_an_agent_is_reset_before_the_next_user(fleet: Fleet) -> None:
    me, got = used_desktop(fleet, deletable=False)
    gateway = fleet.gateway()
    opened(fleet, me, got, gateway)
    gateway_says(fleet, gateway, ("opened", got.id), live=(got.id,))
    fleet.settings(errors="power:error")
    release.release(fleet.broker, me, got.assignment_id)
    fleet.work()
    assert fleet.row(t.desktops, got.desktop_id).stage == "quarantined"
    fleet.settings()
    fleet.clock.forward(minutes=2)
    fleet.work()
    assert fleet.row(t.desktops, got.desktop_id).stage == "ready"
    assert "desktop.healed" in fleet.codes()


@pytest.mark.capability("S026")
def test_a_machine_without_power_holds_nobody(fleet: Fleet) -> None:
    me, got = used_desktop(fleet, deletable=False)
    fleet.agent(got.desktop_id)
    power.power(fleet.broker, actor(fleet.broker), got.desktop_id, PowerAction.STOP)
    fleet.work()
    fleet.scan()
    release.release(fleet.broker, me, got.assignment_id)
    fleet.work()
    assert fleet.row(t.desktops, got.desktop_id).stage == "ready"


def test_an_administrator_takes_a_desktop_back(fleet: Fleet) -> None:
    _, got = used_desktop(fleet, {"delete_after_release": True})
    release.release_desktop(fleet.broker, actor(fleet.broker), got.desktop_id)
    fleet.work()
    assert state(fleet, got) == "released"
    by = [row.actor for row in fleet.rows(t.events, t.events.c.code == "assignment.releasing")]
    assert by == ["admin"]


def test_the_agents_of_new_desktops_make_them_ready(fleet: Fleet) -> None:
    fleet.center("with-agents", kind="fake")
    pool = fleet.pool(start_below=1, stop_at=1, center_id="with-agents")
    fleet.fill(pool)
    made = fleet.rows(t.desktops)[0]
    assert made.stage == "preparing"
    fleet.agent(made.id).report()
    assert fleet.row(t.desktops, made.id).stage == "ready"
