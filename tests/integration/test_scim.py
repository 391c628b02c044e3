"""SCIM 2.0 as providers speak it: people and groups come, change and go, and with them who may log in and by which rule."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.brokers import actor
from tests.fleet import CLIENT, Fleet
from tests.integration.test_directory_logins import connect_list

from portico.domain.scim import (
    ENTERPRISE,
    GROUP,
    PATCH,
    USER,
    BadValue,
    ScimUser,
    patch_members,
    patch_user,
    read_filter,
    read_user,
)
from portico.services import configure, login, sessions
from portico.services.login import LoggedIn, Refused
from portico.services.replay import replay
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S047")


class Provider:
    """A provider that provisions a directory, with an administrator's token."""

    def __init__(self, fleet: Fleet, directory: str, name: str = "admin") -> None:
        bearer = configure.create_item(fleet.broker, actor(fleet.broker, name), "tokens", {"name": "scim"})["secret"]
        headers = {"Authorization": f"Bearer {bearer}"}
        self.client = TestClient(create_app(fleet.broker), base_url="https://portico.test", headers=headers)
        self.base = f"/scim/v2/{directory}"

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        kind = {"Content-Type": "application/scim+json"}
        return self.client.request(
            method, self.base + path, json=body, params=query, headers=kind if body is not None else {}
        )

    def user(self, user_name: str = "ada", **more: Any) -> str:
        answer = self.call("POST", "/Users", {"schemas": [USER], "userName": user_name, "active": True, **more})
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"] == "application/scim+json"
        return str(answer.json()["id"])


@pytest.fixture
def directory(fleet: Fleet) -> str:
    rules = [{"attribute": "group", "text": "Staff", "role_id": "role-user"}]
    return connect_list(fleet, provisioned=True, rules=rules)


@pytest.fixture
def provider(fleet: Fleet, directory: str) -> Provider:
    return Provider(fleet, directory)


def enter(fleet: Fleet) -> LoggedIn | Refused:
    return login.login(fleet.broker, "ada@list.test", "Passw0rd-ada", CLIENT)


def code_of(found: LoggedIn | Refused) -> str:
    return found.reason.code if isinstance(found, Refused) else "in"


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": [PATCH], "Operations": list(operations)}


def test_who_was_provisioned_comes_in_by_the_groups_that_were(fleet: Fleet, provider: Provider) -> None:
    assert code_of(enter(fleet)) == "login.not_provisioned"
    id = provider.user("Ada", displayName="Ada Provisioned", emails=[{"value": "ada@corp.test", "primary": True}])
    assert code_of(enter(fleet)) == "login.no_role"
    group = provider.call("POST", "/Groups", {"schemas": [GROUP], "displayName": "Staff", "members": [{"value": id}]})
    assert group.status_code == 201
    found = enter(fleet)
    assert isinstance(found, LoggedIn)
    assert (found.me.user.display_name, found.me.user.email) == ("Ada Provisioned", "ada@corp.test")
    told = replay(fleet.broker, actor(fleet.broker), "ada@list.test", CLIENT)
    assert told.refusal is None and "Staff" in told.groups
    path = f"/Groups/{group.json()['id']}"
    assert (
        provider.call("PATCH", path, patch({"op": "remove", "path": f'members[value eq "{id}"]'})).json()["members"]
        == []
    )
    assert code_of(enter(fleet)) == "login.no_role"
    provider.call("PATCH", path, patch({"op": "Add", "path": "members", "value": [{"value": id}, {"value": "nobody"}]}))
    assert provider.call("GET", path).json()["members"] == [{"value": id}]
    assert code_of(enter(fleet)) == "in"


@pytest.mark.parametrize("way", ["patch", "patch as text", "patch without path", "put", "delete"])
def test_who_leaves_is_out_at_once(fleet: Fleet, directory: str, provider: Provider, way: str) -> None:
    configure.update_item(
        fleet.broker,
        actor(fleet.broker),
        "directories",
        directory,
        {"when_disabled": "log_out", "default_role_id": "role-user"},
    )
    fleet.broker.snapshots.get(fresh=True)
    id = provider.user()
    found = enter(fleet)
    assert isinstance(found, LoggedIn)
    bodies: dict[str, tuple[str, Any]] = {
        "patch": ("PATCH", patch({"op": "replace", "path": "active", "value": False})),
        "patch as text": ("PATCH", patch({"op": "Replace", "path": "active", "value": "False"})),
        "patch without path": ("PATCH", patch({"op": "replace", "value": {"active": False}})),
        "put": ("PUT", {"userName": "ada", "active": False}),
        "delete": ("DELETE", None),
    }
    method, body = bodies[way]
    assert provider.call(method, f"/Users/{id}", body).status_code in (200, 204)
    assert sessions.find(fleet.broker, found.secret) is None
    assert code_of(enter(fleet)) in ("login.disabled", "login.not_provisioned")
    if way == "delete":
        provider.user()
    else:
        provider.call("PATCH", f"/Users/{id}", patch({"op": "replace", "path": "active", "value": True}))
    assert code_of(enter(fleet)) == "in"


