"""The REST interface as a client sees it."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.brokers import PASSWORD, make_broker
from tests.integration.apis import Api, fields_of

from portico.errors import Conflict, Invalid
from portico.services import idempotency, sessions
from portico.services.configure import NOUNS
from portico.web.app import create_app
from portico.web.middleware import MAX_ADDRESSES, PostLimit


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    broker = make_broker(tmp_path)
    yield Api(broker)
    broker.db.dispose()


@pytest.mark.capability("S045", "S037")
def test_a_log_in_gives_a_token_that_opens_the_api_until_log_out(api: Api) -> None:
    assert api.call("GET", "/me").status_code == 401
    me = api.log_in("admin")
    assert me.call("GET", "/me").json()["login_name"] == "admin"
    assert me.call("POST", "/logout").status_code == 204
    assert me.call("GET", "/me").status_code == 401


@pytest.mark.capability("S045")
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(api: Api) -> None:
    found = []
    for name in ("admin", "nobody"):
        answer = api.call("POST", "/login", {"username": name, "password": "wrong"})
        assert answer.status_code == 401
        found.append({key: value for key, value in answer.json().items() if key != "instance"})
    assert found[0] == found[1]
    assert found[0]["reason"]["remedy"]


@pytest.mark.capability("S045")
def test_too_many_tries_are_told_how_long_to_wait(api: Api) -> None:
    answers = [api.call("POST", "/login", {"username": "user", "password": "wrong"}) for _ in range(6)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


@pytest.mark.capability("S045")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": 5, "password": []},
        {"username": "a\0", "password": ""},
        {"username": "x" * 500, "password": "y"},
    ],
)
def test_a_log_in_names_its_wrong_field(api: Api, body: dict[str, Any]) -> None:
    answer = api.call("POST", "/login", body)
    assert answer.status_code == 422
    assert fields_of(answer) <= {"username", "password"}


@pytest.mark.capability("S037")
@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400), (b"[1]", "application/json", 400), (b"\xff\xfe", "application/json", 400),
        (b"[" * 50_000, "application/json", 400), (b'{"a": NaN}', "application/json", 400),
        (b"username=a", "application/x-www-form-urlencoded", 415), (b"x" * 1_100_000, "application/json", 413),
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_a_problem_document(api: Api, content: bytes, kind: str, status: int) -> None:
    answer = api.client.post("/api/v1/login", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


@pytest.mark.capability("S037")
def test_a_body_that_grows_beyond_the_limit_unannounced_is_cut_off(api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    answer = api.client.post("/api/v1/login", content=chunks(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


@pytest.mark.capability("S090")
def test_the_cookie_opens_the_api_only_with_the_header_that_no_foreign_page_can_send(api: Api) -> None:
    me = api.log_in("admin")
    secret = me.headers["Authorization"].removeprefix("Bearer ")
    csrf = sessions.csrf_of(secret)
    cookie = {"Cookie": f"{sessions.COOKIE}={secret}"}
    for headers, status in (({}, 401), ({"X-CSRF-Token": "x"}, 401), ({"X-CSRF-Token": csrf}, 200)):
        assert api.client.get("/api/v1/me", headers=cookie | headers).status_code == status


@pytest.mark.capability("S090")
@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer x.y", "Basic YTpi", "Bearer pt.a.b", "Bearer " + "z" * 5000, "Bearer \u00e9"]
)
def test_a_forged_token_is_refused(api: Api, value: str) -> None:
    answer = api.client.get("/api/v1/me", headers={"Authorization": value.encode()})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.capability("S092", "S037")
def test_a_noun_is_made_read_changed_and_deleted_with_etags(api: Api) -> None:
    me = api.log_in("admin")
    made = me.call("POST", "/pools", {"name": "Pool"})
    assert made.status_code == 201
    path = made.headers["Location"].removeprefix("/api/v1")
    tag = made.headers["ETag"]
    assert me.call("GET", path, If_None_Match=tag).status_code == 304
    changed = me.call("PATCH", path, {"notes": "x"}, If_Match=tag)
    assert changed.status_code == 200
    stale = me.call("PATCH", path, {"notes": "y"}, If_Match=tag)
    assert (stale.status_code, stale.json()["code"]) == (412, "conflict.version")
    assert me.call("PATCH", path, {"notes": "y"}, If_Match='"never-ours"').status_code == 412
    assert me.call("DELETE", path).json() == {"deleted": 1}
    assert me.call("GET", path).status_code == 404
    assert me.call("POST", f"{path}/restore").status_code == 200


@pytest.mark.capability("S092")
def test_every_wrong_field_is_named_with_its_path(api: Api) -> None:
    answer = api.log_in("admin").call(
        "POST", "/pools", {"name": "", "provisioning": {"limits": {"stop_at": -1}}, "x": 1}
    )
    assert answer.status_code == 422
    assert fields_of(answer) == {"name", "provisioning.limits.stop_at", "x"}


@pytest.mark.capability("S092")
def test_pages_follow_each_other_by_link(api: Api) -> None:
    me = api.log_in("admin")
    for number in range(5):
        me.call("POST", "/pools", {"name": f"p{number}"})
    seen, path = [], "/pools?limit=2&q=p"
    while path:
        answer = me.call("GET", path)
        assert answer.json()["total"] == 5
        seen += [item["name"] for item in answer.json()["items"]]
        link = answer.headers.get("Link", "")
        path = link.partition(">")[0].removeprefix("</api/v1") if link else ""
    assert seen == [f"p{number}" for number in range(5)]


@pytest.mark.capability("S092")
@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "sort=secret", "cursor=x", "colour=red"])
def test_a_list_names_the_parameter_that_is_wrong(api: Api, query: str) -> None:
    answer = api.log_in("admin").call("GET", f"/pools?{query}")
    assert answer.status_code == 422
    assert fields_of(answer) == {query.partition("=")[0]}


@pytest.mark.capability("S090", "S048")
@pytest.mark.parametrize("noun", [name for name, noun in NOUNS.items() if noun.area])
def test_a_user_without_areas_reaches_no_noun_and_no_action(api: Api, noun: str) -> None:
    user = api.log_in("user")
    assert user.call("GET", f"/{noun}").status_code == 403
    assert user.call("GET", f"/{noun}/x").status_code == 403
    actions = {
        "desktops": [("POST", "power", {"action": "stop"}), ("POST", "release", None)],
        "pools": [("POST", "refill", None)],
        "users": [("POST", "unlock", None), ("POST", "sessions/end", None)],
        "sessions": [("POST", "end", None)],
        "centers": [("POST", "scan", None), ("POST", "check", None), ("GET", "choices", None)],
        "jobs": [("POST", "cancel", None), ("POST", "retry", None)],
    }
    for method, action, body in actions.get(noun, []):
        assert user.call(method, f"/{noun}/x/{action}", body).status_code == 403, action


@pytest.mark.capability("S048")
def test_actions_do_not_reach_into_another_tenant(api: Api) -> None:
    me, stranger = api.log_in("admin"), api.log_in("admin2")
    pool = me.call("POST", "/pools", {"name": "Pool"}).json()["id"]
    assert me.call("POST", f"/pools/{pool}/refill").status_code == 202
    for path in (
        f"/pools/{pool}/refill",
        "/users/user/unlock",
        "/users/user/sessions/end",
        "/sessions/x/end",
        "/desktops/x/release",
    ):
        assert stranger.call("POST", path).status_code == 404, path
    assert stranger.call("POST", "/desktops/x/power", {"action": "stop"}).status_code == 404
    assert fields_of(me.call("POST", "/desktops/x/power", {"action": "explode"})) == {"action"}


@pytest.mark.capability("S045")
def test_an_administrator_ends_sessions_and_lock_outs(api: Api) -> None:
    me, user = api.log_in("admin"), api.log_in("user")
    assert me.call("POST", "/users/user/sessions/end").json() == {"ended": 1}
    assert user.call("GET", "/me").status_code == 401
    for _ in range(6):
        api.call("POST", "/login", {"username": "user", "password": "wrong"})
    assert api.call("POST", "/login", {"username": "user", "password": PASSWORD}).status_code == 429
    assert me.call("POST", "/users/user/unlock").status_code == 204
    assert api.log_in("user").call("GET", "/me").status_code == 200


@pytest.mark.capability("S037")
def test_an_api_token_works_until_it_is_revoked_and_belongs_to_its_owner(api: Api) -> None:
    me = api.log_in("user")
    made = me.call("POST", "/tokens", {"name": "report"}).json()
    bearer = {"Authorization": f"Bearer {made['secret']}"}
    assert api.client.get("/api/v1/me", headers=bearer).json()["login_name"] == "user"
    assert "secret" not in me.call("GET", f"/tokens/{made['id']}").json()
    assert api.log_in("admin").call("DELETE", f"/tokens/{made['id']}").status_code == 404
    assert me.call("DELETE", f"/tokens/{made['id']}").status_code == 200
    assert api.client.get("/api/v1/me", headers=bearer).status_code == 401


@pytest.mark.capability("S045")
def test_a_generated_password_must_be_changed_before_anything_else(api: Api) -> None:
    me = api.log_in("admin")
    made = me.call("POST", "/users", {"login_name": "ada", "role_id": "role-user"}).json()
    ada = api.log_in("ada", made["generated_password"])
    assert ada.call("GET", "/offers").status_code == 403
    assert ada.call("GET", "/me").json()["must_change_password"]
    changed = ada.call("POST", "/me/password", {"old": made["generated_password"], "new": "a much better one"})
    assert changed.status_code == 204
    assert ada.call("GET", "/offers").status_code == 200


@pytest.mark.capability("S029")
def test_an_offer_that_is_not_there_is_refused_with_its_reason(api: Api) -> None:
    answer = api.log_in("user").call("POST", "/connections", {"offer": "nothing.1"})
    assert answer.status_code == 409
    reason = answer.json()["reason"]
    assert set(reason) == {"code", "sentence", "remedy", "params", "because"}
    assert reason["sentence"]


@pytest.mark.capability("S029")
def test_a_connection_of_somebody_else_does_not_exist(api: Api) -> None:
    user = api.log_in("user")
    for method, path in (("GET", "/connections/x"), ("POST", "/connections/x/ticket"), ("DELETE", "/connections/x")):
        assert user.call(method, path).status_code == 404


@pytest.mark.capability("S029")
def test_a_repeated_key_gets_the_first_answer_and_acts_once(api: Api) -> None:
    calls: list[int] = []

    def act() -> tuple[dict[str, Any], bool]:
        calls.append(1)
        return {"id": "c1"}, True

    broker = api.broker
    assert idempotency.once(broker, "user", "k", {"offer": "a"}, act) == ({"id": "c1"}, False)
    assert idempotency.once(broker, "user", "k", {"offer": "a"}, act) == ({"id": "c1"}, True)
    assert idempotency.once(broker, "admin", "k", {"offer": "a"}, act) == ({"id": "c1"}, False)
    assert len(calls) == 2
    with pytest.raises(Invalid):
        idempotency.once(broker, "user", "k", {"offer": "b"}, act)
    with pytest.raises(Invalid):
        idempotency.once(broker, "user", "\n", {}, act)


@pytest.mark.capability("S029")
def test_of_many_requests_with_one_key_one_acts(api: Api) -> None:
    calls: list[int] = []

    def act() -> tuple[dict[str, Any], bool]:
        calls.append(1)
        return {"id": "c1"}, True

    def ask(_: int) -> str:
        try:
            return str(idempotency.once(api.broker, "user", "k", {}, act)[0]["id"])
        except Conflict:
            return "busy"

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(24))) <= {"c1", "busy"}
    assert len(calls) == 1


@pytest.mark.capability("S029")
def test_a_refused_try_does_not_use_up_its_key(api: Api) -> None:
    user = api.log_in("user")
    for _ in range(2):
        answer = user.call("POST", "/connections", {"offer": "nothing.1"}, Idempotency_Key="k")
        assert (answer.status_code, answer.json()["code"]) == (409, "offer.unknown")


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.mark.capability("S037")
def test_the_description_is_whole_and_documents_an_error_for_each_operation(api: Api) -> None:
    described = api.client.get("/api/v1/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for reference in references(described):
        name = reference.removeprefix("#/components/schemas/")
        assert name in described["components"]["schemas"], reference
    ids = []
    for path, operations in described["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in operations.items():
            ids.append(operation["operationId"])
            documented = [status for status in operation["responses"] if status.startswith(("4", "5"))]
            assert documented, f"{method} {path}"
            for status in documented:
                assert "application/problem+json" in operation["responses"][status]["content"], (
                    f"{method} {path} {status}"
                )
    assert len(ids) == len(set(ids))
    for noun in NOUNS:
        assert f"/api/v1/{noun}" in described["paths"]


@pytest.mark.capability("S037")
def test_what_is_answered_fits_its_description(api: Api) -> None:
    me = api.log_in("admin")
    me.call("POST", "/pools", {"name": "Pool"})
    schemas = api.client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    pool = me.call("GET", "/pools").json()["items"][0]
    assert set(pool) == set(schemas["Pool"]["properties"])
    user = me.call("GET", "/users").json()["items"][0]
    assert set(user) == set(schemas["User"]["properties"])


@pytest.mark.capability("S037")
def test_every_answer_carries_the_headers_that_keep_browsers_safe(api: Api) -> None:
    for path in ("/livez", "/api/v1/me", "/nowhere", "/api/v1/nowhere"):
        headers = api.client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["x-request-id"]


@pytest.mark.capability("S037")
def test_what_nobody_caught_is_answered_without_telling_how_it_broke(api: Api) -> None:
    app = create_app(api.broker)

    @app.get("/api/v1/broken")
    def broken() -> None:
        raise RuntimeError("secret of the house")

    answer = TestClient(app, raise_server_exceptions=False).get("/api/v1/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["instance"].endswith(answer.headers["x-request-id"])
    assert "content-security-policy" in answer.headers


@pytest.mark.capability("S124")
def test_health_tells_a_load_balancer_whether_to_ask_this_broker(api: Api) -> None:
    assert api.client.get("/livez").status_code == 200
    assert api.client.get("/readyz").status_code == 200
    assert api.client.get("/healthz").json()["ok"] is True


@pytest.mark.capability("S124")
def test_metrics_are_for_this_host_and_for_those_who_may_view_the_settings(api: Api) -> None:
    assert api.client.get("/metrics").status_code == 401
    assert api.client.get("/metrics", headers=api.log_in("user").headers).status_code == 403
    answer = api.client.get("/metrics", headers=api.log_in("admin").headers)
    assert 'portico_logins_total{result="ok"}' in answer.text
    local = TestClient(create_app(api.broker), client=("127.0.0.1", 1))
    assert local.get("/metrics").status_code == 200
    assert local.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401


@pytest.mark.capability("S045")
@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [
        ("127.0.0.1", "198.51.100.9", "198.51.100.9"), ("127.0.0.1", "6.6.6.6, 198.51.100.9, 127.0.0.1", "198.51.100.9"),
        ("203.0.113.5", "198.51.100.9", "203.0.113.5"), ("127.0.0.1", "rubbish", "127.0.0.1"), ("127.0.0.1", "2001:db8::1", "2001:db8::1"),
    ],
)  # fmt: skip
def test_a_forwarded_address_counts_only_when_a_trusted_proxy_says_so(
    api: Api, peer: str, forwarded: str, seen: str
) -> None:
    client = TestClient(create_app(api.broker), client=(peer, 1))
    answer = client.post(
        "/api/v1/login", json={"username": "admin", "password": PASSWORD}, headers={"X-Forwarded-For": forwarded}
    )
    assert answer.status_code == 200
    mine = api.log_in("admin").call("GET", f"/sessions?q={seen}").json()["items"]
    assert [session["client_address"] for session in mine] == [seen]


@pytest.mark.capability("S045")
def test_posts_without_a_credential_are_limited_by_address_in_bounded_memory(api: Api) -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None:
        return None

    limit = PostLimit(nothing, burst=3, per_second=1.0, clock=iter(float(n // 4) for n in range(10**6)).__next__)
    assert [limit._wait("a") > 0 for _ in range(4)] == [False, False, False, True]
    assert limit._wait("a") == 0
    for number in range(MAX_ADDRESSES + 50):
        limit._wait(str(number))
    assert len(limit._buckets) <= MAX_ADDRESSES


@pytest.mark.capability("S045")
def test_a_flood_from_one_address_is_told_to_wait_and_others_are_not(api: Api) -> None:
    tries = (api.client.post("/agent/v1/enroll", json={}) for _ in range(3000))
    refused = next(answer for answer in tries if answer.status_code == 429)  # how soon depends on how fast we are
    assert int(refused.headers["Retry-After"]) >= 1
    elsewhere = TestClient(api.client.app, client=("192.0.2.99", 1))
    assert elsewhere.post("/agent/v1/enroll", json={}).status_code == 400


@pytest.mark.capability("S090")
def test_no_secret_of_a_center_leaves_through_the_api(api: Api) -> None:
    me = api.log_in("admin")
    body = {"name": "Here", "kind": "nowhere", "settings": {"url": "https://x", "password": "s3cret"}}
    made = me.call("POST", "/centers", body)
    assert made.status_code == 201
    listed = [me.call("GET", path).text for path in ("/centers", "/events", f"/centers/{made.json()['id']}")]
    assert "s3cret" not in made.text + json.dumps(listed)
