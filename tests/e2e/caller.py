"""A person without a browser: pages, REST and gateway through the real front, and no answer may tell how the program broke."""

import json
import re
import ssl
from html import unescape
from typing import Any

import httpx
from tests.e2e.conftest import RunningDemo, until
from websockets.sync.client import ClientConnection, connect

INSIDES = re.compile(r'Traceback \(most recent|File ".+", line \d+|sqlalchemy|\.py"', re.IGNORECASE)
SECONDS = 60


class Caller:
    """One person's cookies and token at a demo."""

    def __init__(self, demo: RunningDemo, login: str, password: str = "") -> None:
        self.url = str(demo.facts["url"])
        self.login, self.password = login, password or demo.password(login)
        self._http = httpx.Client(base_url=self.url, verify=False, timeout=SECONDS)
        self._token = ""

    def page(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask for a page as a browser of ours does, unless headers say otherwise."""
        more["headers"] = {"Origin": self.url, "Accept": "text/html"} | more.get("headers", {})
        return harmless(self._http.request(method, path, **more))

    def log_in(self) -> httpx.Response:
        """Send the log-in form."""
        form = {"username": self.login, "password": self.password, "next": "/"}
        return self.page("POST", "/login", data=form)

    def post(self, path: str, **form: str) -> httpx.Response:
        """Send a form of the portal, with the token that its page carries."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.page("GET", "/").text)
        assert found, "the portal shows no form: nobody is logged in"
        return self.page("POST", path, data={"csrf": found.group(1), **form})

    def offers(self) -> dict[str, str]:
        """Return the cards of the portal: name → offer."""
        text = self.page("GET", "/").text
        cards = re.findall(r'data-offer="([^"]+)".*?data-testid="name">([^<]+)<', text, re.DOTALL)
        return {unescape(name): offer for offer, name in cards}

    def open(self, name: str) -> httpx.Response:
        """Press the button of a card, once it is there."""
        offer = until(f"the card {name} of {self.login}", lambda: self.offers().get(name))
        return self.post("/connect", offer=str(offer))

    def api(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Call the REST interface, logged in."""
        if not self._token:
            sent = {"username": self.login, "password": self.password}
            answer = harmless(self._http.post("/api/v1/login", json=sent))
            assert answer.status_code == 200, answer.text
            self._token = answer.json()["token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        return harmless(self._http.request(method, f"/api/v1/{path}", json=body, headers=headers))

    def cookies(self) -> dict[str, str]:
        """Return the cookies that the browser would keep."""
        return dict(self._http.cookies)

    def ticket(self, connection: str) -> tuple[str, str]:
        """Wait until a connection is ready; returns a ticket and the address of its door."""

        def ready() -> dict[str, Any] | None:
            found = self.api("GET", f"connections/{connection}")
            if found.status_code != 200 or found.json()["state"] not in ("ready", "open"):
                return None
            answer = self.api("POST", f"connections/{connection}/ticket")
            return dict(answer.json()) if answer.status_code == 201 else None

        got = until("a ticket", ready)
        assert got
        return got["ticket"], re.sub("^https", "wss", str(httpx.URL(self.url).join(got["url"])))


def harmless(answer: httpx.Response) -> httpx.Response:
    """Return the answer, which shows nothing of the program's insides and is no failure of it."""
    assert not INSIDES.search(answer.text), answer.text[:2000]
    assert answer.status_code != 500, answer.text[:2000]
    return answer


def enter(address: str, ticket: str, origin: str) -> tuple[ClientConnection, dict[str, Any]]:
    """Go through the gateway's door; returns the socket and its first words."""
    trust = ssl.create_default_context()
    # The threaded client reads and writes one TLS object at once, which the tickets of TLS 1.3 now and then bring to a halt.
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    door = connect(address, ssl=trust, origin=origin, open_timeout=SECONDS).__enter__()  # type: ignore[arg-type]
    door.send(json.dumps({"ticket": ticket}))
    return door, dict(json.loads(door.recv(timeout=SECONDS)))
