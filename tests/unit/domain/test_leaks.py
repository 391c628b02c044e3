"""What is left over in a cloud, and what only seems to be."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.domain.records import MINUTE, NOW, desktop

from portico.domain.leaks import GRACE_SECONDS, Belonging, Known, find, loose_parts, may_adopt
from portico.domain.model import Desktop, Stage, Status

pytestmark = pytest.mark.capability("S009", "S098")

LONG_AGO = NOW - 600 * MINUTE


def thing(kind: str = "machine", **more: Any) -> Belonging:
    """A thing of the desktop d1 that was made long ago."""
    calm = {"external_id": "x-d1", "name": "thing", "desktop_id": "d1", "created_at": LONG_AGO}
    return Belonging(kind, **{**calm, **more})


def codes(*things: Belonging, known: Desktop | None = None, ended: datetime | None = None, **more: Any) -> list[str]:
    """The reasons of what is found."""
    desktops = {known.id: Known(known, ended)} if known else {}
    living = {known.external_id} if known and known.external_id and ended is None else set()
    return [leak.reason.code for leak in find(things, desktops, living, NOW, **more)]


def test_a_desktops_own_machine_is_no_leak() -> None:
    assert codes(thing(), known=desktop("d1")) == []


def test_loose_are_the_parts_of_ended_desktops_that_hang_on_nothing() -> None:
    """Addresses before ports; never a machine, nor what hangs on one, nor the parts of a desktop with a machine or without an end."""
    port, address = thing("port", external_id="p"), thing("floating ip", external_id="f")
    assert loose_parts([port, address], {"d1"}) == (address, port)
    assert loose_parts([port, address], set()) == ()
    assert loose_parts([port, thing()], {"d1"}) == ()
    assert loose_parts([thing("volume", machine_id="x-other"), thing("port", desktop_id=None)], {"d1"}) == ()


@pytest.mark.parametrize("tag", ["d1", None])
def test_a_machine_without_a_row_is_one(tag: str | None) -> None:
    assert codes(thing(desktop_id=tag)) == ["machine.no_row"]


def test_a_second_machine_of_a_desktop_is_one() -> None:
    assert codes(thing(), thing(external_id="x-other"), known=desktop("d1")) == ["machine.duplicate"]


@pytest.mark.parametrize("stage", [Stage.INTENT, Stage.CREATING])
def test_before_a_desktop_has_a_machine_none_is_too_many(stage: Stage) -> None:
    assert codes(thing(), known=desktop("d1", stage=stage, external_id=None)) == []


def test_a_machine_that_outlives_its_desktop_is_one_after_a_while() -> None:
    gone = desktop("d1", stage=Stage.GONE, status=Status.DELETED)
    assert codes(thing(), known=gone, ended=NOW - MINUTE) == []
    assert codes(thing(), known=gone, ended=LONG_AGO) == ["machine.returned"]


def test_what_is_young_is_on_its_way_to_its_desktop() -> None:
    assert codes(thing(created_at=NOW - MINUTE)) == []
    assert codes(thing(created_at=NOW - MINUTE), grace_seconds=None) == ["machine.no_row"]
    assert codes(thing(created_at=None)) == ["machine.no_row"]


@pytest.mark.parametrize("kind", ["volume", "port", "floating ip"])
def test_a_part_is_needed_while_it_hangs_on_its_desktops_machine(kind: str) -> None:
    part = thing(kind, external_id="p", machine_id="x-d1")
    assert codes(part, known=desktop("d1")) == []
    loose = thing(kind, external_id="p", machine_id=None)
    assert codes(loose, known=desktop("d1")) == ["leak.loose"]
    assert codes(loose) == ["leak.loose"]


@pytest.mark.parametrize("stage", [Stage.CREATING, Stage.BUILDING, Stage.PREPARING, Stage.DELETING, Stage.FAILED])
def test_a_loose_part_waits_while_its_desktop_is_made_or_deleted(stage: Stage) -> None:
    assert codes(thing("port", external_id="p"), known=desktop("d1", stage=stage)) == []


def test_a_part_goes_with_the_machine_that_it_hangs_on() -> None:
    part = thing("volume", external_id="v", machine_id="x-d1")
    assert codes(thing(), part) == ["machine.no_row"]


def test_a_part_on_somebody_elses_machine_is_told_apart() -> None:
    moved = thing("floating ip", external_id="f", machine_id="strange")
    assert codes(moved, known=desktop("d1")) == ["leak.elsewhere"]


def test_a_machine_that_is_some_living_desktop_is_no_leak_whatever_its_tag() -> None:
    assert find([thing(desktop_id="other")], {}, {"x-d1"}, NOW) == ()


def test_only_a_machine_that_is_nobodys_is_adopted() -> None:
    assert may_adopt("machine", "machine.no_row")
    assert may_adopt("machine", "machine.returned")
    assert not may_adopt("machine", "machine.duplicate")
    assert not may_adopt("port", "leak.loose")


@given(
    st.lists(st.builds(thing, st.sampled_from(["machine", "volume", "port"]), external_id=st.sampled_from("abc"),
                       machine_id=st.sampled_from(["x-d1", "a", None]), desktop_id=st.sampled_from(["d1", "d2", None]),
                       created_at=st.sampled_from([None, NOW, LONG_AGO])), max_size=6),
    st.sampled_from(list(Stage)),
)  # fmt: skip
def test_waiting_longer_never_finds_more(things: list[Belonging], stage: Stage) -> None:
    """What is found with a grace is found without one: the reconciler relies on it to keep what it has listed."""
    known = {"d1": Known(desktop("d1", stage=stage))}
    found = find(things, known, set(), NOW, GRACE_SECONDS)
    without = find(things, known, set(), NOW, None)
    assert all(leak in without for leak in found)
