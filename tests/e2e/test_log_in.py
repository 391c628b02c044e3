"""The log-in in a real browser: by a directory, past a slow one, with a second factor. The console of the browser stays clean."""

import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect
from tests.brokers import PASSWORD, actor
from tests.contract.test_directory import LINES
from tests.e2e.page_server import launch, serve, stocked

from portico.services import configure
from portico.services.broker import Broker

PICTURES = Path("build/log-in")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    made = stocked(tmp_path_factory.mktemp("log-in"))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, seconds in (("Quick", 0), ("Slow", 8)):
        settings = {"people": LINES, "answer_after": seconds}
        fields = {
            "name": name,
            "kind": "list",
            "domains": [f"{name.lower()}.test"],
            "settings": settings,
            "default_role_id": "role-user",
        }
        configure.create_item(made, actor(made), "directories", fields)
    made.snapshots.get(fresh=True)
    return made


@pytest.fixture(scope="module")
def url(broker: Broker) -> Iterator[str]:
    with serve(broker) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as made:
        yield made


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    made, said = context.new_page(), []
    made.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    yield made
    context.close()
    assert [text for text in said if "status of 4" not in text] == []  # a refused log-in is answered 401


def log_in(page: Page, url: str, name: str, password: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("User name").fill(name)
    page.get_by_label("Password").fill(password)


@pytest.mark.capability("S046", "S047")
def test_one_chooses_where_one_comes_from(page: Page, url: str) -> None:
    """A wrong choice is refused like a wrong password, and what was chosen stays chosen."""
    log_in(page, url, "bob", "Passw0rd-bob")
    page.get_by_label("You come from").select_option(label="Portico itself")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("not right")
    expect(page.get_by_label("You come from")).to_have_value("local")
    page.get_by_label("Password").fill("Passw0rd-bob")
    page.get_by_label("You come from").select_option(label="Quick")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("bob").first).to_be_visible()


@pytest.mark.capability("S119")
def test_a_slow_directory_shows_that_it_is_and_then_the_desktops(page: Page, url: str) -> None:
    """Without a script: the page asks again by itself."""
    log_in(page, url, "ada@slow.test", "Passw0rd-ada")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_text("Your directory is slow at the moment.")).to_be_visible(timeout=30_000)
    page.screenshot(path=PICTURES / "wait.png")
    expect(page.get_by_test_id("log-out")).to_be_attached(timeout=60_000)


@pytest.mark.capability("S045")
def test_a_second_factor_is_set_up_asked_for_and_removed(page: Page, browser: Browser, url: str) -> None:
    log_in(page, url, "user", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_test_id("log-out")).to_be_attached()
    page.goto(f"{url}/second-factor")
    picture = page.locator(".qr svg").bounding_box()
    assert picture is not None and picture["width"] == pytest.approx(picture["height"], rel=0.02)
    page.screenshot(path=PICTURES / "set-up.png")
    found = re.search(r"\b[A-Z2-7]{32}\b", page.content())
    assert found
    page.get_by_label("The code that the app shows now").fill(pyotp.TOTP(found[0]).now())
    page.get_by_role("button", name="Take it into use").click()
    codes = page.get_by_test_id("codes").locator("li").all_inner_texts()
    assert len(codes) == 10
    other = browser.new_context().new_page()
    log_in(other, url, "user", PASSWORD)
    other.get_by_role("button", name="Log in").click()
    other.get_by_label("Code").fill("000000")
    other.keyboard.press("Enter")
    expect(other.get_by_label("Code")).to_have_attribute("aria-invalid", "true")
    other.get_by_label("Code").fill(codes[0].upper())
    other.keyboard.press("Enter")
    expect(other.get_by_test_id("log-out")).to_be_attached()
    other.goto(f"{url}/second-factor")
    other.get_by_label("A last code, to remove it").fill(codes[1])
    other.get_by_role("button", name="Remove the second factor").click()
    expect(other.get_by_role("link", name="Set it up")).to_be_visible()
    other.context.close()


@pytest.mark.capability("S045")
def test_a_passkey_of_the_browser_stands_in_for_the_code(browser: Browser, url: str) -> None:
    """With the browser's own authenticator: made on the page, asked for at the next log-in."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    tools = context.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    kind = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
    }
    tools.send("WebAuthn.addVirtualAuthenticator", {"options": {**kind, "automaticPresenceSimulation": True}})
    log_in(page, url, "admin", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_test_id("log-out")).to_be_attached()
    page.goto(f"{url}/second-factor")
    page.get_by_label("Call it").fill("This browser")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_test_id("codes").locator("li")).to_have_count(10)
    page.goto(f"{url}/second-factor")
    expect(page.get_by_text("This browser")).to_be_visible()
    page.screenshot(path=PICTURES / "passkeys.png", full_page=True)
    context.clear_cookies()
    log_in(page, url, "admin", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_test_id("log-out")).to_be_attached()
    page.goto(f"{url}/second-factor")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_timeout(300)
    confirm = page.get_by_role("dialog").get_by_role("button").last
    if confirm.is_visible():
        confirm.click()
    expect(page.get_by_text("This browser")).to_be_hidden()
    context.close()
