"""A restricted administrator: what is out of reach is neither shown nor touched, by whatever way one comes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Integer
from starlette.testclient import TestClient
from tests.brokers import TENANT
from tests.fleet import Fleet
from tests.integration.apis import Api
from tests.page_client import ORIGIN, SAME, Page, log_in

from portico.domain.access import NARROWED_AREAS, NARROWED_NOUNS, Actor
from portico.errors import Denied, NotFound
from portico.ports.cloud import MachineSpec
from portico.services import configure, events, membership, overview, trends
from portico.services.nouns import NOUNS
from portico.store import tables as t
from portico.store.engine import count_statements
from portico.store.types import UTCDateTime
from portico.web.admin.areas import AREAS as CONSOLE
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S002", "S008")

# The walks over hundreds of routes take long, and the conditions that they try are those which the other tests run on both engines.
ON_ONE_ENGINE = pytest.mark.parametrize("fresh_database_url", ["sqlite"], indirect=True)
MARK = "zzhidden"  # stands in every name that a restricted administrator must not see
OWN = ("login", "logout", "me", "agent", "gateway", "session")  # what everybody has, whatever their role
ACTIONS = ({}, {"action": "stop"}, {"mode": "view"}, {"fix": "security_group_rules"}, {"name": "Taken"})


@dataclass
class Parts:
    """One part of the fleet that an administrator may be restricted to: table → id."""

    ids: dict[str, str]


def plant(fleet: Fleet, table: Any, name: str, **values: Any) -> str:
    """Insert a row whose columns hold whatever their types allow."""
    row: dict[str, Any] = {}
    for column in table.c:
        if column.name == "id" or column.nullable:
            continue
        kinds: list[tuple[Any, Any]] = [(Boolean, False), (Integer, 0), (UTCDateTime, fleet.clock()), (JSON, {})]
        row[column.name] = next((value for kind, value in kinds if isinstance(column.type, kind)), name)
    row |= {key: value for key, value in {"tenant_id": TENANT}.items() if key in table.c}
    return fleet.insert(table, **row | values)


def part(fleet: Fleet, name: str) -> Parts:
    """Make a center with a desktop that somebody holds, a pool of it, and one of all that hangs on these."""
    center = fleet.center(name, kind="bare")
    fleet.cloud(center).create(_machine(f"{name}-desktop"))
    fleet.scan(center)
    desktop = str(fleet.rows(t.desktops, t.desktops.c.center_id == center)[0].id)
    pool = fleet.pool(f"{name}-pool", center_id=center, rule={"centers": [center]})
    membership.rewrite(fleet.broker, pool)
    seat = fleet.rows(t.seats, t.seats.c.desktop_id == desktop)
    seat_id = str(seat[0].id) if seat else plant(fleet, t.seats, name, desktop_id=desktop)
    held = plant(
        fleet,
        t.assignments,
        name,
        desktop_id=desktop,
        seat_id=seat_id,
        user_id="user",
        mode="policy",
        state="connected",
    )
    opened = plant(
        fleet,
        t.connections,
        name,
        assignment_id=held,
        user_id="user",
        state="open",
        gateway_id="gateway",
        protocol="vnc",
    )
    ids = {"centers": center, "desktops": desktop, "pools": pool, "assignments": held, "connections": opened}
    ids["images"] = plant(fleet, t.images, f"{name}-image", center_id=center)
    ids["recordings"] = plant(fleet, t.recordings, f"{name}-rec", desktop_id=desktop, state="complete")
    ids["leaks"] = plant(
        fleet, t.leaks, f"{name}-leak", center_id=center, state="open", reason={"code": "leak.orphan", "params": {}}
    )
    ids["waiting-agents"] = plant(
        fleet, t.waiting_agents, f"{name}-agent", desktop_id=desktop, tenant_id=TENANT, state="waiting"
    )
    ids["jobs"] = plant(
        fleet, t.jobs, f"{name}-job", lane=f"desktop:{desktop}", kind="desktop_power", state="failed", tenant_id=TENANT,
        payload={"desktop_id": desktop, "action": "stop"}, error=name,
    )  # fmt: skip
    for column, id in (("desktop_id", desktop), ("pool_id", pool), ("center_id", center)):
        with fleet.broker.db.write() as conn:
            values = {
                "tenant_id": TENANT,
                "at": fleet.clock(),
                "level": "warning",
                "code": "desktop.ready",
                "actor": name,
            }
            conn.execute(t.events.insert().values(params={"desktop": name}, correlation="", **values, **{column: id}))
    return Parts(ids)


def _machine(name: str) -> Any:
    return MachineSpec(name, "elsewhere", name, "fake-linux", "", "", "", {}, {})


@pytest.fixture
def parts(fleet: Fleet) -> tuple[Parts, Parts]:
    """What is within the reach of the administrator, and what is not."""
    mine, theirs = part(fleet, "near"), part(fleet, MARK)
    areas = dict.fromkeys(NARROWED_AREAS, "edit")
    body = {"areas": areas, "restricted": True, "pools": [mine.ids["pools"]], "centers": [mine.ids["centers"]]}
    fleet.insert(t.roles, id="role-part", name="Part", body=body)
    fleet.user("part")
    fleet.change(t.users, "u-part", role_id="role-part")
    return mine, theirs


def actor_of(fleet: Fleet) -> Actor:
    return fleet.log_in("part").actor


def state(fleet: Fleet) -> dict[str, list[Any]]:
    """Every row that an administrator could have changed."""
    names = ("centers", "pools", "desktops", "assignments", "connections", "images", "recordings", "leaks", "waiting_agents", "jobs",
             "roles", "policies", "settings", "tenants", "shadows", "outbox", "gateways")  # fmt: skip
    return {name: sorted(map(repr, fleet.rows(t.metadata.tables[name]))) for name in names}


def hidden(fleet: Fleet, theirs: Parts, text: str, path: str = "") -> None:
    """Nothing of the other part stands in what was answered, but what was asked for itself."""
    for secret in (MARK, *theirs.ids.values()):
        assert secret in path or secret not in text.replace(path or "\0", ""), f"{secret} is shown by {path}"


def test_every_noun_is_narrowed_or_refused(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """Lists show one's own part alone, counted so; what cannot be narrowed is refused; details are as if not there."""
    mine, theirs = parts
    actor = actor_of(fleet)
    for name, noun in NOUNS.items():
        if name not in NARROWED_NOUNS:
            with pytest.raises(Denied):
                configure.list_items(fleet.broker, actor, name, configure.Query())
            continue
        page = configure.list_items(fleet.broker, actor, name, configure.Query(limit=500))
        hidden(fleet, theirs, repr(page.items))
        assert page.total == len(page.items)
        table = noun.table.name.replace("_", "-")
        if table in mine.ids:
            assert mine.ids[table] in {item["id"] for item in page.items}, name
            with pytest.raises(NotFound):
                configure.get_item(fleet.broker, actor, name, theirs.ids[table])
        for searched in (MARK, f"pool:{MARK}", f"center:{MARK}"):
            found = configure.list_items(fleet.broker, actor, name, configure.Query(searched)).items
            assert not found, (name, searched)


