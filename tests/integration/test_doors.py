"""The doors of agents and gateways, as wire/ describes them, on a real server where time matters."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import insert
from tests.brokers import TENANT
from tests.integration.apis import DATABASES, Api, broker_on, fields_of

from portico.services import gateways
from portico.services.broker import Broker
from portico.services.sessions import hash_secret
from portico.store import desktops, outbox
from portico.store import tables as t
from portico.web.app import create_app

FACTS = {
    "hostname": "desk",
    "os_family": "linux",
    "os_name": "Debian",
    "address": "192.0.2.10",
    "port": 0,
    "protocols": {"vnc": 5901},
}
REPORT: dict[str, Any] = {"v": 1, "boot_id": "b1", "sequence": 1, "sessions": [], "events": [], "results": []}


@pytest.fixture(params=DATABASES)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = broker_on(request.param, tmp_path)
    yield made
    made.db.dispose()


@pytest.fixture
def api(broker: Broker) -> Api:
    return Api(broker)


@pytest.fixture
def server(broker: Broker) -> Iterator[str]:
    """The application on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = uvicorn.Server(uvicorn.Config(create_app(broker), log_level="warning", lifespan="off"))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        running.should_exit = True
        thread.join(30)


def expect_agent(broker: Broker, token: str = "once") -> None:
    now = broker.now()
    with broker.db.write() as conn:
        conn.execute(
            insert(t.centers).values(
                id="c",
                tenant_id=TENANT,
                name="Here",
                kind="nowhere",
                body={},
                version=1,
                status="online",
                status_reason="",
                pass_number=0,
                created_at=now,
                updated_at=now,
            )  # fmt: skip
        )
        row = {"id": "d", "tenant_id": TENANT, "center_id": "c", "name": "desk", "external_id": "x", "stage_at": now}
        desktops.add(conn, [row | {"created_at": now, "updated_at": now}])
        conn.execute(
            insert(t.agents).values(
                id="a",
                tenant_id=TENANT,
                desktop_id="d",
                token_hash=hash_secret(token),
                token_expires_at=now + timedelta(hours=1),
                version="",
                port=0,
                boot_id="",
                sequence=0,
            )  # fmt: skip
        )


def enrolled(api: Api) -> dict[str, str]:
    expect_agent(api.broker)
    answer = api.client.post("/agent/v1/enroll", json={"v": 1, "token": "once", "agent_version": "1", "facts": FACTS})
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['bearer']}"}


def enrolled_gateway(api: Api) -> dict[str, str]:
    token = gateways.issue_token(api.broker)
    body = {"v": 1, "token": token, "name": "gw", "version": "1", "public_url": "https://portico.test"}
    answer = api.client.post("/gateway/v1/enroll", json=body)
    assert answer.status_code == 200, answer.text
    assert api.client.post("/gateway/v1/enroll", json=body).status_code == 401
    return {"Authorization": f"Bearer {answer.json()['bearer']}"}


@pytest.mark.capability("S032")
def test_the_certificate_of_the_authority_is_public(api: Api) -> None:
    for door in ("agent", "gateway"):
        answer = api.client.get(f"/{door}/v1/ca")
        assert answer.status_code == 200
        assert answer.text.startswith("-----BEGIN CERTIFICATE-----")
        assert "PRIVATE" not in answer.text


@pytest.mark.capability("S032")
def test_an_enrolment_token_is_good_once(api: Api) -> None:
    enrolled(api)
    again = api.client.post("/agent/v1/enroll", json={"v": 1, "token": "once", "facts": FACTS})
    assert again.status_code == 401
    assert again.headers["content-type"] == "application/problem+json"


@pytest.mark.capability("S032")
def test_a_report_is_taken_and_answered_with_the_heartbeat(api: Api) -> None:
    answer = api.client.post("/agent/v1/report", json=REPORT, headers=enrolled(api))
    assert answer.status_code == 200, answer.text
    assert answer.json()["ok"] is True
    assert answer.json()["heartbeat_seconds"] > 0


@pytest.mark.capability("S032")
@pytest.mark.parametrize(
    "path",
    ["/agent/v1/report", "/agent/v1/commands", "/gateway/v1/report", "/gateway/v1/redeem", "/gateway/v1/control"],
)
@pytest.mark.parametrize("value", ["", "Bearer x", "Basic x", "Bearer " + "x" * 5000])
def test_without_its_credential_nobody_gets_in(api: Api, path: str, value: str) -> None:
    method = "GET" if path.endswith(("commands", "control")) else "POST"
    headers = {"Authorization": value} if value else {}
    answer = api.client.request(method, path, headers=headers, json=None if method == "GET" else {})
    assert answer.status_code == 401


