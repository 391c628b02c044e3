"""A log-in by SAML in a real browser, through the pages of a real provider, over TLS and between two sites."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.brokers import PASSWORD, actor
from tests.e2e.page_server import launch, stocked
from tests.serving import serving

from doubles.saml_provider import SamlProvider
from portico.services import configure, sign_on_door
from portico.services.broker import Broker

pytestmark = pytest.mark.capability("S046", "S047")
PICTURES = Path("build/saml")


@pytest.fixture(scope="module")
def provider() -> Iterator[SamlProvider]:
    made = SamlProvider()
    try:
        made.start()
        yield made
    finally:
        made.wipe()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    PICTURES.mkdir(parents=True, exist_ok=True)
    made = stocked(tmp_path_factory.mktemp("saml"))
    return replace(made, config=replace(made.config, egress_allow=("127.0.0.0/8",)))


@pytest.fixture(scope="module")
def url(broker: Broker, provider: SamlProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the pages at 127.0.0.1; the provider is at localhost, which is another site to browsers."""
    rules = [{"attribute": "group", "operator": "eq", "text": "VDI-Users", "role_id": "role-user"}]
    fields = {"name": "Staff login", "kind": "saml", "settings": provider.settings, "rules": rules}
    id = str(configure.create_item(broker, actor(broker), "directories", fields)["id"])
    broker.snapshots.get(fresh=True)
    with serving(broker, tmp_path_factory.mktemp("tls")) as address:
        provider.know(sign_on_door.description(replace(broker, config=replace(broker.config, public_url=address)), id))
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as made:
        yield made


def opened(browser: Browser, *, scripts: bool = True) -> tuple[Page, list[str]]:
    """A new window, and what its console says of our own pages."""
    context = browser.new_context(
        ignore_https_errors=True, java_script_enabled=scripts, viewport={"width": 1100, "height": 800}, locale="en-US"
    )
    page, said = context.new_page(), []
    page.on(
        "console",
        lambda message: (
            said.append(message.text)
            if message.type in ("error", "warning") and "127.0.0.1" in str(message.location)
            else None
        ),
    )
    return page, said


def log_in_there(page: Page, url: str, picture: str = "") -> None:
    page.goto(f"{url}/login")
    if picture:
        page.screenshot(path=PICTURES / f"{picture}-here.png")
    page.get_by_role("link", name="Log in with Staff login").click()
    give_password(page, picture)


def give_password(page: Page, picture: str = "") -> None:
    """Log in at the provider's page. Once it is whole it puts the focus into the name, also of who is typing the password."""
    page.wait_for_url("https://localhost:*/**", wait_until="load")
    page.locator("[name=username]").fill("sam")
    page.locator("[name=password]").fill("any")
    if picture:
        page.screenshot(path=PICTURES / f"{picture}-there.png")
    page.locator("button[type=submit], input[type=submit]").first.click()


def test_there_and_back_and_out_again(browser: Browser, url: str) -> None:
    """Over the provider's pages to the desktops, and by the log-out of ours to the end of its session too."""
    page, said = opened(browser)
    log_in_there(page, url, "log-in")
    expect(page.get_by_test_id("log-out")).to_be_attached()
    expect(page.get_by_text("Sam Provider").first).to_be_attached()
    page.screenshot(path=PICTURES / "arrived.png")
    page.get_by_test_id("log-out").first.evaluate("button => button.click()")
    page.wait_for_url(f"{url}/login")
    expect(page.get_by_label("Password")).to_be_visible()
    page.get_by_role("link", name="Log in with Staff login").click()
    expect(page.locator("[name=username]")).to_be_visible()  # there they are logged out as well
    assert "localhost" in page.url
    assert said == []
    page.context.close()


def test_it_goes_without_scripts(browser: Browser, url: str) -> None:
    """Each page has a button that does what its script would."""
    page, _ = opened(browser, scripts=False)
    log_in_there(page, url)
    page.locator("#postLoginSubmitButton").evaluate(
        "button => button.click()"
    )  # hidden by a style of the provider's page
    expect(page.get_by_role("button", name="Go on")).to_be_visible()
    page.screenshot(path=PICTURES / "without-scripts.png")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Sam Provider").first).to_be_attached()
    page.context.close()


def test_who_begins_at_the_provider_arrives_too(
    browser: Browser, provider: SamlProvider, broker: Broker, url: str
) -> None:
    page, said = opened(browser)
    directory = next(one.id for one in broker.snapshots.get().directories.values() if one.kind == "saml")
    page.goto(f"{provider.url}/saml2/idp/SSOService.php?spentityid={url}/login/saml/{directory}/metadata")
    give_password(page)
    expect(page.get_by_test_id("log-out")).to_be_attached()
    assert page.url.startswith(url)
    assert said == []
    page.context.close()


def test_the_console_shows_what_to_enter_at_the_provider(browser: Browser, broker: Broker, url: str) -> None:
    """Entity id and addresses can be copied, the metadata be opened; a check says how things stand."""
    page, said = opened(browser)
    page.goto(f"{url}/login")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_test_id("log-out")).to_be_attached()
    directory = next(one.id for one in broker.snapshots.get().directories.values() if one.kind == "saml")
    page.goto(f"{url}/admin/directories/{directory}")
    panel = page.get_by_role("region", name="What to enter at the provider")
    expect(panel).to_contain_text(f"{url}/login/saml/{directory}/acs")
    expect(panel.get_by_role("button", name="Copy").first).to_be_visible()
    page.screenshot(path=PICTURES / "console.png", full_page=True)
    page.goto(f"{url}/admin/directories/{directory}?check=1")
    expect(page.get_by_text("our certificate")).to_be_visible()
    page.screenshot(path=PICTURES / "check.png", full_page=True)
    page.goto(f"{url}/admin/directories/new?kind=saml")
    expect(page.get_by_label("Address of the metadata")).to_be_visible()
    page.screenshot(path=PICTURES / "form.png", full_page=True)
    assert said == []
    page.context.close()