def test_a_new_name_is_a_new_person_here(fleet: Fleet, directory: str, provider: Provider) -> None:
    configure.update_item(fleet.broker, actor(fleet.broker), "directories", directory, {"default_role_id": "role-user"})
    fleet.broker.snapshots.get(fresh=True)
    id = provider.user()
    found = enter(fleet)
    assert isinstance(found, LoggedIn)
    provider.call("PATCH", f"/Users/{id}", patch({"op": "replace", "path": "userName", "value": "eve"}))
    me = sessions.find(fleet.broker, found.secret)
    assert me is not None and me.user.barred
    assert code_of(enter(fleet)) == "login.not_provisioned"


def test_resources_are_listed_filtered_and_shown_as_they_were_sent(provider: Provider) -> None:
    extra = {"department": "Research"}
    ids = [
        provider.user(
            f"u{at}",
            externalId=f"x{at}",
            title="Tester",
            name={"givenName": "U", "familyName": str(at)},
            **{ENTERPRISE: extra},
        )
        for at in range(5)
    ]
    one = provider.call("GET", f"/Users/{ids[0]}").json()
    assert (one["userName"], one["externalId"], one["name"]["familyName"], one[ENTERPRISE]) == ("u0", "x0", "0", extra)
    page = provider.call("GET", "/Users", startIndex=3, count=2).json()
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"], len(page["Resources"])) == (5, 3, 2, 2)
    assert provider.call("GET", "/Users", count=0).json()["Resources"] == []
    assert [one["id"] for one in provider.call("GET", "/Users", filter='userName eq "U3"').json()["Resources"]] == [
        ids[3]
    ]
    assert [one["id"] for one in provider.call("GET", "/Users", filter='externalId eq "x4"').json()["Resources"]] == [
        ids[4]
    ]
    wrong = provider.call("GET", "/Users", filter="userName sw u")
    assert (wrong.status_code, wrong.json()["scimType"]) == (400, "invalidFilter")
    assert provider.call("GET", "/ServiceProviderConfig").json()["patch"]["supported"] is True
    assert provider.call("GET", "/ResourceTypes").json()["totalResults"] == 2


def test_refusals_are_scims_own(fleet: Fleet, directory: str, provider: Provider) -> None:
    provider.user()
    taken = provider.call("POST", "/Users", {"userName": "ADA"})
    assert (taken.status_code, taken.json()["scimType"]) == (409, "uniqueness")
    assert provider.call("POST", "/Users", {}).status_code == 400
    assert provider.call("POST", "/Users", {"userName": "x" * 300}).status_code == 400
    assert provider.call("POST", "/Users", {"userName": "x", "active": "perhaps"}).status_code == 400
    assert provider.call("GET", "/Users/nobody").status_code == 404
    assert (
        provider.call("PATCH", "/Users/nobody", patch({"op": "replace", "path": "active", "value": True})).status_code
        == 404
    )
    assert provider.call("PATCH", "/Users/nobody", {"Operations": "x"}).status_code in (400, 404)
    assert provider.call("DELETE", "/Groups/nobody").status_code == 404
    assert (
        provider.client.post(
            f"{provider.base}/Users", content=b"{", headers={"Content-Type": "application/scim+json"}
        ).status_code
        == 400
    )


def test_only_administrators_of_the_tenant_provision_and_only_where_it_is_on(fleet: Fleet, directory: str) -> None:
    plain = connect_list(fleet, "Plain")
    assert Provider(fleet, plain).call("GET", "/Users").status_code == 404
    assert Provider(fleet, directory, "admin2").call("GET", "/Users").status_code == 404
    stranger = TestClient(create_app(fleet.broker), base_url="https://portico.test")
    assert stranger.get(f"/scim/v2/{directory}/Users").status_code == 401


# --- pure


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_json_is_read_or_refused(data: Any) -> None:
    sent = data if isinstance(data, dict) else {"userName": data, "Operations": data}
    for read in (
        read_user,
        lambda one: patch_user(ScimUser("x"), one),
        lambda one: patch_members("g", frozenset(), one),
    ):
        try:
            read(sent)
        except BadValue:
            continue


@given(st.text(max_size=60))
def test_any_filter_is_read_or_refused(text: str) -> None:
    try:
        read_filter(text, {"username": "user_name"})
    except BadValue as problem:
        assert problem.kind == "invalidFilter"