@ON_ONE_ENGINE
def test_rest_shows_and_does_nothing_out_of_reach(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """Every operation that the API describes, on every id out of reach: refused or not found, and nothing has changed."""
    _, theirs = parts
    api = Api(fleet.broker)
    me = api.log_in("part")
    described = api.client.get("/api/v1/openapi.json").json()["paths"]
    before, walked = state(fleet), 0
    for whole, operations in described.items():
        path = whole.removeprefix("/api/v1")
        if path.split("/")[1] in OWN or "stream" in path:
            continue
        for method in operations:
            if "{" not in path:
                if method == "get":
                    answer = me.call("GET", path)
                    assert answer.status_code < 500, (path, answer.text)
                    hidden(fleet, theirs, answer.text)
                continue
            for id in dict.fromkeys(theirs.ids.values()):
                real = "/".join(id if piece.startswith("{") else piece for piece in path.split("/"))
                for body in ({},) if method in ("get", "delete") else ACTIONS:
                    answer = me.call(method.upper(), real, None if method in ("get", "delete") else body)
                    assert 400 <= answer.status_code < 500, (method, real, answer.status_code, answer.text)
                    hidden(fleet, theirs, answer.text, id)
                    walked += 1
    assert walked > 200
    assert state(fleet) == before


def test_what_is_in_reach_is_handled(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """Power, release, scan, refill, retry, keep: by the API, on one's own part."""
    mine, _ = parts
    me, ids = Api(fleet.broker).log_in("part"), mine.ids
    for path, body in (
        (f"/centers/{ids['centers']}/scan", None),
        (f"/pools/{ids['pools']}/refill", None),
        (f"/leaks/{ids['leaks']}/keep", None),
        (f"/jobs/{ids['jobs']}/retry", None),
        (f"/desktops/{ids['desktops']}/power", {"action": "stop"}),
        (f"/desktops/{ids['desktops']}/release", None),
    ):
        answer = me.call("POST", path, body)
        assert answer.status_code in (202, 204), (path, answer.text)
    changed = me.call("PATCH", f"/desktops/{ids['desktops']}", {"notes": "Mine"})
    assert changed.status_code == 200, changed.text
    assert fleet.row(t.assignments, ids["assignments"]).release_reason["code"] == "release.by_administrator"


@pytest.fixture
def pages(fleet: Fleet) -> Iterator[TestClient]:
    with TestClient(create_app(fleet.broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


@ON_ONE_ENGINE
def test_the_console_shows_and_does_nothing_out_of_reach(
    fleet: Fleet, parts: tuple[Parts, Parts], pages: TestClient
) -> None:
    """Every list, form, export, search and detail of the console; what is one's own is there."""
    mine, theirs = parts
    csrf = log_in(pages, "part")
    for path in ("/admin", "/admin/palette?q=e", "/admin/palette?q=n", "/admin/desktop-sessions"):
        answer = pages.get(path)
        assert answer.status_code == 200, path
        hidden(fleet, theirs, answer.text)
    before = state(fleet)
    for noun in CONSOLE:
        for path in (
            f"/admin/{noun}",
            f"/admin/{noun}/new",
            f"/admin/{noun}/export?format=csv",
            f"/admin/{noun}/export?format=json",
        ):
            answer = pages.get(path)
            assert answer.status_code < 500, (path, answer.text)
            hidden(fleet, theirs, answer.text)
        own = mine.ids.get(noun)
        for query in ("", "?tab=settings", "?tab=history") if own else ():
            answer = pages.get(f"/admin/{noun}/{own}{query}")
            assert answer.status_code == 200, (noun, query, answer.text)
            hidden(fleet, theirs, answer.text)
        for id in dict.fromkeys(theirs.ids.values()):
            for path in (f"/admin/{noun}/{id}", f"/admin/{noun}/{id}?tab=settings", f"/admin/{noun}/{id}/delete"):
                answer = pages.get(path)
                assert answer.status_code in (400, 403, 404, 405, 422), (path, answer.status_code)
                hidden(fleet, theirs, answer.text, id)
            for action in (
                "edit",
                "delete",
                "restore",
                "do/refill",
                "do/scan",
                "do/release",
                "do/stop",
                "do/retry",
                "do/remove",
                "do/admit",
            ):
                answer = pages.post(f"/admin/{noun}/{id}/{action}", data={"csrf": csrf, "name": "Taken"}, headers=SAME)
                assert 400 <= answer.status_code < 500, (noun, id, action, answer.status_code)
    for action in ("release", "delete", "stop"):
        sent = {"csrf": csrf, "id": theirs.ids["desktops"], "action": action, "sure": "1"}
        answer = pages.post("/admin/desktops/bulk", data=sent, headers=SAME)
        assert answer.status_code >= 400
        hidden(fleet, theirs, answer.text, theirs.ids["desktops"])
    assert state(fleet) == before


def test_a_form_keeps_what_one_cannot_choose(fleet: Fleet, parts: tuple[Parts, Parts], pages: TestClient) -> None:
    """A pool whose parent and center are out of reach can be saved; they stand in the form without their names."""
    mine, theirs = parts
    body = fleet.row(t.pools, mine.ids["pools"]).body
    body["provisioning"]["center_id"] = theirs.ids["centers"]
    fleet.change(t.pools, mine.ids["pools"], body=body | {"parent_id": theirs.ids["pools"]})
    log_in(pages, "part")
    shown = Page(pages.get(f"/admin/pools/{mine.ids['pools']}?tab=settings").text)
    chosen = {option["value"] for option in shown.all("option") if "selected" in option}
    assert chosen >= {theirs.ids["centers"], theirs.ids["pools"]}
    me = Api(fleet.broker).log_in("part")
    changed = me.call("PATCH", f"/pools/{mine.ids['pools']}", {"name": "Kept"})
    assert changed.status_code == 200, changed.text
    assert changed.json()["parent_id"] == theirs.ids["pools"]


def test_asking_about_something_else_reaches_no_further(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """What a body names is narrowed as well: the session to join, the desktop that an agent is admitted for."""
    mine, theirs = parts
    me = Api(fleet.broker).log_in("part")
    before = state(fleet)
    for path, body in (
        ("/shadows", {"connection": theirs.ids["connections"], "mode": "view"}),
        (f"/waiting-agents/{mine.ids['waiting-agents']}/admit", {"desktop_id": theirs.ids["desktops"]}),
    ):
        answer = me.call("POST", path, body)
        assert answer.status_code == 404, (path, answer.text)
    assert state(fleet) == before


def test_numbers_are_those_of_the_reach(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """Overview, trends and the change feed count and tell of one's own part."""
    mine, theirs = parts
    actor = actor_of(fleet)
    found = overview.overview(fleet.broker, actor)
    assert [pool.id for pool, _ in found.pools] == [mine.ids["pools"]]
    assert (found.connections, found.gateways, found.brokers) == (1, (), ())
    assert overview.overview(fleet.broker, fleet.log_in("admin").actor).connections == 2
    hidden(fleet, theirs, repr(found))
    hidden(fleet, theirs, repr(trends.day(fleet.broker, actor)))
    told = events.feed(fleet.broker, actor, 0)
    hidden(fleet, theirs, repr(told))
    assert {line.pool_id for line in told} >= {mine.ids["pools"]}


def test_pools_are_made_and_changed_within_the_reach_alone(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """A pool goes below one's own; its rule widens nothing; no other center, desktop or parent is drawn in."""
    mine, theirs = parts
    api = Api(fleet.broker).log_in("part")
    assert api.call("POST", "/centers", {"name": "Mine", "kind": "bare"}).status_code == 403
    assert api.call("POST", "/pools", {"name": "Root"}).status_code == 422
    own = mine.ids["pools"]
    for body in (
        {"parent_id": theirs.ids["pools"]},
        {"rule": {"centers": [theirs.ids["centers"]]}},
        {"rule": {"desktops": [theirs.ids["desktops"]]}},
        {"provisioning": {"center_id": theirs.ids["centers"]}},
    ):
        assert api.call("PATCH", f"/pools/{own}", body).status_code == 422, body
        made = api.call("POST", "/pools", {"name": "Below", "parent_id": own} | body)
        assert made.status_code == 422, body
    assert api.call("PATCH", f"/pools/{own}", {"rule": {"centers": []}}).status_code == 422
    below = api.call("POST", "/pools", {"name": "Below", "parent_id": own})
    assert below.status_code == 201, below.text
    assert api.call("GET", f"/pools/{below.json()['id']}").status_code == 200
    assert api.call("PATCH", f"/pools/{own}", {"name": "Renamed"}).status_code == 200


def test_deleting_a_center_names_no_pool_out_of_reach(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """What stands in the way is told without its name."""
    mine, theirs = parts
    body = fleet.row(t.pools, theirs.ids["pools"]).body
    body["provisioning"]["center_id"] = mine.ids["centers"]
    fleet.change(t.pools, theirs.ids["pools"], body=body)
    answer = Api(fleet.broker).log_in("part").call("DELETE", f"/centers/{mine.ids['centers']}")
    assert answer.status_code == 409
    assert "another pool" in answer.text
    hidden(fleet, theirs, answer.text)


def test_a_shared_desktop_tells_nothing_of_its_other_pool_and_center(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """A desktop that comes into reach by a pool is handled; the pool and center that it belongs to as well are not named."""
    mine, theirs = parts
    fleet.change(t.roles, "role-part", body=fleet.row(t.roles, "role-part").body | {"centers": []})
    with fleet.broker.db.write() as conn:
        conn.execute(
            t.pool_members.insert().values(pool_id=theirs.ids["pools"], desktop_id=mine.ids["desktops"], free=False)
        )
    item = configure.get_item(fleet.broker, actor_of(fleet), "desktops", mine.ids["desktops"])
    assert [pool["id"] for pool in item["pools"]] == [mine.ids["pools"]]
    assert (item["center_id"], item["center_name"]) == ("", "")
    with pytest.raises(NotFound):
        configure.get_item(fleet.broker, actor_of(fleet), "centers", mine.ids["centers"])


def test_a_role_names_its_pools_and_centers_and_no_area_beyond(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """The form refuses what is not there, what nothing restricts, and areas that no pool narrows."""
    mine, _ = parts
    api = Api(fleet.broker).log_in("admin")
    good = {"name": "Helpers", "areas": {"desktops": "edit"}, "restricted": True, "pools": [mine.ids["pools"]]}
    made = api.call("POST", "/roles", good)
    assert made.status_code == 201, made.text
    assert made.json()["pools"] == [mine.ids["pools"]]
    for more, field in (
        ({"pools": ["nowhere"]}, "pools.0"),
        ({"centers": ["nowhere"]}, "centers.0"),
        ({"restricted": False}, "pools"),
        ({"areas": {"users": "edit"}}, "areas.users"),
    ):
        answer = api.call("POST", "/roles", good | {"name": "Other"} | more)
        assert answer.status_code == 422, more
        assert field in {error["field"] for error in answer.json()["errors"]}


def test_a_restricted_list_takes_as_many_statements_as_any(fleet: Fleet, parts: tuple[Parts, Parts]) -> None:
    """Who is restricted costs no statement more."""
    restricted, whole = actor_of(fleet), fleet.log_in("admin").actor
    counted = count_statements(fleet.broker.db.engine)
    for noun in ("desktops", "pools", "events", "jobs", "recordings"):
        numbers = []
        for one in (restricted, whole):
            counted.statements.clear()
            configure.list_items(fleet.broker, one, noun, configure.Query())
            numbers.append(len(counted.statements))
        assert numbers[0] == numbers[1], noun
