"""The viewer in a real browser, through front and gateway, at real desktops. Leaves pictures in build/viewer/."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import SshServer, VncServer, free_port, wait_until
from doubles.portal import Portal, vendor
from doubles.processes import FrontProcess, GatewayProcess

PICTURES = Path(__file__).parents[2] / "build" / "viewer"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


class Lab(SimpleNamespace):
    """Everything between a browser and two desktops."""

    broker: BrokerDouble
    portal: Portal
    gateway: GatewayProcess
    url: str
    desktop: VncServer
    shell: SshServer
    browser: Browser

    def grant(self, name: str, protocol: str, **policy: Any) -> None:
        target = self.desktop if protocol == "vnc" else self.shell
        self.portal.protocols[name] = protocol
        self.broker.grant(name, protocol, "127.0.0.1", target.port, target.credentials, **policy)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("viewer")
    PICTURES.mkdir(parents=True, exist_ok=True)
    packages = vendor(folder)
    broker = BrokerDouble(Authority(folder)).start()
    portal = Portal(broker, packages)
    port = free_port()
    url = f"https://localhost:{port}"
    gateway = GatewayProcess(folder, broker, url)
    front = FrontProcess(folder, broker, port, gateway.port)
    gateway.start()
    front.start()
    desktop, shell = VncServer(folder / "vnc"), SshServer(folder / "ssh")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield Lab(broker=broker, portal=portal, gateway=gateway, url=url, desktop=desktop, shell=shell, browser=browser)
        browser.close()
    for each in (desktop, shell, front, gateway, broker):
        each.stop()


@pytest.fixture
def open_page(lab: Lab) -> Iterator[Callable[..., Page]]:
    contexts = []

    def open_(name: str, protocol: str, policy: dict[str, Any] | None = None, **options: Any) -> Page:
        lab.grant(name, protocol, **(policy or {}))
        options.setdefault("viewport", WIDE)
        context = lab.browser.new_context(ignore_https_errors=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.problems = []  # type: ignore[attr-defined]
        page.on("pageerror", lambda problem: page.problems.append(str(problem)))  # type: ignore[attr-defined]
        page.on(
            "console", lambda message: "Content Security Policy" in message.text and page.problems.append(message.text)
        )  # type: ignore[attr-defined]
        page.goto(f"{lab.url}/view/{name}")
        return page

    yield open_
    for context in contexts:
        context.close()


def reaches(page: Page, stage: str, seconds: float = 90) -> None:
    page.wait_for_selector(f"html[data-viewer={stage}]", timeout=seconds * 1000, state="attached")


def line_in(proof: Path, line: str, seconds: float = 60) -> bool:
    """Whether a line appears in the desktop's file in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if proof.exists() and line in proof.read_text():
            return True
        time.sleep(0.1)
    return False


def type_line(page: Page, proof: Path, line: str) -> None:
    """Click into the desktop and type a line, again when it did not land whole: its window takes the focus in its own time."""
    for _ in range(4):
        page.mouse.click(400, 300)
        page.keyboard.type(f"{line}\n", delay=20)
        if line_in(proof, line, 15):
            return
    pytest.fail(f"“{line}” did not land; this did: {proof.read_text() if proof.exists() else 'nothing'!r}")


@pytest.mark.capability("S015", "S057")
def test_a_line_typed_in_the_browser_lands_in_the_desktop(lab: Lab, open_page: Callable[..., Page]) -> None:
    """The first frame appears, keys reach the xterm, and the browser's console stays clean under the strict policy."""
    page = open_page("typed", "vnc")
    reaches(page, "connected")
    page.screenshot(path=PICTURES / "vnc-wide-light.png")
    page.keyboard.type("hello from the browser\n", delay=10)
    assert line_in(lab.desktop.proof, "hello from the browser")
    assert page.evaluate("performance.getEntriesByName('portico:first-frame').length") == 1
    print(
        f"\nfirst frame after {page.evaluate('performance.getEntriesByName(`portico:first-frame`)[0].startTime'):.0f} ms"
    )
    assert page.problems == []


