"""A small client of OpenStack's APIs, by the standard library alone: for seeding, for looking, and for tests that check behind Portico."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from tests.lab.places import KEYSTONE, PASSWORD

# What each service is called in the catalogue, and what stands between its address there and its collections.
KINDS = {
    "identity": ("identity", ""), "compute": ("compute", ""), "network": ("network", "/v2.0"), "image": ("image", "/v2"),
    "volume": ("volumev3", ""), "placement": ("placement", ""), "baremetal": ("baremetal", "/v1"),
}  # fmt: skip
VERSIONS = "compute 2.96", "volume 3.70", "placement 1.39", "baremetal 1.90"
PATIENCE = 120  # Seconds for one answer: eight servers asked for at once keep the last one waiting for 18.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # Loopback is never behind a proxy.


class Refused(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, text: str, call: str) -> None:
        super().__init__(f"{call}: {status} {text[:500]}")
        self.status, self.text = status, text


class Cloud:
    """One user in one project (or in the whole system), logged in when first needed."""

    def __init__(self, user: str, project: str | None = None, auth: Mapping[str, Any] | None = None) -> None:
        self.user, self.project, self._auth = user, project, auth
        self._token, self._until, self.ids = "", 0.0, {"user": "", "project": ""}
        self.places: dict[str, str] = {}

    def log_in(self) -> None:
        """Get a token and the catalogue."""
        who = {"name": self.user, "domain": {"id": "default"}, "password": PASSWORD}
        where = (
            {"project": {"name": self.project, "domain": {"id": "default"}}}
            if self.project
            else {"system": {"all": True}}
        )
        auth = self._auth or {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": where}
        status, headers, made = _exchange("POST", f"{KEYSTONE}/auth/tokens", {"auth": auth}, {})
        if status != 201:
            raise Refused(status, json.dumps(made), f"log-in of {self.user}")
        token = made["token"]
        self._token, self._until = headers["X-Subject-Token"], time.monotonic() + 3600
        self.ids = {"user": token["user"]["id"], "project": token.get("project", {}).get("id", "")}
        for entry in token["catalog"]:
            self.places[entry["type"]] = next(
                (end["url"] for end in entry["endpoints"] if end["interface"] == "public"), ""
            )

    def call(self, method: str, kind: str, path: str, body: object = None, **headers: str) -> Any:
        """Send a request to a service and return what it says. Raise Refused for what it does not want."""
        if time.monotonic() > self._until:
            self.log_in()
        name, prefix = KINDS[kind]
        place = (KEYSTONE if kind == "identity" else self.places[name]).rstrip("/")
        common = {
            "X-Auth-Token": self._token,
            "OpenStack-API-Version": ", ".join(VERSIONS),
            "X-OpenStack-Ironic-API-Version": "1.90",
        }
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        status, _, answer = _exchange(method, place + prefix + path, body, common | named)
        if status >= 400:
            raise Refused(
                status,
                answer if isinstance(answer, str) else json.dumps(answer),
                f"{method} {kind}{path} as {self.user}",
            )
        return answer

    def get(self, kind: str, path: str) -> Any:
        """Read something."""
        return self.call("GET", kind, path)

    def post(self, kind: str, path: str, body: object) -> Any:
        """Make something."""
        return self.call("POST", kind, path, body)

    def put(self, kind: str, path: str, body: object) -> Any:
        """Set something."""
        return self.call("PUT", kind, path, body)

    def delete(self, kind: str, path: str) -> None:
        """Remove something, unless it is gone already."""
        try:
            self.call("DELETE", kind, path)
        except Refused as refused:
            if refused.status != 404:
                raise

    def listed(self, kind: str, path: str, key: str = "") -> list[dict[str, Any]]:
        """Return a whole collection; `key` is its name in the answer when the path does not tell."""
        last = path.partition("?")[0].rpartition("/")[2]
        return list(self.get(kind, path)[key or last.removeprefix("os-").replace("-", "_")])

    def ensure(self, kind: str, path: str, one: str, name: str, **values: object) -> dict[str, Any]:
        """Return what is called `name` in a collection, made with `values` if it is not there. `one` is the singular."""
        found = next(
            (
                entry
                for entry in self.listed(kind, path, "volume_types" if path == "/types" else "")
                if entry.get("name") == name and self._mine(kind, entry)
            ),
            None,
        )
        if found is not None:
            return found
        wanted = {"name": name, **values}
        if kind == "image":  # Glance alone wraps nothing.
            return dict(self.post(kind, path, wanted))
        return dict(self.post(kind, path, {one: wanted})[one])

    def _mine(self, kind: str, entry: Mapping[str, Any]) -> bool:
        return kind != "network" or entry.get("project_id") == self.ids["project"]


def application(credential: Mapping[str, str]) -> Cloud:
    """Return the cloud as an application credential sees it: {"id", "secret"}."""
    auth = {"identity": {"methods": ["application_credential"], "application_credential": dict(credential)}}
    return Cloud(credential["id"], None, auth)


def until(what: str, ready: Callable[[], Any], seconds: float = 120) -> Any:
    """Return the first truth that `ready` tells; raise TimeoutError, with the last untruth, when it takes too long."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not in {seconds:.0f} seconds, last seen {found!r}")
        time.sleep(0.3)
    return found


def answers(place: str) -> bool:
    """Tell whether a server is there that has something to say, even if only that one must log in."""
    try:
        return _exchange("GET", place, None, {}, 10)[0] < 500
    except OSError:
        return False


def _exchange(
    method: str, place: str, body: object, headers: Mapping[str, str], patience: float = PATIENCE
) -> tuple[int, Any, Any]:
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/octet-stream" if isinstance(body, bytes) else "application/json"}
    request = urllib.request.Request(place, raw, kind | {"Accept": "application/json"} | dict(headers), method=method)
    try:
        with _direct.open(request, timeout=patience) as answer:
            return answer.status, answer.headers, _read(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, _read(error.read())


def _read(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode("utf-8", "replace")
