"""Somebody of the help desk joins a session: from the console's list to the other person's desktop, with her word in between."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect, sync_playwright
from tests.e2e.browser import Person, Times, launch
from tests.e2e.conftest import ROOT, RunningDemo

pytestmark = [pytest.mark.timeout(600), pytest.mark.capability("S057", "S092")]
PICTURES = ROOT / "build" / "help-desk"


@pytest.fixture(scope="module")
def people(demo: RunningDemo) -> Iterator[tuple[Person, Person]]:
    """Ada at her desktop, and the administrator in the console."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        ada = Person(browser, demo.facts["url"], PICTURES, Times(), "ada")
        admin = Person(browser, demo.facts["url"], PICTURES, Times(), demo.facts["administrator"]["login"])
        ada.log_in(demo.password("ada"))
        admin.page.goto(f"{admin.url}/admin")
        admin.page.locator("[name=username]").fill(admin.login)
        admin.page.locator("[name=password]").fill(demo.facts["administrator"]["password"])
        admin.page.locator("button[type=submit]").first.click()
        admin.page.locator("[data-testid=log-out]").wait_for(state="attached")
        yield ada, admin
        browser.close()


def ask(admin: Person) -> None:
    admin.page.goto(f"{admin.url}/admin/desktop-sessions?q=ada")
    admin.page.get_by_test_id("join-view").first.click()
    admin.page.locator("h1", has_text="Asking ada").wait_for()


def test_nothing_is_shown_before_she_agrees_and_all_until_she_ends_it(people: tuple[Person, Person]) -> None:
    """The list, the question, a no, a yes, the same desktop in two browsers, and the end; every step is in the console's events."""
    ada, admin = people
    ada.offers().first.locator("[data-testid=open]").click()
    ada.wait_for_viewer("connected")
    admin.page.goto(f"{admin.url}/admin/desktop-sessions?q=ada")
    admin.page.get_by_test_id("join-view").first.wait_for()
    admin.picture("sessions")
    ask(admin)
    admin.picture("asking")
    question = ada.page.get_by_test_id("join-question")
    expect(question).to_contain_text("admin would like to see this session")
    ada.picture("question")
    ada.page.get_by_test_id("join-no").click()
    admin.page.locator("h1", has_text="ada does not want that").wait_for()
    ask(admin)
    ada.page.get_by_test_id("join-yes").click()
    admin.wait_for_viewer("connected")
    notice = ada.page.get_by_test_id("join-notice")
    expect(notice).to_contain_text("admin sees this session")
    ada.picture("shown")
    admin.picture("joined")
    admin.toolbar("disconnect")
    admin.page.wait_for_url("**/admin/desktop-sessions")
    expect(notice).to_be_hidden()
    admin.page.goto(f"{admin.url}/admin/events")
    for words in (
        "asked ada to be shown",
        "did not let admin join",
        "let admin join",
        "admin joined the session of ada",
        "admin is no longer",
    ):
        expect(admin.page.locator("main")).to_contain_text(words)
    ada.leave("disconnect")
