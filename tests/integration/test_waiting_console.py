"""Waiting agents and join keys in the console."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient
from tests.brokers import make_broker
from tests.fleets import give_desktop
from tests.page_client import ORIGIN, SAME, log_in

from portico.services import waiting
from portico.services.broker import Broker
from portico.services.sessions import hash_secret
from portico.store import tables as t
from portico.web.app import create_app

pytestmark = pytest.mark.capability("S077", "S122")

UUID = "83679162-1378-4288-a2d4-70e13ec132aa"


@pytest.fixture
def broker(tmp_path: Any) -> Broker:
    return make_broker(tmp_path)


@pytest.fixture
def client(broker: Broker) -> Iterator[TestClient]:
    with TestClient(create_app(broker), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


def wait_for(broker: Broker, host: str) -> str:
    """Let an agent wait for a desktop that there is; returns the desktop's id."""
    desktop_id = give_desktop(broker)
    with broker.db.write() as conn:
        conn.execute(
            update(t.desktops).where(t.desktops.c.id == desktop_id).values(external_id=UUID, address="10.0.0.5")
        )
    facts = {"hostname": host, "os_name": "Debian", "port": 0, "metadata": "no route"}
    message = {"secret": "s" * 40, "agent_version": "1", "facts": facts, "instance_id": UUID, "addresses": ["10.0.0.5"]}
    assert waiting.ask(broker, "203.0.113.1", message).credentials is None
    return desktop_id


def test_an_administrator_finds_looks_at_and_admits_a_waiting_agent(client: TestClient, broker: Broker) -> None:
    """From the overview's notice to the list, its page with what it says, and one press; what it says is never markup."""
    wait_for(broker, "<b>host</b>")
    csrf = log_in(client)
    assert "Agents that wait to be admitted: 1." in client.get("/admin").text
    assert 'href="/admin/waiting-agents?q=state:waiting"' in client.get("/admin").text
    shown = client.get("/admin/waiting-agents?q=state:waiting").text
    assert "&lt;b&gt;host&lt;/b&gt;" in shown
    assert "<b>host</b>" not in shown
    assert "The request comes from 203.0.113.1" in shown
    assert "No route" in shown
    [path] = set(re.findall(r"/admin/waiting-agents/[0-9a-f-]{36}", shown))
    detail = client.get(path).text
    for text in (UUID, "10.0.0.5", "203.0.113.1", "Debian", "Admit it if you know the machine"):
        assert text in detail
    answer = client.post(f"{path}/do/admit", data={"csrf": csrf}, headers=SAME)
    assert answer.headers["location"] == "/admin/waiting-agents?done=admitted"
    assert f"{path}/do/admit" not in client.get(path).text
    assert "Agents that wait to be admitted" not in client.get("/admin").text
    assert "admitted the waiting agent of" in client.get("/admin/events").text


def test_a_waiting_agent_is_refused(client: TestClient, broker: Broker) -> None:
    """It stays in the list as such, and may be admitted later."""
    wait_for(broker, "host")
    csrf = log_in(client)
    [path] = set(re.findall(r"/admin/waiting-agents/[0-9a-f-]{36}", client.get("/admin/waiting-agents").text))
    client.post(f"{path}/do/refuse", data={"csrf": csrf}, headers=SAME)
    assert "refused the waiting agent of" in client.get("/admin/events").text
    detail = client.get(path).text
    assert "Refused" in detail
    assert f"{path}/do/refuse" not in detail
    assert f"{path}/do/admit" in detail


def known(broker: Broker, secret: str) -> bool:
    """Tell whether this is a join key."""
    with broker.db.read() as conn:
        return conn.scalar(select(t.join_keys.c.id).where(t.join_keys.c.secret_hash == hash_secret(secret))) is not None


def test_a_join_key_is_made_shown_once_and_revoked(client: TestClient, broker: Broker) -> None:
    """With the command that puts it into an image; its page shows the deployment's fingerprint and no secret."""
    csrf = log_in(client)
    wrong = client.post("/admin/join-keys/new", data={"csrf": csrf, "name": "", "days": "0"}, headers=SAME)
    assert wrong.status_code == 422
    made = client.post("/admin/join-keys/new", data={"csrf": csrf, "name": "Debian", "days": "30"}, headers=SAME)
    assert made.status_code == 200, made.text
    [secret] = {found for found in re.findall(r"(?<![\w-])[\w-]{43}(?![\w-])", made.text) if known(broker, found)}
    [path] = set(re.findall(r"/admin/join-keys/[0-9a-f-]{36}", made.text))
    page = client.get(path).text
    for text in (made.text, page):
        assert f"--fingerprint {broker.keys.ca_fingerprint}" in text
    assert secret not in page
    assert secret not in client.get("/admin/events").text
    assert client.post(f"{path}/delete", data={"csrf": csrf}, headers=SAME).status_code == 303
    assert "Debian" not in client.get("/admin/join-keys").text
    told = client.get("/admin/events").text
    assert "made the join key" in told
    assert "revoked the join key" in told
