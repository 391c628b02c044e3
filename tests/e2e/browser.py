"""A person at a browser: logs in, opens desktops, types, leaves; takes pictures and times on the way."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, Playwright, expect

SECONDS = 90  # for any one step on a loaded machine
PORTAL = re.compile(r"^https://[^/]+/([?#].*)?$")
VIEWER = "html[data-viewer={}]"


def launch(playwright: Playwright) -> Browser:
    """Start a headless browser of the system."""
    names = ("chromium", "google-chrome", "chromium-browser")
    program = os.environ.get("PORTICO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.fail("there is no Chromium here: `make setup` installs it, or PORTICO_CHROMIUM names one")
    # Root has no user namespaces to build a sandbox of; /dev/shm is small in containers.
    unsafe = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program, args=[*unsafe, "--disable-dev-shm-usage"])


class Times:
    """How long each step took, in seconds; written as JSON and as a table."""

    def __init__(self) -> None:
        self.rows: dict[str, float] = {}

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """Time one step."""
        began = time.monotonic()
        yield
        self.rows[step] = round(time.monotonic() - began, 3)

    def table(self) -> str:
        """Return the times as a table of Markdown."""
        return "\n".join(
            ["| step | seconds |", "| --- | ---: |", *(f"| {k} | {v:.2f} |" for k, v in self.rows.items())]
        )

    def write(self, directory: Path) -> None:
        """Leave timings.json and timings.md."""
        (directory / "timings.json").write_text(json.dumps(self.rows, indent=1) + "\n", "utf-8")
        (directory / "timings.md").write_text(self.table() + "\n", "utf-8")


class Person:
    """One person with a browser window of their own."""

    def __init__(self, browser: Browser, url: str, pictures: Path, times: Times, login: str) -> None:
        # The certificate is signed by the demo's own authority, which no browser knows.
        self.context = browser.new_context(
            ignore_https_errors=True, viewport={"width": 1440, "height": 900}, locale="en-US"
        )
        self.context.set_default_timeout(SECONDS * 1000)
        self.page: Page = self.context.new_page()
        self.url, self.pictures, self.times, self.login = url, pictures, times, login

    def log_in(self, password: str) -> None:
        """Log in at the portal and see the offers."""
        self.page.goto(f"{self.url}/")
        self.page.locator("[name=username]").fill(self.login)
        self.page.locator("[name=password]").fill(password)
        self.picture("log-in")
        with self.times.of(f"{self.login}: log-in to offers"):
            self.page.locator("button[type=submit]").first.click()
            self.offers().first.wait_for()
        self.picture("offers")

    def offers(self) -> Locator:
        """The cards of the portal."""
        return self.page.locator("[data-offer]")

    def open(self, name: str, step: str) -> None:
        """Open the card of this name and wait for the first picture of the desktop."""
        card = self.offers().filter(has=self.page.locator("[data-testid=name]", has_text=name))
        expect(card).to_have_count(1, timeout=SECONDS * 1000)
        with self.times.of(f"{self.login}: {step}"):
            card.locator("[data-testid=open]").click()
            self.wait_for_viewer("connected")

    def wait_for_viewer(self, state: str) -> None:
        """Wait until the viewer says connecting, connected, lost or ended."""
        self.page.locator(VIEWER.format(state)).wait_for(state="attached", timeout=SECONDS * 1000)

    def type_line(self, line: str) -> None:
        """Type a line into the desktop, as keys."""
        canvas = self.page.locator("canvas, .xterm-helper-textarea").first
        canvas.focus()
        self.page.keyboard.type(line, delay=15)
        self.page.keyboard.press("Enter")

    def toolbar(self, button: str) -> None:
        """Press a button of the viewer's toolbar, which may have hidden itself."""
        self.page.locator(f"[data-testid=toolbar-{button}]").evaluate("button => button.click()")

    def leave(self, button: str) -> None:
        """Press disconnect or log-out in the viewer and return to the portal."""
        self.toolbar(button)
        link = self.page.locator("[data-testid=overlay] [data-testid=back]")
        end = time.monotonic() + SECONDS
        while not PORTAL.match(self.page.url):
            if link.count() and link.first.is_visible():
                link.first.click()
            if time.monotonic() > end:
                pytest.fail(f"{button} did not lead back to the portal; the page is {self.page.url}")
            self.page.wait_for_timeout(100)
        self.offers().first.wait_for()

    def log_out(self) -> None:
        """Log out of the portal."""
        self.page.locator("[data-testid=log-out]").first.evaluate("button => button.click()")
        self.page.locator("[name=password]").wait_for()

    def picture(self, name: str) -> None:
        """Take a picture of the page as it is."""
        self.page.screenshot(path=self.pictures / f"{self.login}-{name}.png")


def proof(look: Callable[[], Path | None], typed: Callable[[], None], seconds: float = SECONDS) -> Path:
    """Type until the file is there: a desktop that has just appeared may lose the first keys to its window manager."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        typed()
        settled = time.monotonic() + 5
        while time.monotonic() < settled:
            found = look()
            if found is not None:
                return found
            time.sleep(0.1)
    pytest.fail("what was typed never reached a file in the desktop")
