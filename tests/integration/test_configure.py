"""Listing and writing nouns: who may, whose they are, what is wrong, who was first."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from tests.brokers import TENANT, actor, make_broker

from portico.domain.access import Actor
from portico.domain.model import Role
from portico.errors import Conflict, Denied, Invalid, NotFound, PorticoError, Stale
from portico.services import changes, configure
from portico.services.broker import Broker
from portico.services.configure import NOUNS, Query
from portico.services.nouns import MADE_ONCE
from portico.store import desktops
from portico.store import tables as t
from portico.store.engine import count_statements

CENTER = {"name": "Here", "kind": "nowhere", "settings": {"url": "https://x", "password": "s3cret"}}
SAMPLES: dict[str, dict[str, Any]] = {
    "centers": CENTER,
    "pools": {"name": "Engineering"},
    "policies": {"name": "Engineers"},
    "protocol-plans": {"name": "Plan"},
    "power-plans": {"name": "Plan"},
    "release-plans": {"name": "Plan"},
    "roles": {"name": "Help desk", "areas": {"desktops": "edit"}},
    "users": {"login_name": "ada", "role_id": "role-user"},
    "tenants": {"name": "Example"},
    "join-keys": {"name": "Debian"},
    "tokens": {"name": "report"},
}
TENANTS_OWN = [name for name in SAMPLES if NOUNS[name].reach == "tenant"]


@pytest.fixture
def broker(fresh_database_url: str, tmp_path: Path) -> Iterator[Broker]:
    made = make_broker(tmp_path, fresh_database_url)
    yield made
    made.db.dispose()


def with_role(broker: Broker, **areas: str) -> Actor:
    return Actor("user", "user", TENANT, Role("r", TENANT, "Some", areas=areas))


@pytest.mark.capability("S090", "S092")
@pytest.mark.parametrize("noun", SAMPLES)
def test_what_is_made_can_be_read_changed_found_and_deleted(broker: Broker, noun: str) -> None:
    me = actor(broker)
    made = configure.create_item(broker, me, noun, SAMPLES[noun])
    key = "login_name" if noun == "users" else "name"
    assert configure.get_item(broker, me, noun, made["id"])[key] == SAMPLES[noun][key]
    found = configure.list_items(broker, me, noun, Query(search=SAMPLES[noun][key].lower()))
    assert made["id"] in [item["id"] for item in found.items]
    if noun not in MADE_ONCE:
        changed = configure.update_item(broker, me, noun, made["id"], {key: "other"})
        assert changed[key] == "other"
        assert "version" not in changed or changed["version"] == 2
    assert configure.delete_item(broker, me, noun, made["id"])["deleted"] == 1
    with pytest.raises(NotFound):
        configure.get_item(broker, me, noun, made["id"])


@pytest.mark.capability("S090")
@pytest.mark.parametrize("noun", [name for name, noun in NOUNS.items() if noun.area])
def test_a_role_reaches_only_the_areas_that_it_names(broker: Broker, noun: str) -> None:
    nobody, viewer = with_role(broker), with_role(broker, **{NOUNS[noun].area: "view"})
    with pytest.raises(Denied):
        configure.list_items(broker, nobody, noun, Query())
    with pytest.raises(Denied):
        configure.get_item(broker, nobody, noun, "x")
    configure.list_items(broker, viewer, noun, Query())
    for attempt in (
        lambda: configure.create_item(broker, viewer, noun, SAMPLES.get(noun, {})),
        lambda: configure.update_item(broker, viewer, noun, "x", {}),
        lambda: configure.delete_item(broker, viewer, noun, "x"),
        lambda: configure.restore_item(broker, viewer, noun, "x"),
    ):
        with pytest.raises(Denied):
            attempt()


@pytest.mark.capability("S003", "S048")
@pytest.mark.parametrize("noun", TENANTS_OWN)
def test_another_tenants_rows_do_not_exist(broker: Broker, noun: str) -> None:
    made = configure.create_item(broker, actor(broker), noun, SAMPLES[noun])
    stranger = actor(broker, "admin2")
    assert made["id"] not in [item["id"] for item in configure.list_items(broker, stranger, noun, Query()).items]
    for attempt in (
        lambda: configure.get_item(broker, stranger, noun, made["id"]),
        lambda: configure.update_item(broker, stranger, noun, made["id"], {}),
        lambda: configure.delete_item(broker, stranger, noun, made["id"]),
    ):
        with pytest.raises((NotFound, Denied) if noun in MADE_ONCE else NotFound):
            attempt()


@pytest.mark.capability("S003")
def test_another_tenants_pool_cannot_be_referred_to(broker: Broker) -> None:
    pool = configure.create_item(broker, actor(broker), "pools", {"name": "Theirs"})
    stranger = actor(broker, "admin2")
    with pytest.raises(Invalid) as wrong:
        configure.create_item(broker, stranger, "policies", {"name": "P", "assignments": [{"pool_id": pool["id"]}]})
    assert set(wrong.value.fields) == {"assignments.0.pool_id"}
    with pytest.raises(Invalid) as wrong:
        configure.create_item(broker, stranger, "pools", {"name": "P", "parent_id": pool["id"]})
    assert set(wrong.value.fields) == {"parent_id"}


@pytest.mark.capability("S092", "S095", "S098")
def test_every_wrong_field_of_a_pool_is_named_at_once(broker: Broker) -> None:
    me = actor(broker)
    configure.create_item(broker, me, "pools", {"name": "Taken"})
    with pytest.raises(Invalid) as wrong:
        configure.create_item(
            broker,
            me,
            "pools",
            {
                "name": " taken ",
                "parent_id": "nowhere",
                "notes": "bell\0",
                "colour": "red",
                "rule": {
                    "join": "xor",
                    "centers": ["nowhere"],
                    "rules": [{"attribute": "name", "operator": "gt", "text": "x"}],
                },
                "provisioning": {
                    "limits": {"start_below": 5, "stop_at": 2},
                    "name_template": "a-{NOTHING}",
                    "max_sessions": 0,
                    "image": 5,
                },
            },
        )
    assert {
        "name", "parent_id", "notes", "colour", "rule.join", "rule.centers.0", "provisioning.limits.stop_at",
        "provisioning.name_template", "provisioning.max_sessions", "provisioning.image", "provisioning.center_id",
    } <= set(wrong.value.fields)  # fmt: skip
    assert all(sentence.endswith((".", "”")) for sentence in wrong.value.fields.values())


@pytest.mark.capability("S092")
@pytest.mark.parametrize("noun", [name for name in SAMPLES if name != "tokens"])
def test_rubbish_in_every_field_is_refused_by_name(broker: Broker, noun: str) -> None:
    form = NOUNS[noun].form
    assert form is not None
    for rubbish in (None, [], {"a": {}}, 10**30, "\ud800", "x" * 100_000, True):
        with pytest.raises(Invalid) as wrong:
            fields = dict.fromkeys(form.model_fields, rubbish) | {"extra": rubbish}
            configure.create_item(broker, actor(broker), noun, fields)
        assert "extra" in wrong.value.fields


@pytest.mark.capability("S092")
def test_of_two_changes_of_one_version_one_wins(broker: Broker) -> None:
    me = actor(broker)
    pool = configure.create_item(broker, me, "pools", {"name": "Pool"})
    start, results = threading.Barrier(2), []

    def change(notes: str) -> None:
        start.wait()
        try:
            configure.update_item(broker, me, "pools", pool["id"], {"notes": notes}, pool["version"])
            results.append("ok")
        except Stale:
            results.append("stale")

    threads = [threading.Thread(target=change, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == ["ok", "stale"]


@pytest.mark.capability("S092")
def test_what_is_not_named_in_a_change_stays(broker: Broker) -> None:
    me = actor(broker)
    limits = {"start_below": 0, "stop_at": 7}
    pool = configure.create_item(broker, me, "pools", {"name": "Pool", "provisioning": {"limits": limits}})
    changed = configure.update_item(broker, me, "pools", pool["id"], {"provisioning": {"flavor": "large"}})
    assert changed["provisioning"]["limits"]["stop_at"] == 7
    assert changed["provisioning"]["flavor"] == "large"


@pytest.mark.capability("S092")
def test_pages_neither_repeat_nor_miss_rows_while_others_come(broker: Broker) -> None:
    me = actor(broker)
    for number in range(9):
        configure.create_item(broker, me, "pools", {"name": f"p{number}"})
    seen, cursor, added = [], None, 0
    while True:
        page = configure.list_items(broker, me, "pools", Query(sort="name", limit=2, cursor=cursor))
        assert page.total == 9 + added
        seen += [item["name"] for item in page.items]
        if page.next is None:
            break
        configure.create_item(broker, me, "pools", {"name": f"a{added}"})  # Before where we are.
        added, cursor = added + 1, page.next
    assert seen == [f"p{number}" for number in range(9)]


@pytest.mark.capability("S092")
@pytest.mark.parametrize(
    "cursor", ["x", "W10", "eyJhIjoxfQ", "WyJuYW1lIixmYWxzZSwiYSIsMV0", "\u00e9", "WyJzdGF0dXMiLGZhbHNlLCJhIiwieCJd"]
)
def test_a_cursor_of_another_list_is_refused(broker: Broker, cursor: str) -> None:
    with pytest.raises(Invalid) as wrong:
        configure.list_items(broker, actor(broker), "pools", Query(cursor=cursor))
    assert set(wrong.value.fields) == {"cursor"}


def add_desktops(broker: Broker, center_id: str, number: int) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        rows = [
            {"id": f"d{i}", "tenant_id": TENANT, "center_id": center_id, "name": f"desk-{i}", "power": "running" if i % 2 else "stopped",
             "external_id": f"x{i}", "stage_at": now, "created_at": now, "updated_at": now}
            for i in range(number)
        ]  # fmt: skip
        desktops.add(conn, rows)


@pytest.mark.capability("S090")
def test_a_list_of_desktops_costs_the_same_however_long_it_is(broker: Broker) -> None:
    me = actor(broker)
    center = configure.create_item(broker, me, "centers", CENTER)
    add_desktops(broker, center["id"], 60)
    counted = count_statements(broker.db.engine)
    for limit in (2, 50):
        counted.statements.clear()
        page = configure.list_items(broker, me, "desktops", Query(limit=limit))
        assert len(page.items) == limit
        assert page.items[0]["center_name"] == "Here"
        assert len(counted.statements) == 5


@pytest.mark.capability("S090")
def test_a_search_understands_filters_among_words(broker: Broker) -> None:
    me = actor(broker)
    center = configure.create_item(broker, me, "centers", CENTER)
    add_desktops(broker, center["id"], 10)
    found = configure.list_items(broker, me, "desktops", Query(search="DESK power:running center:her"))
    assert [item["name"] for item in found.items] == ["desk-1", "desk-3", "desk-5", "desk-7", "desk-9"]
    assert configure.list_items(broker, me, "desktops", Query(search="% _")).total == 0


@pytest.mark.capability("S122")
def test_deleting_a_center_marks_its_desktops_deleted_and_keeps_the_rows(broker: Broker) -> None:
    me = actor(broker)
    center = configure.create_item(broker, me, "centers", CENTER)
    add_desktops(broker, center["id"], 3)
    assert configure.delete_item(broker, me, "centers", center["id"]) == {"deleted": 1, "desktops": 3, "assignments": 0}
    with broker.db.read() as conn:
        assert set(conn.scalars(select(t.desktops.c.status))) == {"deleted"}


@pytest.mark.capability("S090")
def test_secrets_of_a_center_are_sealed_and_never_shown(broker: Broker) -> None:
    me = actor(broker)
    center = configure.create_item(broker, me, "centers", CENTER)
    changed = configure.update_item(
        broker, me, "centers", center["id"], {"settings": {"url": "https://y", "password": ""}}
    )
    assert "s3cret" not in json.dumps([center, changed])
    assert changed["has_secrets"]
    with broker.db.read() as conn:
        row = conn.execute(select(t.centers)).one()
    assert "s3cret" not in json.dumps([row.body, row.sealed_secrets])
    opened = broker.vault.open(f"centers.sealed_secrets:{center['id']}", row.sealed_secrets)
    assert json.loads(opened) == {"password": "s3cret"}


@pytest.mark.capability("S092")
def test_what_is_in_use_is_not_deleted_and_says_by_whom(broker: Broker) -> None:
    me = actor(broker)
    pool = configure.create_item(broker, me, "pools", {"name": "Pool"})
    plan = configure.create_item(broker, me, "release-plans", {"name": "Plan"})
    line = {"pool_id": pool["id"], "release_plan_id": plan["id"]}
    policy = configure.create_item(broker, me, "policies", {"name": "Policy", "assignments": [line]})
    for noun, id in (("pools", pool["id"]), ("release-plans", plan["id"])):
        with pytest.raises(Conflict, match="policy Policy"):
            configure.delete_item(broker, me, noun, id)
    configure.update_item(broker, me, "policies", policy["id"], {"assignments": []})
    assert configure.delete_item(broker, me, "pools", pool["id"])["deleted"] == 1


@pytest.mark.capability("S092")
def test_a_deletion_is_undone_unless_the_name_was_given_away(broker: Broker) -> None:
    me = actor(broker)
    pool = configure.create_item(broker, me, "pools", {"name": "Pool"})
    configure.delete_item(broker, me, "pools", pool["id"])
    assert configure.restore_item(broker, me, "pools", pool["id"])["name"] == "Pool"
    configure.delete_item(broker, me, "pools", pool["id"])
    configure.create_item(broker, me, "pools", {"name": "Pool"})
    with pytest.raises(Conflict):
        configure.restore_item(broker, me, "pools", pool["id"])


@pytest.mark.capability("S092")
def test_lines_of_a_policy_keep_their_ids_through_changes(broker: Broker) -> None:
    me = actor(broker)
    pools = [configure.create_item(broker, me, "pools", {"name": name})["id"] for name in "ab"]
    policy = configure.create_item(
        broker, me, "policies", {"name": "P", "assignments": [{"pool_id": id} for id in pools]}
    )
    first, second = policy["assignments"]
    keep = [{key: value for key, value in line.items() if key != "position"} for line in (second, first)]
    turned = configure.update_item(broker, me, "policies", policy["id"], {"assignments": keep})
    assert [line["id"] for line in turned["assignments"]] == [second["id"], first["id"]]
    renamed = configure.update_item(broker, me, "policies", policy["id"], {"name": "Q"})
    assert renamed["assignments"] == turned["assignments"]


@pytest.mark.capability("S092")
def test_there_is_exactly_one_default_policy(broker: Broker) -> None:
    me = actor(broker)
    configure.create_item(broker, me, "policies", {"name": "New", "is_default": True})
    found = configure.list_items(broker, me, "policies", Query(filters={"default": "true"}))
    assert [item["name"] for item in found.items] == ["New"]
    with pytest.raises(Invalid):
        configure.update_item(broker, me, "policies", found.items[0]["id"], {"is_default": False})
    with pytest.raises(Conflict):
        configure.delete_item(broker, me, "policies", found.items[0]["id"])


@pytest.mark.capability("S045")
def test_nobody_gives_away_or_takes_over_more_than_they_have(broker: Broker) -> None:
    desk = with_role(broker, users="edit", roles="edit")
    attempts: list[tuple[str, str | None, dict[str, Any]]] = [
        ("roles", None, {"name": "Mine", "areas": {"settings": "view"}}),
        ("users", None, {"login_name": "eve", "role_id": "role-admin"}),
        ("users", "user", {"role_id": "role-admin"}),
        ("users", "admin", {"password": "a new one of mine"}),
    ]
    for noun, id, fields in attempts:
        with pytest.raises(Denied):
            if id is None:
                configure.create_item(broker, desk, noun, fields)
            else:
                configure.update_item(broker, desk, noun, id, fields)
    with pytest.raises(Denied):
        configure.delete_item(broker, desk, "users", "admin")


@pytest.mark.capability("S045")
def test_a_new_user_gets_a_password_that_is_shown_once(broker: Broker) -> None:
    me = actor(broker)
    user = configure.create_item(broker, me, "users", SAMPLES["users"])
    assert len(user["generated_password"]) >= 12
    assert user["must_change_password"]
    again = configure.get_item(broker, me, "users", user["id"])
    assert not [key for key in again if "password" in key and key != "must_change_password"]
    with pytest.raises(Invalid) as wrong:
        configure.create_item(broker, me, "users", {"login_name": "ADA", "role_id": "nobody", "password": "short"})
    assert set(wrong.value.fields) == {"login_name", "role_id", "password"}


@pytest.mark.capability("S090")
def test_the_seats_of_a_desktop_follow_its_sessions(broker: Broker) -> None:
    me = actor(broker)
    center = configure.create_item(broker, me, "centers", CENTER)
    add_desktops(broker, center["id"], 1)
    for wanted in (4, 2, 3):
        changed = configure.update_item(broker, me, "desktops", "d0", {"max_sessions": wanted})
        assert changed["free_seats"] == wanted
        with broker.db.read() as conn:
            live = conn.execute(select(t.seats).where(t.seats.c.retired.is_(False))).all()
        assert len(live) == wanted


@pytest.mark.capability("S092", "S097")
def test_a_change_is_recorded_renumbers_the_configuration_and_calls_what_follows(broker: Broker) -> None:
    me, called = actor(broker), []
    before = broker.snapshots.get(fresh=True).version
    old = dict(changes.hooks)
    changes.register("pools", lambda broker, conn, noun, id: called.append((noun, id)))
    try:
        pool = configure.create_item(broker, me, "pools", {"name": "Pool"})
    finally:
        changes.hooks.clear()
        changes.hooks.update(old)
    assert called == [("pools", pool["id"])]
    fresh = broker.snapshots.get()  # who writes reads it back at once
    assert fresh.version > before
    assert fresh.pools[pool["id"]].name == "Pool"
    events = configure.list_items(broker, me, "events", Query(filters={"pool": pool["id"]}))
    assert [event["code"] for event in events.items] == ["pool.created"]


@pytest.mark.capability("S092")
def test_what_follows_can_undo_the_change(broker: Broker) -> None:
    def refuse(broker: Broker, conn: Any, noun: str, id: str) -> None:
        raise Conflict("Not now.")

    old = dict(changes.hooks)
    changes.register("pools", refuse)
    try:
        with pytest.raises(Conflict):
            configure.create_item(broker, actor(broker), "pools", {"name": "Pool"})
    finally:
        changes.hooks.clear()
        changes.hooks.update(old)
    assert configure.list_items(broker, actor(broker), "pools", Query()).total == 0


@pytest.mark.capability("S092")
def test_a_pool_is_never_below_itself(broker: Broker) -> None:
    me = actor(broker)
    top = configure.create_item(broker, me, "pools", {"name": "Top"})
    low = configure.create_item(broker, me, "pools", {"name": "Low", "parent_id": top["id"]})
    with pytest.raises(Invalid) as wrong:
        configure.update_item(broker, me, "pools", top["id"], {"parent_id": low["id"]})
    assert set(wrong.value.fields) == {"parent_id"}
    with pytest.raises(Conflict, match="pool Low"):
        configure.delete_item(broker, me, "pools", top["id"])


@pytest.mark.capability("S048")
def test_events_and_jobs_of_the_deployment_are_for_those_who_handle_tenants(broker: Broker) -> None:
    now = broker.now()
    with broker.db.write() as conn:
        conn.execute(
            insert(t.events).values(
                tenant_id=None, at=now, level="info", code="broker.started", params={}, actor="broker", correlation=""
            )
        )
    some = with_role(broker, events="view")
    assert configure.list_items(broker, some, "events", Query(search="broker.started")).total == 0
    assert configure.list_items(broker, actor(broker), "events", Query(search="broker.started")).total == 1


@pytest.mark.capability("S120")
def test_a_setting_holds_its_default_until_it_is_set(broker: Broker) -> None:
    me = actor(broker)
    assert configure.get_item(broker, me, "settings", "logs.days")["value"] == 30
    assert configure.update_item(broker, me, "settings", "logs.days", {"value": 7})["value"] == 7
    assert configure.get_item(broker, actor(broker, "admin2"), "settings", "logs.days")["value"] == 30
    for value in (0, "x", True, 1.5, []):
        with pytest.raises(Invalid):
            configure.update_item(broker, me, "settings", "logs.days", {"value": value})
    assert configure.update_item(broker, me, "settings", "logs.days", {"value": None})["is_set"] is False


@pytest.mark.capability("S048")
def test_a_new_tenant_has_its_roles_and_a_policy_that_offers_nothing(broker: Broker) -> None:
    made = configure.create_item(broker, actor(broker), "tenants", {"name": "Example"})
    snapshot = broker.snapshots.get(fresh=True)
    policy = snapshot.policy_of(made["id"], None)
    assert policy.assignments == ()
    roles = [role for role in snapshot.roles.values() if role.tenant_id == made["id"]]
    assert {role.name for role in roles} == {"Administrator", "User"}
    assert all("tenants" not in role.areas for role in roles)


@pytest.mark.capability("S090")
def test_a_shared_gateway_is_not_changed_from_within_a_tenant(broker: Broker) -> None:
    with broker.db.write() as conn:
        conn.execute(
            insert(t.gateways).values(
                id="g",
                tenant_id=None,
                name="gw",
                realm="",
                public_url="",
                bearer_hash="h",
                version="1",
                draining=False,
                load={},
                boot_id="",
                sequence=0,
                created_at=broker.now(),
            )
        )
    with pytest.raises(Denied):
        configure.update_item(broker, with_role(broker, gateways="edit"), "gateways", "g", {"draining": True})
    assert configure.update_item(broker, actor(broker), "gateways", "g", {"draining": True})["draining"]
    with broker.db.read() as conn:
        assert [row.message for row in conn.execute(select(t.outbox))] == [{"kind": "drain", "on": True}]


@pytest.mark.capability("S090")
def test_an_unknown_noun_is_not_found(broker: Broker) -> None:
    with pytest.raises(PorticoError):
        configure.list_items(broker, actor(broker), "planets", Query())


@pytest.mark.capability("S090")
@pytest.mark.parametrize("noun", NOUNS)
def test_every_noun_is_described_and_sorts_by_each_of_its_columns(broker: Broker, noun: str) -> None:
    info = configure.describe(noun)
    assert info.title
    assert all(field.title for field in info.fields)
    for sort in NOUNS[noun].sorts:
        configure.list_items(broker, actor(broker), noun, Query(sort=f"-{sort}"))
    for name in NOUNS[noun].filters:
        configure.list_items(broker, actor(broker), noun, Query(filters={name: "x'%_"}, search="a b"))


@pytest.mark.capability("S045")
def test_whoever_is_locked_out_by_an_administrator_is_out_at_once(broker: Broker) -> None:
    with broker.db.write() as conn:
        now = broker.now()
        conn.execute(
            insert(t.sessions).values(
                id="s",
                tenant_id=TENANT,
                user_id="user",
                kind="web",
                secret_hash="h",
                client_address="",
                client={},
                created_at=now,
                seen_at=now,
                expires_at=now,
                idle_seconds=60,
                end_reason="",
            )
        )
        conn.execute(update(t.users).where(t.users.c.id == "user").values(failed=3))
    configure.update_item(broker, actor(broker), "users", "user", {"disabled": True})
    with broker.db.read() as conn:
        assert conn.execute(select(t.sessions.c.end_reason)).scalar_one() == "changed by administrator"