@pytest.mark.capability("S015", "S057")
def test_the_gateway_sees_no_cookie(lab: Lab, open_page: Callable[..., Page]) -> None:
    """The session cookie that the page carries goes to the broker and not into the gateway's log or requests."""
    page = open_page("cookie", "vnc")
    reaches(page, "connected")
    assert any(cookie["name"] == "session" for cookie in page.context.cookies())
    assert "top" not in lab.gateway.log


@pytest.mark.capability("S057")
def test_the_clipboard_panel_works_both_ways(lab: Lab, open_page: Callable[..., Page]) -> None:
    """Text of the panel is pasted on the desktop, and text copied there appears in the panel."""
    page = open_page("clipboard", "vnc")
    reaches(page, "connected")
    page.mouse.move(700, 2)
    page.get_by_test_id("toolbar-clipboard").click()
    panel = page.get_by_test_id("clipboard-panel")
    page.get_by_test_id("clipboard-text").fill("pasted text €")
    page.screenshot(path=PICTURES / "clipboard-wide-light.png")
    page.get_by_test_id("clipboard-send").click()
    expect(panel.get_by_role("status")).to_contain_text("Sent")
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.mouse.click(720, 500, button="middle")
    # The desktop fetches what it pastes, so a line end typed at once could overtake the text.
    assert any(page.keyboard.type("\n") or line_in(lab.desktop.proof, "pasted text", 0.5) for _ in range(20))
    # Selects the terminal's first word, which copies it; on a busy machine the two clicks may be too far apart for one of two.
    text = page.get_by_test_id("clipboard-text")
    assert any(page.mouse.dblclick(20, 10) or holds(text, "ready", 1.5) for _ in range(10))
    page.get_by_test_id("toolbar-show").click()
    page.get_by_test_id("toolbar-clipboard").click()
    expect(text).to_have_value("ready", timeout=60_000)
    assert page.problems == []


def holds(text: Locator, wanted: str, seconds: float) -> bool:
    """Tell whether a field comes to hold a text."""
    try:
        expect(text).to_have_value(wanted, timeout=seconds * 1000)
    except AssertionError:
        return False
    return True


@pytest.mark.capability("S057")
def test_policy_hides_what_is_not_allowed(lab: Lab, open_page: Callable[..., Page]) -> None:
    """A view-only session without clipboard shows its badge and neither sends keys nor offers the panel."""
    page = open_page("watch", "vnc", {"view_only": True, "clipboard_in": False, "clipboard_out": False})
    reaches(page, "connected")
    page.mouse.move(700, 2)
    expect(page.get_by_text("View only")).to_be_visible()
    expect(page.get_by_test_id("toolbar-clipboard")).to_be_hidden()
    page.keyboard.type("must not arrive\n", delay=10)
    assert not line_in(lab.desktop.proof, "must not arrive", 1.5)


@pytest.mark.capability("S057")
def test_a_line_typed_in_the_terminal_lands_in_a_file(lab: Lab, open_page: Callable[..., Page], tmp_path: Path) -> None:
    """The terminal takes keys and pasted text, shows UTF-8, and says how the shell ended."""
    page = open_page("terminal", "ssh")
    reaches(page, "connected")
    page.keyboard.type(f"echo 'typed héllo' > {tmp_path}/proof.txt; echo 漢字 ok\n", delay=5)
    assert line_in(tmp_path / "proof.txt", "typed héllo")
    page.screenshot(path=PICTURES / "ssh-wide-light.png")
    page.keyboard.type("exit 3\n")
    reaches(page, "ended")
    expect(page.get_by_test_id("overlay")).to_contain_text("status 3")
    page.screenshot(path=PICTURES / "ended-wide-light.png")
    assert page.problems == []


@pytest.mark.capability("S031", "S057")
def test_the_page_finds_back_after_the_gateway_was_killed(lab: Lab, open_page: Callable[..., Page]) -> None:
    """SIGKILL of the gateway: the page says so in words, tries again with new tickets, and the terminal is still there."""
    page = open_page("lost", "vnc", color_scheme="dark")
    reaches(page, "connected")
    page.keyboard.type("before ", delay=10)
    lab.gateway.stop(signal.SIGKILL)
    reaches(page, "lost")
    overlay = page.get_by_test_id("overlay")
    expect(overlay).to_contain_text("The connection was lost")
    expect(page.get_by_test_id("back")).to_have_attribute("href", "/")
    page.screenshot(path=PICTURES / "lost-wide-dark.png")
    page.set_viewport_size(NARROW)
    page.screenshot(path=PICTURES / "lost-narrow-dark.png")
    page.set_viewport_size(WIDE)
    lab.gateway.start()
    reaches(page, "connected", 60)
    expect(overlay).to_be_hidden()
    page.keyboard.type("and after\n", delay=10)
    assert line_in(lab.desktop.proof, "before and after")


