"""Pages as a browser without scripts gets them, for the tests that read them."""

from html.parser import HTMLParser

from starlette.testclient import TestClient
from tests.brokers import PASSWORD

ORIGIN = "https://localhost:8443"
SAME = {"origin": ORIGIN}


class Page(HTMLParser):
    """What a page holds that the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.title = ""
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open == "title":
            self.title += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def field(self, name: str) -> str:
        found = next(attrs for attrs in self.all("input") if attrs.get("name") == name)
        return found.get("value") or ""


def log_in(client: TestClient, name: str = "admin", path: str = "/") -> str:
    """Log in and return the CSRF token of the pages."""
    answer = client.post("/login", data={"username": name, "password": PASSWORD, "next": path}, headers=SAME)
    assert answer.status_code == 303, answer.text
    return Page(client.get("/account").text).field("csrf")
