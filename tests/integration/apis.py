"""The API behind a test client, as somebody who is logged in."""

import os
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from tests.brokers import PASSWORD, make_broker

from portico.services.broker import Broker
from portico.web.app import create_app

DATABASES = ["sqlite"] + (["configured"] if os.environ.get("PORTICO_TEST_DATABASE_URL") else [])


def broker_on(database: str, state: Path) -> Broker:
    """Make a broker on SQLite, or on the database that PORTICO_TEST_DATABASE_URL names."""
    return make_broker(state, os.environ["PORTICO_TEST_DATABASE_URL"] if database == "configured" else None)


class Api:
    """Calls /api/v1; each method takes the path after it."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.client = TestClient(create_app(broker), base_url="https://portico.test", client=("192.0.2.7", 4711))
        self.headers: dict[str, str] = {}

    def log_in(self, name: str, password: str = PASSWORD) -> "Api":
        answer = self.client.post("/api/v1/login", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        other = Api.__new__(Api)
        other.broker, other.client = self.broker, self.client
        other.headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        return other

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, f"/api/v1{path}", json=body, headers=sent)


def fields_of(answer: Any) -> set[str]:
    """The fields that a problem names."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return {error["field"] for error in answer.json()["errors"]}
