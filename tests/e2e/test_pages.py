"""The pages in a real browser: by keyboard alone, live, in both themes and widths, with nothing refused by the policy."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from tests.brokers import PASSWORD, actor, make_broker

from portico.services import configure
from portico.services.broker import Broker
from portico.web.app import create_app

SCREENS = Path("build/screens")
PAGES = {
    "portal": "/", "account": "/account", "overview": "/admin", "desktops": "/admin/desktops", "pools": "/admin/pools",
    "new-pool": "/admin/pools/new", "new-policy": "/admin/policies/new", "new-center": "/admin/centers/new", "users": "/admin/users",
    "role": "/admin/roles/role-user?tab=settings", "jobs": "/admin/jobs", "events": "/admin/events", "settings": "/admin/settings",
}  # fmt: skip


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    broker = make_broker(tmp_path_factory.mktemp("pages"))
    configure.create_item(broker, actor(broker), "pools", {"name": "Engineering"})
    return broker


@pytest.fixture(scope="module")
def url(broker: Broker) -> Iterator[str]:
    """Serve the application on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"
    app = create_app(replace(broker, config=replace(broker.config, public_url=address)))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    ready = threading.Event()
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets)
        ready.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield address
    server.should_exit = True
    thread.join(15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def log_in(page: Page, url: str) -> None:
    """Log in as the administrator by keyboard alone: the first field has the focus."""
    page.goto(f"{url}/login")
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-testid=log-out]", state="attached")


@pytest.mark.capability("S029", "S122")
def test_the_palette_reaches_an_object_by_keyboard_alone(browser: Browser, url: str) -> None:
    """Ctrl-K, a few letters and Enter lead to the pool; Escape closes a menu and returns the focus."""
    context = browser.new_context()
    page = context.new_page()
    log_in(page, url)
    page.goto(f"{url}/admin")
    page.keyboard.press("Control+k")
    page.keyboard.type("engineer")
    page.wait_for_selector("#palette a[role=option][aria-selected=true]:has-text('Engineering')")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Engineering')")
    menu = page.locator(".side details.menu")
    menu.locator("summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('.menu-items') !== null")
    page.keyboard.press("Escape")
    assert menu.get_attribute("open") is None
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    context.close()


@pytest.mark.capability("S122")
def test_an_open_list_shows_what_others_make(browser: Browser, url: str, broker: Broker) -> None:
    """A pool that is made elsewhere appears in the open list without a reload."""
    context = browser.new_context()
    page = context.new_page()
    log_in(page, url)
    with page.expect_response(lambda answer: answer.url.endswith("/live")):
        page.goto(f"{url}/admin/pools")
    page.wait_for_function("() => window.htmx !== undefined")
    configure.create_item(broker, actor(broker), "pools", {"name": "Made elsewhere"})
    page.wait_for_selector("text=Made elsewhere", timeout=30_000)
    context.close()


@pytest.mark.capability("S122")
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_every_page_fits_and_breaks_no_rule(browser: Browser, url: str, theme: str, width: int) -> None:
    """No page scrolls sideways, logs an error, or wants what the policy refuses; pictures are left in build/screens."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: wrong.append(str(problem)))
    page.goto(f"{url}/login")
    page.screenshot(path=SCREENS / f"log-in-{theme}-{width}.png")
    log_in(page, url)
    for name, path in PAGES.items():
        page.goto(url + path)
        assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"), name
        page.screenshot(path=SCREENS / f"{name}-{theme}-{width}.png")
    context.close()
    assert not wrong


@pytest.mark.capability("S029", "S122")
def test_the_pages_work_without_a_script(browser: Browser, url: str) -> None:
    """Log in, make a user and log out with scripts switched off."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("[name=username]", "admin")
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.goto(f"{url}/admin/users/new")
    page.fill("[name=login_name]", "noscript")
    page.select_option("[name=role_id]", "role-user")
    page.click(".save-bar button")
    assert page.locator("text=shown this once").count() == 1
    page.goto(f"{url}/")
    page.click("details.menu summary")
    page.click("[data-testid=log-out]")
    assert page.url.endswith("/login")
    context.close()