@pytest.mark.capability("S031")
def test_an_administrator_ends_the_session_and_the_page_says_who(lab: Lab, open_page: Callable[..., Page]) -> None:
    """An ended session stays ended: reason, a way back, and a way to connect again."""
    page = open_page("ended", "vnc")
    reaches(page, "connected")
    lab.broker.wait_for(lambda: [e for e in lab.broker.events("opened") if e["connection"] == "ended"])
    lab.broker.tell(kind="close", connection="ended", reason="closed.by_administrator")
    reaches(page, "ended")
    expect(page.get_by_test_id("overlay")).to_contain_text("An administrator has closed the session.")
    page.get_by_test_id("reconnect").click()
    reaches(page, "connected")


@pytest.mark.capability("S057")
def test_the_last_moments_of_a_session_are_counted(lab: Lab, open_page: Callable[..., Page]) -> None:
    """Who does nothing is asked whether he is still there, may stay by a key, and is told in the end why it ended."""
    page = open_page("idle", "vnc", {"idle_seconds": 16})
    reaches(page, "connected")
    countdown = page.get_by_test_id("countdown")
    expect(countdown).to_contain_text("Still there?")
    page.screenshot(path=PICTURES / "countdown-wide-light.png")
    page.keyboard.type("x")
    expect(countdown).to_be_hidden()
    reaches(page, "ended")
    expect(page.get_by_test_id("overlay")).to_contain_text("because nobody used it")
    moment = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 200))
    page = open_page("timed", "ssh", {"expires_at": moment}, viewport=NARROW, color_scheme="dark")
    reaches(page, "connected")
    expect(page.get_by_test_id("countdown")).to_contain_text("The session ends in 3:")
    page.screenshot(path=PICTURES / "countdown-narrow-dark.png")


@pytest.mark.capability("S057")
def test_the_toolbar_is_reached_and_left_by_keyboard(lab: Lab, open_page: Callable[..., Page]) -> None:
    """Ctrl + Alt + Shift shows the pill and takes the focus there, Escape gives it back and ends nothing."""
    page = open_page("keyboard", "vnc")
    reaches(page, "connected")
    page.keyboard.press("Control+Alt+Shift")
    expect(page.get_by_test_id("toolbar").locator("button:focus")).to_have_count(1)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("keys-panel")).to_be_visible()
    page.screenshot(path=PICTURES / "keys-wide-light.png")
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("keys-panel")).to_be_hidden()
    page.keyboard.press("Escape")
    assert page.evaluate("document.documentElement.dataset.viewer") == "connected"
    assert page.evaluate("document.activeElement.tagName") == "CANVAS"


@pytest.mark.capability("S057")
def test_disconnect_and_log_out_go_through_the_portal(lab: Lab, open_page: Callable[..., Page]) -> None:
    """Both buttons post with the CSRF token and lead back to the desktops."""
    for button, action in (("disconnect", "disconnect"), ("log-out", "log-out")):
        page = open_page(f"leave-{action}", "vnc")
        reaches(page, "connected")
        page.mouse.move(700, 2)
        page.get_by_test_id(f"toolbar-{button}").click()
        expect(page.get_by_role("heading", name="Your desktops")).to_be_visible()
        assert f"{action} leave-{action} csrf-1" in lab.portal.posts


