"""The pages in a real browser: by keyboard alone, live, in both themes and widths, with nothing refused by the policy."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.brokers import PASSWORD, actor
from tests.e2e.page_server import PAGES, details, launch, log_in, serve, stocked

from portico.services import configure
from portico.services.broker import Broker

SCREENS = Path("build/screens")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    return stocked(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def url(broker: Broker) -> Iterator[str]:
    with serve(broker) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


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
    page.wait_for_load_state("load")  # the heading stands before the scripts have run
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
def test_every_page_fits_and_breaks_no_rule(browser: Browser, url: str, theme: Any, width: int, broker: Broker) -> None:
    """No page scrolls sideways, logs an error, or wants what the policy refuses; pictures are left in build/screens."""
    SCREENS.mkdir(parents=True, exist_ok=True)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda problem: wrong.append(str(problem)))
    page.goto(f"{url}/login")
    page.screenshot(path=SCREENS / f"log-in-{theme}-{width}.png")
    log_in(page, url)
    for name, path in (PAGES | details(broker)).items():
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
    page.wait_for_selector("[data-testid=log-out]", state="attached")
    page.goto(f"{url}/admin/users/new")
    page.fill("[name=login_name]", "noscript")
    page.select_option("[name=role_id]", "role-user")
    page.click(".save-bar button")
    page.wait_for_selector("text=shown this once")
    page.goto(f"{url}/")
    page.click("details.menu summary")
    page.click("[data-testid=log-out]")
    page.wait_for_url("**/login")
    context.close()
