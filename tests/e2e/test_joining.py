"""A helper joins a person's session: two real browsers, one gateway, real desktops of every protocol. Leaves pictures in build/viewer/."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.test_rdp import RdpLab, lab  # noqa: F401
from tests.e2e.test_viewer import PICTURES, line_in, open_page, reaches, type_line  # noqa: F401

from doubles.desktops import SshServer, wait_until

pytestmark = [pytest.mark.capability("S057"), pytest.mark.timeout(300)]
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("ssh") / "ssh")
    yield server
    server.stop()


def join(lab: RdpLab, person: Page, name: str, mode: str) -> Page:  # noqa: F811
    """Let a helper in, in a browser of his own."""
    lab.broker.visit(name, mode)
    context = person.context.browser.new_context(ignore_https_errors=True, viewport={"width": 1100, "height": 700})  # type: ignore[union-attr]
    page = context.new_page()
    page.goto(f"{lab.url}/join/{name}")
    reaches(page, "connected")
    reaches(person, "connected")  # his page opened its session anew for that
    return page


def pixels(page: Page) -> str:
    """Return what the desktop's canvas shows, small."""
    return str(
        page.evaluate(
            "(() => { const from = document.querySelector('canvas'), to = document.createElement('canvas'); to.width = 64; to.height = 40;"
            " to.getContext('2d').drawImage(from, 0, 0, 64, 40); return to.toDataURL(); })()"
        )
    )


def same_picture(one: Page, other: Page) -> None:
    wait_until(lambda: pixels(one) == pixels(other), "the helper does not see what the person sees", 30)


@pytest.mark.parametrize(("protocol", "desktop"), [("vnc", "desktop"), ("rdp", "shadow"), ("rdp", "xrdp")])
def test_a_helper_sees_what_the_person_sees_and_lends_a_hand(
    lab: RdpLab,  # noqa: F811
    open_page: Open,  # noqa: F811
    protocol: str,
    desktop: str,
) -> None:
    """The person's page opens its session anew, both see the same, what the helper types lands in the desktop, and the person ends it."""
    target = getattr(lab, desktop)
    name = f"joined-{desktop}"
    person = open_page(name, protocol, {"at": target})
    reaches(person, "connected")
    helper = join(lab, person, name, "control")
    notice = person.get_by_test_id("join-notice")
    expect(notice).to_contain_text("Grace sees and uses this session")
    assert lab.broker.events("shadow.opened")[-1]["shadow"] == f"shadow-{name}"
    person.mouse.click(400, 300)
    person.keyboard.type("by the person ", delay=20)
    helper.mouse.click(300, 250)
    helper.keyboard.type("and the helper\n", delay=20)
    assert line_in(target.proof, "by the person and the helper")
    person.mouse.move(700, 450)
    same_picture(person, helper)
    person.screenshot(path=PICTURES / f"joined-{desktop}-person.png")
    helper.screenshot(path=PICTURES / f"joined-{desktop}-helper.png")
    person.get_by_test_id("join-stop").click()
    reaches(helper, "ended")
    expect(notice).to_be_hidden()
    assert lab.broker.wait_for(lambda: lab.broker.events("shadow.closed"))[-1]["reason"] == "shadow.ended"
    person.mouse.click(400, 300)
    person.keyboard.type("alone again\n", delay=20)
    assert line_in(target.proof, "alone again")
    assert person.problems == []  # type: ignore[attr-defined]


def test_who_watches_cannot_type_and_comes_back_when_his_line_broke(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """Keys of an onlooker go nowhere, whatever his page sends; after a break he is let in again, and the person is told both."""
    person = open_page("watched", "vnc", {"at": lab.desktop})
    reaches(person, "connected")
    helper = join(lab, person, "watched", "view")
    notice = person.get_by_test_id("join-notice")
    expect(notice).to_contain_text("Grace sees this session")
    helper.keyboard.type("never\n", delay=20)
    type_line(person, lab.desktop.proof, "only the person")
    assert "never" not in lab.desktop.proof.read_text()
    helper.reload()
    reaches(helper, "connected")
    expect(notice).to_be_visible()
    same_picture(person, helper)
    helper.context.close()
    expect(notice).to_be_hidden()


def test_a_terminal_is_shown_with_what_is_on_it(lab: RdpLab, open_page: Open, shell: SshServer) -> None:  # noqa: F811
    """The helper sees the lines that were there before, in the person's size, and types on in the same shell."""
    lab.portal.protocols["terminal"] = "ssh"
    person = open_page("terminal", "ssh", {"at": shell})
    reaches(person, "connected")
    person.keyboard.type("echo before-$((6*7))\n")
    expect(rows(person)).to_contain_text("before-42")
    helper = join(lab, person, "terminal", "control")
    expect(rows(helper)).to_contain_text("before-42")
    helper.keyboard.type("echo help-$((7*8))\n")
    expect(rows(person)).to_contain_text("help-56")
    expect(rows(helper)).to_contain_text("help-56")
    wait_until(lambda: rows(helper).locator("div").count() == rows(person).locator("div").count(), "another size")
    person.set_viewport_size({"width": 900, "height": 500})
    wait_until(lambda: rows(helper).locator("div").count() == rows(person).locator("div").count(), "another size")
    helper.screenshot(path=PICTURES / "joined-terminal-helper.png")


def rows(page: Page) -> Locator:
    return page.locator(".xterm-rows")


def test_the_question_is_asked_in_the_session_and_the_answer_goes_to_the_portal(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """With a name, what it means, and how long there is; the focus is on the answer that gives nothing away."""
    person = open_page("asked", "vnc", {"at": lab.desktop})
    reaches(person, "connected")
    asked = {"kind": "shadow", "connection": "asked", "shadow": "s-1", "who": "Grace", "mode": "control", "seconds": 60}
    lab.broker.tell(**asked)
    question = person.get_by_test_id("join-question")
    expect(question).to_contain_text("Grace would like to see this session and to use its keyboard and mouse")
    expect(person.get_by_test_id("join-no")).to_be_focused()
    person.screenshot(path=PICTURES / "join-question.png")
    person.get_by_test_id("join-yes").click()
    expect(question).to_be_hidden()
    assert lab.portal.answers == [("s-1", "answer=yes")]
    lab.broker.tell(**{**asked, "shadow": "s-2", "mode": "view", "seconds": 1})
    expect(question).to_contain_text("Grace would like to see this session")
    expect(question).to_be_hidden()
