"""The pool's form: menus from the center, windows and steps as lines, errors at the field, and what saving does at once."""

from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.brokers import actor
from tests.fleet import CENTER, Bare, Fleet, make_fleet
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.errors import CloudError
from portico.ports.cloud import Choices
from portico.services import configure
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S108")
PLACEMENT = "provisioning.placement"


class Silent(Bare):
    """A fake cloud that does not answer."""

    def choices(self) -> Choices:
        raise CloudError("The fake cloud does not answer.")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    made = make_fleet(tmp_path)
    yield made
    made.broker.db.dispose()


@pytest.fixture
def client(fleet: Fleet) -> Iterator[TestClient]:
    with TestClient(create_app(fleet.broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


def typed(**more: str | list[str]) -> dict[str, str | list[str]]:
    """A form as a browser sends it, with the names' dots written as two underscores."""
    form: dict[str, str | list[str]] = {
        "name": "Lab", "rule.join": "and", "provisioning.limits.enabled": "on", "provisioning.limits.start_below": "1",
        "provisioning.limits.stop_at": "2", "provisioning.center_id": CENTER, "provisioning.image": "fake-linux",
        "provisioning.name_template": "lab-{SEQUENCE}", "provisioning.sequence_start": "1", "provisioning.max_sessions": "1",
        "provisioning.deletable": "on",
    }  # fmt: skip
    return form | {f"provisioning.{key.replace('__', '.')}": value for key, value in more.items()}


def values_of(text: str, name: str) -> list[str]:
    """The values of a menu in a page."""
    menu = text.partition(f'name="{name}"')[2].partition("</select>")[0]
    return [part.partition('"')[0] for part in menu.split('<option value="')[1:]]


@pytest.mark.capability("S101", "S103", "S104", "S105", "S106", "S110")
def test_every_menu_is_read_from_the_center_that_is_chosen(client: TestClient) -> None:
    csrf = log_in(client)
    text = client.post("/admin/pools/new", data={"csrf": csrf, "intent": "menus/read"} | typed(), headers=SAME).text
    for name, value in (
        ("provisioning.image", "fake-linux"), ("provisioning.flavor", "small"), ("provisioning.network", "fake-net"),
        (f"{PLACEMENT}.zone", "fake-zone"), (f"{PLACEMENT}.floating_network", "fake-public"), (f"{PLACEMENT}.volume.type", "fake-fast"),
        (f"{PLACEMENT}.server_group", "fake-apart"), (f"{PLACEMENT}.key_pair", "fake-key"),
    ):  # fmt: skip
        assert value in values_of(text, name), name
    groups = [box["value"] for box in Page(text).all("input") if box.get("name") == f"{PLACEMENT}.security_groups"]
    assert groups == ["default", "fake-desktops"]
    without = typed(center_id="")
    text = client.post("/admin/pools/new", data={"csrf": csrf, "intent": "menus/read"} | without, headers=SAME).text
    assert PLACEMENT not in text


@pytest.mark.capability("S102", "S103", "S105", "S106", "S107", "S110", "S111", "S112")
def test_what_is_typed_is_saved_and_shown_again(client: TestClient, fleet: Fleet) -> None:
    csrf = log_in(client)
    form = typed(
        flavor="small", network="fake-net", display_name_template="Lab {SEQUENCE:2}", enforce="on", time_zone="Europe/Berlin",
        placement__zone="fake-zone", placement__security_groups=["default", "fake-desktops"], placement__floating_ip="on",
        placement__floating_network="fake-public", placement__volume__create="on", placement__volume__size_gib="20",
        placement__volume__type="fake-fast", placement__server_group="fake-apart", placement__key_pair="fake-key",
        placement__config_drive="on", placement__metadata="role={POOL}\r\nwho = {VM:NAME}", user_data="echo ${HOME}",
        time_limits__0__weekdays=["0", "4"], time_limits__0__start="18:00", time_limits__0__stop="00:00",
        time_limits__0__start_below="0", time_limits__0__stop_at="1", actions__0__action="poweroff",
        actions__0__wait_seconds="60", actions__1__action="set_available", actions__1__wait_seconds="0",
    )  # fmt: skip
    answer = client.post("/admin/pools/new", data={"csrf": csrf} | form, headers=SAME)
    assert answer.status_code == 303, answer.text
    (row,) = fleet.rows(t.pools)
    made = row.body["provisioning"]
    assert made["placement"] == {
        "zone": "fake-zone", "security_groups": ["default", "fake-desktops"], "default_security_group": False,
        "floating_ip": True, "floating_network": "fake-public", "server_group": "fake-apart", "key_pair": "fake-key",
        "volume": {"create": True, "size_gib": 20, "type": "fake-fast", "delete_with_machine": False}, "config_drive": True,
        "metadata": {"role": "{POOL}", "who": "{VM:NAME}"},
    }  # fmt: skip
    assert made["time_limits"] == [
        {"weekdays": [0, 4], "start": "18:00", "stop": "00:00", "start_below": 0, "stop_at": 1}
    ]
    assert [(one["action"], one["wait_seconds"]) for one in made["actions"]] == [("poweroff", 60), ("set_available", 0)]
    text = client.get(f"/admin/pools/{row.id}?tab=settings").text
    assert "role={POOL}\nwho={VM:NAME}" in text
    checked = [
        box["value"] for box in Page(text).all("input") if "checked" in box and "weekdays" in (box.get("name") or "")
    ]
    assert checked == ["0", "4"]


def test_what_has_vanished_is_flagged_and_kept_until_somebody_takes_it_out(client: TestClient, fleet: Fleet) -> None:
    csrf = log_in(client)
    pool = fleet.pool("Lab", placement={"zone": "gone-zone", "security_groups": ["gone-group", "default"]})
    text = client.get(f"/admin/pools/{pool}?tab=settings").text
    assert "gone-zone" in values_of(text, f"{PLACEMENT}.zone")
    assert "What is chosen here is not there any more." in text
    assert "Some of what is chosen here is not there any more." in text
    form = typed(placement__zone="gone-zone", placement__security_groups=["gone-group", "default"])
    client.post(f"/admin/pools/{pool}/edit", data={"csrf": csrf} | form, headers=SAME)
    kept = fleet.row(t.pools, pool).body["provisioning"]["placement"]
    assert (kept["zone"], kept["security_groups"]) == ("gone-zone", ["gone-group", "default"])


def test_while_the_center_is_silent_nothing_that_was_chosen_is_lost(client: TestClient, fleet: Fleet) -> None:
    csrf = log_in(client)
    pool = fleet.pool("Lab", placement={"zone": "fake-zone", "security_groups": ["default"]})
    fleet.broker.cloud_drivers["bare"] = Silent  # type: ignore[index]
    text = client.get(f"/admin/pools/{pool}?tab=settings").text
    assert "The center does not answer, so its menus cannot be read." in text
    assert Page(text).field(f"{PLACEMENT}.security_groups") == "default"
    form = typed(placement__zone="fake-zone", placement__security_groups="default, fake-desktops",
                 placement__volume__size_gib="0")  # fmt: skip
    answer = client.post(f"/admin/pools/{pool}/edit", data={"csrf": csrf} | form, headers=SAME)
    assert answer.status_code == 303
    kept = fleet.row(t.pools, pool).body["provisioning"]["placement"]
    assert (kept["zone"], kept["security_groups"]) == ("fake-zone", ["default", "fake-desktops"])


@pytest.mark.parametrize(
    ("wrong", "field", "sentence"),
    [
        ({"display_name_template": "{USER}"}, "provisioning-display_name_template", "There is no tag {USER}."),
        ({"user_data": "{VM:IP}"}, "provisioning-user_data", "There is no tag {VM:IP}."),
        ({"placement__metadata": "role={WHO}"}, "provisioning-placement-metadata", "There is no tag {WHO} in “role”."),
        ({"placement__metadata": "role"}, "provisioning-placement-metadata", "Write one name=value in each line."),
        ({"time_zone": "Mars"}, "provisioning-time_zone", "There is no such time zone."),
        (
            {"time_limits__0__start": "", "time_limits__0__stop": "18:00", "time_limits__0__weekdays": "1"},
            "provisioning-time_limits-0-start",
            "Give a time such as 08:30",
        ),
        (
            {"actions__0__action": "set_available", "actions__1__action": "start"},
            "provisioning-actions-0-action",
            "Put this last",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_stands_at_its_field_in_a_section_that_is_open(
    client: TestClient, wrong: dict[str, str], field: str, sentence: str
) -> None:
    csrf = log_in(client)
    answer = client.post("/admin/pools/new", data={"csrf": csrf} | typed(**wrong), headers=SAME)
    assert answer.status_code == 422
    before, _, after = unescape(answer.text).partition(f'id="{field}-error"')
    assert sentence in after.partition("</p>")[0]
    assert before.rpartition('<details class="section"')[2].startswith(" open")


@pytest.mark.capability("S111")
def test_the_form_says_how_many_desktops_saving_deletes(client: TestClient, fleet: Fleet) -> None:
    csrf = log_in(client)
    pool = fleet.pool("Lab", start_below=3, stop_at=3)
    fleet.fill(pool)

    def preview(**more: Any) -> str:
        return client.post(f"/admin/pools/{pool}/preview", data={"csrf": csrf} | typed(**more), headers=SAME).text

    assert "Saving deletes 1 desktop that nobody has." in preview(enforce="on")
    assert "Saving builds nothing at once." in preview()
    always = {
        f"time_limits__0__{key}": value
        for key, value in (("start", "00:00"), ("stop", "24:00"), ("start_below", "5"), ("stop_at", "9"))
    }
    assert "Saving builds 2 desktops at once." in preview(time_limits__0__weekdays=list("0123456"), **always)
    assert "Saving builds nothing at once." in preview(
        time_limits__0__weekdays=list("0123456"), time_limits__0__start="soon"
    )


@pytest.mark.capability("S110", "S093")
def test_rest_describes_every_field_of_provisioning(fleet: Fleet) -> None:
    fields = {info.name: info for info in configure.describe("pools").fields}
    for name in (
        "placement.zone",
        "placement.volume.size_gib",
        "time_limits",
        "actions",
        "enforce",
        "time_zone",
        "display_name_template",
    ):
        assert fields[f"provisioning.{name}"].title
    assert fields["provisioning.actions.action"].choices[-1] == "set_unavailable"
    made = configure.create_item(fleet.broker, actor(fleet.broker), "pools", {"name": "Bare"})
    assert made["provisioning"]["placement"]["default_security_group"] is True


@pytest.mark.capability("S096", "S108")
def test_the_pools_page_tells_the_limits_of_now_and_when_others_hold(client: TestClient, fleet: Fleet) -> None:
    """Inside of a window its limits are told, and what follows it."""
    log_in(client)
    always = {"weekdays": list(range(7)), "start_below": 4, "stop_at": 10}
    hours = [{**always, "start": "00:00", "stop": "24:00"}]
    day = [{**always, "weekdays": [fleet.clock().weekday()], "start": "00:00", "stop": "24:00"}]
    for number, (windows, changes) in enumerate(((hours, False), (day, True))):
        pool = fleet.pool(f"Lab {number}", start_below=2, stop_at=6, time_limits=windows)
        text = client.get(f"/admin/pools/{pool}").text
        assert "Builds when fewer than 4 desktops are unassigned, up to 10 in all." in text
        assert ("Then: below 2, up to 6" in text) is changes