@pytest.mark.capability("S057")
def test_a_phone_has_a_key_row_and_large_targets(lab: Lab, open_page: Callable[..., Page]) -> None:
    """On a touch screen the keyboard button brings up the key row, and no target of the toolbar is smaller than 44 px."""
    for scheme in ("light", "dark"):
        for protocol in ("vnc", "ssh"):
            page = open_page(
                f"phone-{scheme}-{protocol}",
                protocol,
                viewport=NARROW,
                has_touch=True,
                is_mobile=True,
                color_scheme=scheme,
            )
            reaches(page, "connected")
            page.get_by_test_id("toolbar-show").tap()
            page.get_by_test_id("toolbar-keyboard").tap()
            expect(page.get_by_test_id("key-row")).to_be_visible()
            page.screenshot(path=PICTURES / f"{protocol}-narrow-{scheme}.png")
            sizes = page.eval_on_selector_all(
                ".viewer-toolbar button:not([hidden]), .viewer-key-row button",
                "all => all.filter(each => each.offsetWidth).map(each => Math.min(each.offsetWidth, each.offsetHeight))",
            )
            assert min(sizes) >= 44
            box = page.get_by_test_id("toolbar").bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"]
    page.get_by_test_id("key-row").get_by_text("Ctrl").tap()
    page.keyboard.type("c")
    expect(page.get_by_test_id("key-row").locator("[aria-pressed=true]")).to_have_count(0)


@pytest.mark.capability("S050", "S057")
def test_files_are_sent_and_taken_beside_a_terminal(lab: Lab, open_page: Callable[..., Page], tmp_path: Path) -> None:
    """By the panel: a file is found on the desktop, one of the desktop on this device, and what is there is asked for."""
    folder = Path.home() / "portico-files-test"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "from-desktop.txt").write_text("of the desktop\n" * 20_000)
    (folder / "a folder").mkdir()
    mine = tmp_path / "from-here.bin"
    mine.write_bytes(os.urandom(2_500_000))
    try:
        page = open_page("files", "ssh")
        reaches(page, "connected")
        page.locator("[data-testid=toolbar-files]").evaluate("button => button.click()")
        page.locator(".viewer-files-entry", has_text=folder.name).click()
        expect(page.locator("[data-testid=files-path]")).to_have_text(str(folder))
        page.set_input_files("[data-testid=files-input]", mine)
        expect(page.locator("[data-testid=files-jobs]")).to_contain_text("Sent")
        assert (folder / mine.name).read_bytes() == mine.read_bytes()
        with page.expect_download() as taken:
            page.locator(".viewer-files-entry", has_text="from-desktop.txt").click()
        assert taken.value.path().read_text() == (folder / "from-desktop.txt").read_text()
        page.screenshot(path=PICTURES / "files-wide-light.png")

        mine.write_bytes(b"newer")
        answers: list[bool] = []
        page.on(
            "dialog", lambda dialog: dialog.accept() if answers.append(True) or len(answers) > 1 else dialog.dismiss()
        )
        page.set_input_files("[data-testid=files-input]", mine)
        wait_until(lambda: page.evaluate("1") == 1 and len(answers) == 1, "the question")
        page.set_input_files("[data-testid=files-input]", mine)
        wait_until(lambda: page.evaluate("1") == 1 and (folder / mine.name).read_bytes() == b"newer", "the newer file")
        assert len(answers) == 2
        page.set_viewport_size(NARROW)
        page.emulate_media(color_scheme="dark")
        page.screenshot(path=PICTURES / "files-narrow-dark.png")
        assert page.problems == []  # type: ignore[attr-defined]

        closed = open_page("no-files", "ssh", {"files_in": False, "files_out": False})
        reaches(closed, "connected")
        expect(closed.locator("[data-testid=toolbar-files]")).to_be_hidden()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.capability("S057")
def test_a_watermark_lies_over_the_picture_and_comes_back(lab: Lab, open_page: Callable[..., Page]) -> None:
    """In the words of the plan; taken away by hand it is there again, and it takes no click from the desktop."""
    page = open_page("marked", "vnc", {"watermark": "ada · desk-01 · {TIME}"})
    reaches(page, "connected")
    mark = page.locator(".viewer-watermark")
    expect(mark).to_be_attached()
    page.mouse.click(400, 300)
    page.keyboard.type("under the mark\n", delay=10)
    assert line_in(lab.desktop.proof, "under the mark")
    page.screenshot(path=PICTURES / "watermark-wide-light.png")
    for attack in ("mark => mark.remove()", "mark => mark.style.display = 'none'", "mark => mark.className = ''"):
        mark.evaluate(attack)
        expect(mark).to_have_count(1)
        expect(mark).to_have_css("display", "block")
    assert page.problems == []  # type: ignore[attr-defined]
