"""Sessions that are recorded, and looked at by an administrator: graphical and terminal, from the plan to the player."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.e2e.browser import Person, Times, launch, proof
from tests.e2e.conftest import ROOT, RunningDemo, until
from tests.e2e.test_demo_check import file_with

pytestmark = [pytest.mark.timeout(600), pytest.mark.capability("S057")]
PICTURES = ROOT / "build" / "recordings"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="module")
def administrator(demo: RunningDemo, browser: Browser) -> Page:
    """The console, in whose plans all sessions are recorded from now on."""
    client = demo.administrator()
    plan = client.post("protocol-plans", {"name": "Recorded", "recording": "required"})
    for policy in client.items("policies"):
        kept = [{name: line[name] for name in ("id", "pool_id", "quantity")} for line in policy["assignments"]]
        lines = [{**line, "protocol_plan_id": plan["id"]} for line in kept]
        client.patch(f"policies/{policy['id']}", {"assignments": lines})
    person = Person(browser, demo.facts["url"], PICTURES, Times(), "admin")
    person.page.goto(f"{person.url}/login")
    person.page.locator("[name=username]").fill("admin")
    person.page.locator("[name=password]").fill(demo.facts["administrator"]["password"])
    person.page.locator("button[type=submit]").first.click()
    person.page.wait_for_selector("[data-testid=log-out]", state="attached")
    return person.page


def recorded(demo: RunningDemo, protocol: str) -> str:
    """Wait until a recording has come, and return its id."""

    def look() -> str:
        rows = demo.administrator().items("recordings", protocol=protocol)
        return next((str(row["id"]) for row in rows if row["state"] == "complete"), "")

    return until("the recording's arrival", look, 60)


def play(page: Page, url: str, recording: str) -> None:
    """Play at the highest speed to the end."""
    page.goto(f"{url}/admin/recordings/{recording}")
    page.click("[data-testid=replay]")
    page.wait_for_selector("html[data-player=playing]", timeout=30_000)
    page.select_option(".player-speed", "8")
    page.wait_for_selector("html[data-player=ended]", timeout=60_000)


def test_a_desktop_is_recorded_and_played(demo: RunningDemo, browser: Browser, administrator: Page) -> None:
    """It can be gone back to its beginning and forth to its end, which looks as it did."""
    ada = Person(browser, demo.facts["url"], PICTURES, Times(), "ada")
    ada.log_in(demo.password("ada"))
    ada.open("Linux desktops", "open")
    assert ada.page.locator("html").get_attribute("data-recorded") is not None
    proof(lambda: file_with(demo, "proof.txt", "seen"), lambda: ada.type_line("echo seen | tee proof.txt"))
    time.sleep(1)  # so that the recording has a time to go back to
    ada.picture("recorded")
    ada.leave("disconnect")

    recording = recorded(demo, "vnc")
    play(administrator, demo.facts["url"], recording)
    canvas = administrator.locator(".player-stage canvas")
    end = canvas.screenshot()
    administrator.screenshot(path=PICTURES / "player.png")
    assert canvas.bounding_box()["width"] > 300  # type: ignore[index]
    administrator.keyboard.press("Home")
    administrator.wait_for_selector("html[data-player=paused][data-position='0.0']")
    assert not canvas.is_visible()  # nothing was shown yet
    administrator.keyboard.press("End")
    html = administrator.locator("html")
    until("the end", lambda: float(html.get_attribute("data-position") or 0) > 0)
    canvas.wait_for(state="visible")
    until("the same picture as at the end", lambda: canvas.screenshot() == end)
    assert {row["code"] for row in demo.administrator().items("events", code="recording")} >= {
        "recording.kept",
        "recording.watched",
    }


def test_a_terminal_is_recorded_and_played(demo: RunningDemo, browser: Browser, administrator: Page) -> None:
    """The words that were shown are shown again, and can be taken away as an asciicast."""
    grace = Person(browser, demo.facts["url"], PICTURES, Times(), "grace")
    grace.log_in(demo.password("grace"))
    grace.open("Shell", "open")
    proof(
        lambda: file_with(demo, "shown.txt", "42"), lambda: grace.type_line("echo shown-$((6*7)); echo 42 > shown.txt")
    )
    grace.leave("disconnect")

    recording = recorded(demo, "ssh")
    play(administrator, demo.facts["url"], recording)
    administrator.screenshot(path=PICTURES / "terminal.png")
    assert "shown-42" in administrator.locator(".xterm-rows").inner_text()
    administrator.go_back()
    with administrator.expect_download() as download:
        administrator.click("a[download]")
    lines = download.value.path().read_text("utf-8").splitlines()
    assert '"version": 2' in lines[0] and "shown-42" in "".join(lines)
    administrator.goto(f"{demo.facts['url']}/admin/recordings")
    administrator.screenshot(path=PICTURES / "list.png")
