"""The log-in in a real browser: by a directory, past a slow one, with a second factor. The console of the browser stays clean."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from tests.brokers import PASSWORD, actor
from tests.contract.test_directory import LINES
from tests.doubles.radius import CODE, PIN, SECRET, FreeRadius
from tests.e2e.page_server import launch, serve, stocked

from portico.services import configure
from portico.services.broker import Broker

PICTURES = Path("build/log-in")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    made = stocked(tmp_path_factory.mktemp("log-in"))
    made = replace(made, config=replace(made.config, egress_allow=("127.0.0.0/8",)))
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


def with_authenticator(context: BrowserContext) -> Page:
    """A page of a browser that has an authenticator of its own, at which somebody always says yes."""
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
    return page


@pytest.mark.capability("S045")
def test_a_passkey_alone_logs_in_where_the_policy_says_so(browser: Browser, broker: Broker, url: str) -> None:
    """Made on the page for that, then used on the log-in page, where nothing is typed: by a local user and by one of a directory."""
    policies = configure.list_items(broker, actor(broker), "policies", configure.Query()).items
    for policy in policies:
        configure.update_item(broker, actor(broker), "policies", policy["id"], {"passkey_log_in": True})
    broker.snapshots.get(fresh=True)
    for name, password, called in (("user", PASSWORD, "user"), ("bob@quick.test", "Passw0rd-bob", "bob")):
        context = browser.new_context(viewport={"width": 1100, "height": 800})
        page = with_authenticator(context)
        log_in(page, url, name, password)
        expect(page.get_by_role("button", name="Log in with a passkey")).to_be_visible()
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_test_id("log-out")).to_be_attached()
        page.goto(f"{url}/second-factor")
        page.get_by_label("Call it").fill("This browser")
        page.get_by_label("Log in with it alone, without a password").check()
        page.screenshot(path=PICTURES / "passkey-alone-add.png", full_page=True)
        page.get_by_role("button", name="Add a passkey").click()
        expect(page.get_by_test_id("codes").locator("li")).to_have_count(10)
        page.goto(f"{url}/second-factor")
        expect(page.get_by_text("Logs in without a password")).to_be_visible()
        context.clear_cookies()
        page.goto(f"{url}/login?next=/account")
        button = page.get_by_role("button", name="Log in with a passkey")
        expect(button).to_be_visible()
        page.screenshot(path=PICTURES / "passkey-alone.png")
        button.click()
        expect(page).to_have_url(f"{url}/account")
        page.goto(f"{url}/")
        expect(page.get_by_text(called).first).to_be_visible()
        context.close()
    with_none = browser.new_context()
    page = with_none.new_page()
    tools = with_none.new_cdp_session(page)
    tools.send("WebAuthn.enable")
    kind = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    tools.send("WebAuthn.addVirtualAuthenticator", {"options": kind})
    page.goto(f"{url}/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was given.")
    with_none.close()
    for policy in policies:
        configure.update_item(broker, actor(broker), "policies", policy["id"], {"passkey_log_in": False})
    broker.snapshots.get(fresh=True)


@pytest.fixture(scope="module")
def radius(broker: Broker) -> Iterator[FreeRadius]:
    server = FreeRadius()
    try:
        yield server.start()
    finally:
        server.wipe()


@pytest.mark.capability("S045", "S046")
def test_a_radius_server_asks_back_and_a_phone_takes_its_time(
    page: Page, broker: Broker, url: str, radius: FreeRadius
) -> None:
    me = actor(broker)
    fields = {"name": "Tokens", "servers": [radius.server], "secret": SECRET, "push": True, "timeout_seconds": 60}
    servers = configure.create_item(broker, me, "radius-servers", fields)["id"]
    policy = configure.create_item(broker, me, "policies", {"name": "Tokens", "radius_id": servers})["id"]
    for name in ("otto", "pia"):
        user = {"login_name": name, "password": PASSWORD, "role_id": "role-user", "policy_id": policy}
        configure.create_item(broker, me, "users", user)
    broker.snapshots.get(fresh=True)
    log_in(page, url, "otto", PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_label("Code").fill(PIN)
    page.screenshot(path=PICTURES / "radius-code.png")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_test_id("asked")).to_contain_text("Now the <b>code</b> of your token")
    page.screenshot(path=PICTURES / "radius-asked.png")
    page.get_by_label("Answer").fill("000000")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Not this one")).to_be_visible()
    page.screenshot(path=PICTURES / "radius-wrong.png")
    page.get_by_label("Code").fill(PIN)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("asked")).to_be_visible()
    page.get_by_label("Answer").fill(CODE)
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("log-out")).to_be_attached()
    page.goto(f"{url}/second-factor")
    page.screenshot(path=PICTURES / "radius-paper.png", full_page=True)
    page.get_by_role("button", name="Make codes for paper").click()
    expect(page.get_by_test_id("codes").locator("li")).to_have_count(10)

    radius.forget()
    page.context.clear_cookies()
    log_in(page, url, "pia", PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_role("button", name="Ask my phone").click()
    expect(page.get_by_text("Your log-in is being checked.")).to_be_visible(timeout=30_000)
    page.screenshot(path=PICTURES / "radius-wait.png")
    radius.confirm()
    expect(page.get_by_test_id("log-out")).to_be_attached(timeout=60_000)


@pytest.mark.capability("S045", "S046")
def test_the_console_adds_radius_servers_and_tries_them(page: Page, url: str, radius: FreeRadius) -> None:
    log_in(page, url, "admin", PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_test_id("log-out")).to_be_attached()
    page.goto(f"{url}/admin/radius-servers")
    page.get_by_role("link", name="Add RADIUS servers").first.click()
    page.get_by_label("Name", exact=True).fill("Head office")
    page.get_by_label("Servers", exact=True).fill(radius.server)
    page.get_by_label("Shared secret").fill(SECRET)
    page.screenshot(path=PICTURES / "radius-form.png", full_page=True)
    page.locator(".save-bar button.primary").click()
    expect(page.get_by_text("Fine")).to_be_visible(timeout=30_000)
    page.screenshot(path=PICTURES / "radius-check.png", full_page=True)
    page.get_by_role("link", name="Settings", exact=True).last.click()
    expect(page.get_by_label("Shared secret")).to_have_value("")
    page.get_by_label("Shared secret").fill("quite another secret")
    page.locator(".save-bar button.primary").click()
    expect(page.get_by_text("It says nothing.")).to_be_visible(timeout=30_000)
    page.screenshot(path=PICTURES / "radius-check-silent.png", full_page=True)


@pytest.mark.capability("S045")
def test_a_passkey_of_the_browser_stands_in_for_the_code(browser: Browser, url: str) -> None:
    """With the browser's own authenticator: made on the page, asked for at the next log-in."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = with_authenticator(context)
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
