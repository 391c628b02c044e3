"""Recordings at the broker: expected with the grant, taken in pieces, read by those who may, deleted in time."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from tests.fleet import CLIENT, Fleet

from portico.domain.access import Actor
from portico.domain.model import NoDesktop, Role
from portico.errors import Conflict, Denied, Invalid, NotFound
from portico.services import configure, connect, gateways, housekeeping, recordings
from portico.services.configure import Query
from portico.services.connect import Connecting
from portico.store import tables as t
from portico.wire.recordings import FRAMES, Sealer, frame

pytestmark = pytest.mark.capability("S057")


def actor(fleet: Fleet, level: str = "edit", tenant: str = "") -> Actor:
    me = fleet.log_in().actor
    return Actor(
        me.user_id,
        "auditor",
        tenant or me.tenant_id,
        Role("r", me.tenant_id, "Auditor", areas={"recordings": level} if level else {}),
    )


def granted(fleet: Fleet, mode: str = "required") -> dict[str, Any]:
    """Redeem a ticket under a plan that records, and return what the gateway is told of it."""
    fleet.desktops(1)
    line = fleet.line(fleet.pool())
    plan = fleet.plan(t.protocol_plans, recording=mode)
    fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": plan})
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    gateway = fleet.gateway()
    ticket = connect.ticket(fleet.broker, me, got.id)["ticket"]
    return gateways.redeem(fleet.broker, gateway, {"ticket": ticket, "client_address": "192.0.2.1"})


def sealed(wanted: dict[str, str], content: bytes = b"pictures", *, ended: bool = True) -> bytes:
    """Return a file as a gateway makes it."""
    sealer = Sealer(
        {"id": wanted["id"], "key": wanted["key"], "format": FRAMES, "protocol": "vnc", "started": ""},
        bytes.fromhex(wanted["public"]),
    )
    data = sealer.head + sealer.piece(frame(0.5, 0, content))
    return data + sealer.piece(b"", last=True) if ended else data


def maker(fleet: Fleet) -> str:
    """The gateway whose recordings these are."""
    return str(fleet.rows(t.gateways)[0].id)


def send(fleet: Fleet, wanted: dict[str, str], data: bytes) -> dict[str, Any]:
    return recordings.take(fleet.broker, maker(fleet), wanted["id"], 0, data, hashlib.sha256(data).hexdigest())


def test_a_plan_that_records_says_so_in_the_grant_and_the_console_knows_it(fleet: Fleet) -> None:
    """Before the session opens: a gateway that is killed at once leaves a trace."""
    grant = granted(fleet)
    wanted = grant["recording"]
    assert wanted["mode"] == "required" and len(bytes.fromhex(wanted["public"])) == 32
    (item,) = configure.list_items(fleet.broker, actor(fleet), "recordings", Query()).items
    assert (item["id"], item["state"], item["protocol"], item["user_name"]) == (wanted["id"], "expected", "vnc", "user")
    with pytest.raises(Conflict, match="not sent"):
        recordings.open_plain(fleet.broker, actor(fleet), wanted["id"])


def test_without_a_plan_that_records_nothing_is_expected(fleet: Fleet) -> None:
    assert "recording" not in granted(fleet, "off")
    assert fleet.rows(t.recordings) == []


def test_pieces_are_taken_in_order_however_often_they_come(fleet: Fleet) -> None:
    """A repeated one changes nothing, one that skips is told what is here, a wrong hash begins anew, and the end is the end."""
    wanted = granted(fleet)["recording"]
    data, id = sealed(wanted), wanted["id"]
    digest = hashlib.sha256(data).hexdigest()
    assert recordings.take(fleet.broker, maker(fleet), id, 0, data[:100], "") == {"size": 100, "done": False}
    assert recordings.take(fleet.broker, maker(fleet), id, 0, data[:100], "") == {"size": 100, "done": False}
    assert recordings.take(fleet.broker, maker(fleet), id, 150, data[150:], digest) == {"size": 100, "done": False}
    assert recordings.take(fleet.broker, maker(fleet), id, 100, data[100:], "0" * 64) == {"size": 0, "done": False}
    assert send(fleet, wanted, data) == {"size": len(data), "done": True}
    assert send(fleet, wanted, data) == {"size": len(data), "done": True}
    row = fleet.row(t.recordings, id)
    assert (row.state, row.bytes, row.sha256) == ("complete", len(data), digest)
    assert fleet.codes().count("recording.kept") == 1
    with pytest.raises(NotFound):
        recordings.take(fleet.broker, maker(fleet), "unknown", 0, b"", "")


def test_who_may_reads_it_and_each_read_is_an_event(fleet: Fleet) -> None:
    """Nobody else: not without the area, not from another tenant."""
    wanted = granted(fleet)["recording"]
    send(fleet, wanted, sealed(wanted, b"seen"))
    found = recordings.open_plain(fleet.broker, actor(fleet, "view"), wanted["id"])
    assert b"".join(found.pieces) == frame(0.5, 0, b"seen") and found.format == FRAMES
    assert "recording.watched" in fleet.codes()
    with pytest.raises(Denied):
        recordings.open_plain(fleet.broker, actor(fleet, ""), wanted["id"])
    other = fleet.insert(t.tenants, name="other", created_at=fleet.clock())
    with pytest.raises(NotFound):
        recordings.open_plain(fleet.broker, actor(fleet, "edit", other), wanted["id"])
    with pytest.raises(Denied):
        configure.delete_item(fleet.broker, actor(fleet, "view"), "recordings", wanted["id"])


def test_what_breaks_off_or_was_changed_is_known_at_once(fleet: Fleet) -> None:
    """And what is there before the break can be read."""
    wanted = granted(fleet)["recording"]
    send(fleet, wanted, sealed(wanted, ended=False))
    assert fleet.row(t.recordings, wanted["id"]).state == "cut off" and "recording.cut_off" in fleet.codes()
    assert b"".join(recordings.open_plain(fleet.broker, actor(fleet), wanted["id"]).pieces) == frame(
        0.5, 0, b"pictures"
    )
    path = recordings.folder(fleet.broker) / f"{wanted['id']}.rec"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert b"".join(recordings.open_plain(fleet.broker, actor(fleet), wanted["id"]).pieces) == b""


def test_they_go_when_they_are_old_or_deleted_with_their_files(fleet: Fleet) -> None:
    """After as many days as the setting says; one that never came after two weeks."""
    wanted = granted(fleet)["recording"]
    send(fleet, wanted, sealed(wanted))
    path = recordings.folder(fleet.broker) / f"{wanted['id']}.rec"
    fleet.clock.forward(days=89)
    housekeeping.purge(fleet.broker)
    assert path.exists()
    fleet.clock.forward(days=2)
    assert housekeeping.purge(fleet.broker)["recordings"] == 1
    assert not path.exists() and fleet.rows(t.recordings) == []


def test_a_deleted_one_takes_its_file_with_it(fleet: Fleet) -> None:
    wanted = granted(fleet)["recording"]
    send(fleet, wanted, sealed(wanted))
    assert configure.delete_item(fleet.broker, actor(fleet), "recordings", wanted["id"])["deleted"] == 1
    housekeeping.purge(fleet.broker)
    assert list(recordings.folder(fleet.broker).iterdir()) == []
    assert "recording.deleted" in fleet.codes()


def test_another_gateway_cannot_send_it(fleet: Fleet) -> None:
    """Nor spoil what is here of it."""
    wanted = granted(fleet)["recording"]
    data, other = sealed(wanted), fleet.gateway("other")
    recordings.take(fleet.broker, maker(fleet), wanted["id"], 0, data[:100], "")
    for piece, digest in ((b"", ""), (data, hashlib.sha256(data).hexdigest()), (b"x", "0" * 64)):
        with pytest.raises(NotFound):
            recordings.take(fleet.broker, other.id, wanted["id"], 0, piece, digest)
    digest = hashlib.sha256(data).hexdigest()
    assert recordings.take(fleet.broker, maker(fleet), wanted["id"], 100, data[100:], digest)["done"]


def test_there_is_no_room_beyond_the_quota(fleet: Fleet) -> None:
    """The gateway keeps it, and asks again later."""
    wanted = granted(fleet)["recording"]
    fleet.change(t.recordings, wanted["id"], bytes=1 << 30)
    full = replace(fleet.broker, config=replace(fleet.broker.config, recordings_gib=1))
    with pytest.raises(recordings.Full):
        recordings.take(full, maker(fleet), wanted["id"], 0, sealed(wanted), "")


def test_what_must_be_recorded_is_not_opened_in_a_program_of_the_device(fleet: Fleet) -> None:
    """Nobody sees there what passes."""
    granted(fleet)
    me = fleet.log_in()
    held = fleet.rows(t.assignments)[0].id
    answer = connect.connect(fleet.broker, me, f"a.{held}", replace(CLIENT, kind="connect"), "vnc")
    assert isinstance(answer, NoDesktop)
    assert [one.code for one in answer.reason.because] == ["protocol.not_recorded"]


def test_a_watermark_says_who_is_there_and_leaves_the_time_to_the_page(fleet: Fleet) -> None:
    """By the plan's words; without any there is none."""
    fleet.desktops(1)
    line = fleet.line(fleet.pool())
    plan = fleet.plan(t.protocol_plans, watermark="{USER} on {DESKTOP}, {TIME}")
    fleet.change(t.pool_assignments, fleet.rows(t.pool_assignments)[0].id, body={"protocol_plan_id": plan})
    me = fleet.log_in()
    got = connect.connect(fleet.broker, me, f"{line}.0", CLIENT, "vnc")
    assert isinstance(got, Connecting)
    gateway, ticket = fleet.gateway(), connect.ticket
    grant = gateways.redeem(
        fleet.broker, gateway, {"ticket": ticket(fleet.broker, me, got.id)["ticket"], "client_address": ""}
    )
    assert grant["policy"]["watermark"] == f"user on {got.desktop_name}, {{TIME}}"


def test_a_watermark_with_a_tag_that_nobody_knows_is_refused(fleet: Fleet) -> None:
    """With the ones that are known."""
    me = fleet.log_in().actor
    editor = Actor(me.user_id, "a", me.tenant_id, Role("r", me.tenant_id, "a", areas={"plans": "edit"}))
    with pytest.raises(Invalid) as caught:
        configure.create_item(fleet.broker, editor, "protocol-plans", {"name": "Marked", "watermark": "{USER} {SHOE}"})
    assert "{SHOE}" in caught.value.fields["watermark"] and "{TIME}" in caught.value.fields["watermark"]