@pytest.mark.capability("S032")
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"v": 2}, "v"), ({"v": "1"}, "v"), ({"boot_id": 5}, "boot_id"), ({"boot_id": ""}, "boot_id"), ({"sequence": -1}, "sequence"),
        ({"sequence": 2**70}, "sequence"), ({"sequence": "1"}, "sequence"), ({"sessions": {}}, "sessions"), ({"events": [5]}, "events.0"),
        ({"events": [{}] * 2001}, "events"), ({"results": "x"}, "results"), ({"facts": []}, "facts"),
        ({"facts": {"port": 70_000}}, "facts.port"), ({"facts": {"protocols": {"vnc": "x"}}}, "facts.protocols.vnc"),
        ({"facts": {"hostname": "a\0b"}}, "facts.hostname"), ({"sessions": [{"user": "\ud800"}]}, "sessions.0.user"),
    ],
)  # fmt: skip
def test_a_malformed_report_is_refused_by_the_name_of_its_member(api: Api, change: dict[str, Any], field: str) -> None:
    headers = enrolled(api) | {"Content-Type": "application/json"}
    answer = api.client.post("/agent/v1/report", content=json.dumps(REPORT | change), headers=headers)
    assert answer.status_code == 400, answer.text
    assert field in fields_of(answer)


@pytest.mark.capability("S032")
def test_members_of_a_newer_version_are_let_through(api: Api) -> None:
    assert (
        api.client.post("/agent/v1/report", json=REPORT | {"news": {"a": 1}}, headers=enrolled(api)).status_code == 200
    )


@pytest.mark.capability("S032")
def test_a_wait_that_is_no_number_is_refused_by_name(api: Api) -> None:
    answer = api.client.get("/agent/v1/commands?wait=soon", headers=enrolled(api))
    assert answer.status_code == 400
    assert fields_of(answer) == {"wait"}


@pytest.mark.capability("S032")
def test_a_command_reaches_an_agent_that_waits_for_one(broker: Broker, server: str) -> None:
    headers = enrolled(Api(broker))
    found: list[Any] = []

    def wait() -> None:
        found.append(httpx.get(f"{server}/agent/v1/commands?wait=20", headers=headers, timeout=30).json())

    thread = threading.Thread(target=wait)
    thread.start()
    with broker.db.write() as conn:
        now = broker.now()
        outbox.put(conn, "agent:a", {"kind": "lock", "session": None}, now, now + timedelta(minutes=1))
    thread.join(30)
    assert [command["kind"] for command in found[0]["commands"]] == ["lock"]
    assert httpx.get(f"{server}/agent/v1/commands?wait=0", headers=headers, timeout=30).json() == {"commands": []}


@pytest.mark.capability("S032")
def test_many_waiting_agents_hold_no_thread_that_people_need(broker: Broker, server: str) -> None:
    headers = enrolled(Api(broker))
    begun = threading.Barrier(41)

    def wait() -> None:
        begun.wait(30)
        httpx.get(f"{server}/agent/v1/commands?wait=8", headers=headers, timeout=60)

    threads = [threading.Thread(target=wait) for _ in range(40)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    started = time.monotonic()
    for _ in range(5):
        assert httpx.get(f"{server}/api/v1/me", timeout=30).status_code == 401
    assert any(thread.is_alive() for thread in threads), (
        f"nobody waited any more after {time.monotonic() - started:.1f} s"
    )
    for thread in threads:
        thread.join(60)


@pytest.mark.capability("S031")
def test_a_gateway_enrols_once_reports_and_is_told_what_brokers_want(api: Api) -> None:
    headers = enrolled_gateway(api)
    report = {"v": 1, "boot_id": "b", "sequence": 1, "load": {"sessions": 2, "cpu": 0.1}, "live": [], "events": []}
    assert api.client.post("/gateway/v1/report", json=report, headers=headers).json()["ok"] is True
    admin = api.log_in("admin")
    gateway = admin.call("GET", "/gateways").json()["items"][0]
    assert admin.call("PATCH", f"/gateways/{gateway['id']}", {"draining": True}).status_code == 200
    told = api.client.get("/gateway/v1/control?after=0", headers=headers).json()
    assert [message["kind"] for message in told["messages"]] == ["drain"]
    assert told["last"] == told["messages"][-1]["id"]


@pytest.mark.capability("S031")
def test_an_administrator_makes_the_token_that_a_gateway_enrols_with(api: Api) -> None:
    assert api.log_in("user").call("POST", "/gateways/tokens").status_code == 403
    made = api.log_in("admin").call("POST", "/gateways/tokens")
    assert made.status_code == 201
    body = {"v": 1, "token": made.json()["token"], "name": "gw", "version": "1", "public_url": "https://portico.test"}
    assert api.client.post("/gateway/v1/enroll", json=body).status_code == 200


@pytest.mark.capability("S031")
@pytest.mark.parametrize("ticket", ["x", "a.b.c", "e30.e30.e30", "x" * 4096])
def test_a_forged_ticket_is_refused(api: Api, ticket: str) -> None:
    answer = api.client.post(
        "/gateway/v1/redeem", json={"ticket": ticket, "client_address": "192.0.2.1"}, headers=enrolled_gateway(api)
    )
    assert answer.status_code == 401


@pytest.mark.capability("S031")
@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "ticket"), ({"ticket": 5}, "ticket"), ({"ticket": "x" * 4097}, "ticket"), ({"ticket": "\0"}, "ticket")],
)
def test_a_malformed_redemption_is_refused_by_name(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.client.post("/gateway/v1/redeem", json=body, headers=enrolled_gateway(api))
    assert answer.status_code == 400
    assert field in fields_of(answer)
