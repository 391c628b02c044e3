"""RDP in a real browser, through front and gateway: xrdp with sessions of its own, and a server that takes nobody without NLA."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.sync_api import Page, expect, sync_playwright
from tests.e2e.test_viewer import NARROW, PICTURES, Lab, line_in, open_page, reaches  # noqa: F401
from tests.integration.test_recordings import Shelf

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import VncServer, free_port, wait_until
from doubles.portal import Portal, vendor
from doubles.processes import FrontProcess, GatewayProcess
from doubles.rdp import ShadowServer, XrdpServer
from portico.agent.commands import Hands
from portico.agent.config import load
from portico.agent.linux import Eyes
from portico.agent.state import State

Open = Callable[..., Page]


class RdpLab(Lab):
    """Two RDP desktops: `xrdp`, and `shadow`, which shows the display of `desktop`."""

    xrdp: XrdpServer
    shadow: ShadowServer

    def grant(self, name: str, protocol: str, **how: Any) -> None:
        """Grant a session at xrdp, or at another desktop `at`; `credentials` and `target` replace what fits."""
        at = how.pop("at", self.xrdp)
        credentials, target = how.pop("credentials", at.credentials), how.pop("target", {})
        recording = how.pop("recording", None)
        self.portal.protocols[name] = protocol
        self.broker.grant(name, protocol, "127.0.0.1", at.port, credentials, **how)
        self.broker.grants[name]["target"].update(target)
        self.broker.grants[name]["recording"] = recording


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RdpLab]:
    folder = tmp_path_factory.mktemp("rdp")
    PICTURES.mkdir(parents=True, exist_ok=True)
    broker = BrokerDouble(Authority(folder)).start()
    portal, port = Portal(broker, vendor(folder)), free_port()
    url = f"https://localhost:{port}"
    gateway = GatewayProcess(folder, broker, url)
    front = FrontProcess(folder, broker, port, gateway.port)
    gateway.start()
    front.start()
    xrdp, desktop = XrdpServer(folder / "xrdp"), VncServer(folder / "vnc")
    shadow = ShadowServer(folder / "shadow", desktop)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield RdpLab(
            broker=broker, portal=portal, gateway=gateway, url=url, desktop=desktop, xrdp=xrdp, shadow=shadow, browser=browser
        )  # fmt: skip
        browser.close()
    for each in (shadow, desktop, xrdp, front, gateway, broker):
        each.stop()


def display_of(xrdp: XrdpServer) -> dict[str, str]:
    """Return the environment of the session on xrdp."""
    found = subprocess.run(["pgrep", "-u", xrdp.username, "-x", "xterm"], capture_output=True, text=True, check=True)
    environment = Path(f"/proc/{found.stdout.split()[0]}/environ").read_bytes().split(b"\0")
    values = dict(pair.decode().split("=", 1) for pair in environment if b"=" in pair)
    return {name: values[name] for name in ("DISPLAY", "XAUTHORITY", "HOME") if name in values}


def on_desktop(xrdp: XrdpServer, *command: str) -> str:
    """Run a program in the session on xrdp and return what it says."""
    environment = {**os.environ, "XAUTHORITY": f"{xrdp.home}/.Xauthority", **display_of(xrdp)}
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=20
    ).stdout  # fmt: skip


def copy_on_desktop(xrdp: XrdpServer, text: str, kind: str = "UTF8_STRING") -> None:
    """Let a program of the desktop own its clipboard; it stays until somebody else copies."""
    environment = {**os.environ, "XAUTHORITY": f"{xrdp.home}/.Xauthority", **display_of(xrdp)}
    subprocess.run(
        ["xclip", "-selection", "clipboard", "-t", kind], env=environment, input=text, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        text=True, check=True, timeout=20,
    )  # fmt: skip


def picture_size(page: Page) -> list[int]:
    """Return width and height of the desktop's picture, nothing while there is none."""
    size: list[int] = page.evaluate(
        "(canvas => canvas ? [canvas.width, canvas.height] : [])(document.querySelector('.viewer-rdp'))"
    )
    return size


@pytest.mark.capability("S015", "S052", "S057")
def test_network_level_authentication_is_the_gateways(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """The desktop takes nobody without NLA; the page holds no password, and what is typed lands in the desktop."""
    page = open_page("nla", "rdp", {"at": lab.shadow})
    reaches(page, "connected")
    page.mouse.click(400, 300)
    page.keyboard.type("typed by rdp\n", delay=20)
    assert line_in(lab.shadow.proof, "typed by rdp")
    page.mouse.move(700, 300)
    page.screenshot(path=PICTURES / "rdp-nla-wide-light.png")
    assert lab.shadow.password not in page.content() and lab.shadow.password not in lab.gateway.log
    assert page.problems == []  # type: ignore[attr-defined]


@pytest.mark.capability("S015", "S052", "S057", "S068")
def test_a_session_on_xrdp_is_logged_in_typed_into_and_found_again(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """No log-in box is seen, the picture has the window's size, and a second connection finds the same session."""
    page = open_page("xrdp", "rdp", {"target": {"certificates": [lab.xrdp.fingerprint]}})
    reaches(page, "connected")
    wait_until(lambda: lab.xrdp.proof.exists(), "the session has no terminal")
    assert picture_size(page) == [1440, 900]
    page.mouse.click(400, 300)
    page.keyboard.type("typed on xrdp ", delay=20)
    page.screenshot(path=PICTURES / "rdp-xrdp-wide-light.png")
    page.goto(lab.url)
    again = open_page("xrdp", "rdp")
    reaches(again, "connected")
    again.mouse.click(400, 300)
    again.keyboard.type("and again\n", delay=20)
    assert line_in(lab.xrdp.proof, "typed on xrdp and again")
    assert again.problems == []  # type: ignore[attr-defined]


@pytest.mark.capability("S057")
def test_the_desktop_follows_the_window(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """Live where the desktop can, by a new connection where it cannot; the session goes on."""
    page = open_page("resized", "rdp")
    reaches(page, "connected")
    page.set_viewport_size({"width": 1100, "height": 700})
    wait_until(
        lambda: picture_size(page) == [1100, 700],
        "the desktop kept its size",
        60,
    )
    reaches(page, "connected")
    page.mouse.click(400, 300)
    page.keyboard.type("after the resize\n", delay=20)
    assert line_in(lab.xrdp.proof, "after the resize")


@pytest.mark.capability("S057")
def test_text_crosses_both_ways(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """The panel's text is the desktop's clipboard, and what is copied there appears in the panel."""
    page = open_page("clipboard", "rdp")
    reaches(page, "connected")
    page.mouse.move(700, 2)
    page.get_by_test_id("toolbar-clipboard").click()
    text = page.get_by_test_id("clipboard-text")
    text.fill("to the desktop €")
    page.get_by_test_id("clipboard-send").click()
    wait_until(
        lambda: on_desktop(lab.xrdp, "xclip", "-o", "-selection", "clipboard") == "to the desktop €", "not pasted", 60
    )
    copy_on_desktop(lab.xrdp, "from the desktop ñ")
    expect(text).to_have_value("from the desktop ñ", timeout=60_000)
    page.screenshot(path=PICTURES / "rdp-clipboard-wide-light.png")


@pytest.mark.capability("S057")
def test_a_policy_holds_whatever_the_page_does(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """Without clipboard and input the desktop hears neither, even from a page whose own switches were turned."""
    page = open_page("watch", "rdp", {"view_only": True, "clipboard_in": False, "clipboard_out": False})
    reaches(page, "connected")
    page.mouse.move(700, 2)
    expect(page.get_by_text("View only")).to_be_visible()
    expect(page.get_by_test_id("toolbar-clipboard")).to_be_hidden()
    page.eval_on_selector(".viewer-rdp", "canvas => { canvas.inert = false; canvas.focus(); }")
    page.keyboard.type("must not arrive\n", delay=10)
    assert not line_in(lab.xrdp.proof, "must not arrive", 1.5)


@pytest.mark.capability("S057")
def test_refusals_say_what_is_wrong(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """A wrong password, and a certificate that is not the one that the desktop reported."""
    wrong = open_page(
        "wrong", "rdp", {"at": lab.shadow, "credentials": {"username": lab.shadow.username, "password": "wrong"}}
    )
    reaches(wrong, "ended")
    expect(wrong.get_by_test_id("overlay")).to_contain_text("did not accept")
    changed = open_page("changed", "rdp", {"target": {"certificates": ["00" * 32]}})
    reaches(changed, "ended")
    expect(changed.get_by_test_id("overlay")).to_contain_text("another certificate")
    changed.screenshot(path=PICTURES / "rdp-changed-wide-light.png")


@pytest.mark.capability("S052", "S057")
def test_a_person_logs_in_where_nobody_else_can(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """Without a password of the broker's the page asks; a wrong one is told, a right one opens, and it is in no address and no log."""
    page = open_page("asked", "rdp", {"at": lab.shadow, "credentials": {"username": "somebody"}})
    reaches(page, "asking")
    expect(page.get_by_test_id("username")).to_have_value("somebody")
    page.get_by_test_id("username").fill(lab.shadow.username)
    page.get_by_test_id("password").fill("wrong")
    page.get_by_test_id("log-in").click()
    expect(page.get_by_test_id("overlay")).to_contain_text("did not accept this user name", timeout=60_000)
    page.screenshot(path=PICTURES / "rdp-asking-wide-light.png")
    page.get_by_test_id("password").fill(lab.shadow.password)
    page.keyboard.press("Enter")
    reaches(page, "connected")
    assert lab.shadow.password not in lab.gateway.log and lab.shadow.password not in page.url


@pytest.mark.capability("S031", "S057")
def test_an_administrator_and_a_lost_gateway(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """An end by an administrator is told; after the gateway was killed the page finds back to the session by itself."""
    page = open_page("ends", "rdp")
    reaches(page, "connected")
    lab.broker.wait_for(lambda: [e for e in lab.broker.events("opened") if e["connection"] == "ends"])
    lab.broker.tell(kind="close", connection="ends", reason="closed.by_administrator")
    reaches(page, "ended")
    expect(page.get_by_test_id("overlay")).to_contain_text("An administrator has closed the session.")
    page.get_by_test_id("reconnect").click()
    reaches(page, "connected")
    lab.gateway.stop(signal.SIGKILL)
    reaches(page, "lost")
    lab.gateway.start()
    reaches(page, "connected")
    page.mouse.click(400, 300)
    page.keyboard.type("after the kill\n", delay=20)
    assert line_in(lab.xrdp.proof, "after the kill")


@pytest.mark.capability("S057")
def test_a_phone_types_and_taps(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """A tap is a click, the key row's keys arrive, and the desktop is as narrow as the phone."""
    page = open_page("phone", "rdp", viewport=NARROW, has_touch=True, is_mobile=True, color_scheme="dark")
    reaches(page, "connected")
    wait_until(lambda: picture_size(page)[:1] == [388], "not the phone's width")
    page.touchscreen.tap(150, 300)
    page.get_by_test_id("toolbar-show").tap()
    page.get_by_test_id("toolbar-keyboard").tap()
    expect(page.get_by_test_id("key-row")).to_be_visible()
    page.keyboard.insert_text("from a phone")
    page.keyboard.press("Enter")
    page.screenshot(path=PICTURES / "rdp-narrow-dark.png")
    assert line_in(lab.xrdp.proof, "from a phone")


@pytest.mark.capability("S057")
def test_a_recorded_session_is_played(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """The same client reads what was recorded, without a desktop at its end."""
    shelf = Shelf(lab.broker)
    page = open_page("recorded", "rdp", {"recording": shelf.wanted("recorded", "required")})
    reaches(page, "connected")
    page.keyboard.type("seen on the record", delay=20)
    page.wait_for_timeout(1500)
    page.mouse.move(700, 2)  # the toolbar goes away after a while
    page.get_by_test_id("toolbar-disconnect").click()
    opener, content = shelf.content("recorded")
    assert opener.complete
    lab.portal.recordings["recorded"] = content

    player = lab.browser.new_context(ignore_https_errors=True, viewport={"width": 1200, "height": 800}).new_page()
    player.goto(f"{lab.url}/replay/recorded")
    player.wait_for_selector("html[data-player=ended]", timeout=60_000)
    wait_until(lambda: picture_size(player)[:1] > [300], "a picture as wide as the desktop")
    player.wait_for_timeout(500)
    player.screenshot(path=PICTURES / "rdp-replayed.png")
    colours = player.evaluate(
        "(canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size)(document.querySelector('.viewer-rdp'))"
    )
    assert colours > 8
    player.context.close()


def open_files(page: Page) -> None:
    """Show the panel of files."""
    page.mouse.move(700, 2)
    page.get_by_test_id("toolbar-files").click()


@pytest.mark.capability("S057")
def test_files_cross_both_ways(lab: RdpLab, open_page: Open, tmp_path: Path) -> None:  # noqa: F811
    """What is copied in the desktop can be taken here; what is sent here can be pasted there, with progress in both."""
    page = open_page("files", "rdp")
    reaches(page, "connected")
    page.mouse.click(400, 300)
    wait_until(lambda: lab.xrdp.proof.exists(), "the session has no terminal")
    content = os.urandom(3_000_000)
    source = lab.xrdp.home / "report ü.bin"
    source.write_bytes(content)
    source.chmod(0o644)
    copy_on_desktop(lab.xrdp, f"copy\nfile://{source}".replace(" ", "%20"), "x-special/gnome-copied-files")
    open_files(page)
    entry = page.get_by_test_id("files-list").get_by_text("report ü.bin")
    expect(entry).to_be_visible(timeout=60_000)
    page.screenshot(path=PICTURES / "rdp-files-wide-light.png")
    with page.expect_download() as taken:
        entry.click()
    assert Path(taken.value.path()).read_bytes() == content
    expect(page.get_by_test_id("files-jobs")).to_contain_text("Taken")

    sent = tmp_path / "notes é.bin"
    sent.write_bytes(os.urandom(2_000_000))
    page.get_by_test_id("files-input").set_input_files(sent)
    expect(page.get_by_test_id("files-note")).to_contain_text("Paste the files in the desktop")

    def pasted() -> str:
        told = on_desktop(lab.xrdp, "xclip", "-o", "-selection", "clipboard", "-t", "x-special/gnome-copied-files")
        return told.rpartition("file://")[2].strip().replace("%20", " ")

    wait_until(lambda: pasted().endswith("notes é.bin") or "notes" in pasted(), "the desktop was offered nothing", 60)
    copied = lab.xrdp.home / "copied.bin"
    subprocess.run(
        [
            "setpriv",
            f"--reuid={lab.xrdp.username}",
            f"--regid={lab.xrdp.username}",
            "--clear-groups",
            "cp",
            unquote(pasted()),
            copied,
        ],
        check=True,
        timeout=60,
    )
    assert copied.read_bytes() == sent.read_bytes()
    expect(page.get_by_test_id("files-jobs")).to_contain_text("Sent")
    page.screenshot(path=PICTURES / "rdp-files-sent-wide-light.png")
    assert page.problems == []  # type: ignore[attr-defined]


def opens(xrdp: XrdpServer, password: str) -> bool:
    """Whether a password opens the account, asked as somebody who may not simply become it."""
    command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "su", xrdp.username, "-c", "true"]
    done = subprocess.run(command, input=f"{password}\n", capture_output=True, text=True, check=False, timeout=30)
    return done.returncode == 0


@pytest.mark.capability("S052", "S057", "S077")
def test_the_agent_gives_a_password_for_once(lab: RdpLab, open_page: Open, tmp_path: Path) -> None:  # noqa: F811
    """It tells the certificate that xrdp shows, makes a password for the account that opens it, and makes that useless again."""
    file = tmp_path / "agent.json"
    settings = {"state": str(tmp_path / "state"), "rdp": {"port": lab.xrdp.port, "account": lab.xrdp.username}}
    file.write_text(json.dumps({"broker_url": "https://b", "ca_fingerprint": "ab" * 32, **settings}))
    known = load(str(file))
    hands = Hands(known, State(known.state), Eyes(known), lambda: None)
    try:
        answer = hands.carry_out({"id": "1", "kind": "prepare", "protocol": "rdp", "user": "ada"})
        assert answer["ok"] and answer["certificates"] == [lab.xrdp.fingerprint]
        log_in = {"username": answer["username"], "password": answer["password"]}
        how = {"credentials": log_in, "target": {"certificates": answer["certificates"]}}
        page = open_page("once", "rdp", how)
        reaches(page, "connected")
        assert opens(lab.xrdp, answer["password"])
        assert hands.carry_out({"id": "2", "kind": "revoke", "protocol": "rdp"})["ok"]
        page.mouse.click(400, 300)
        page.keyboard.type("with a password for once\n", delay=20)
        assert line_in(lab.xrdp.proof, "with a password for once")
        assert not opens(lab.xrdp, answer["password"])
        assert answer["password"] not in lab.gateway.log
        stale = open_page("stale", "rdp", {"credentials": log_in, "target": {"certificates": ["11" * 32]}})
        reaches(stale, "ended")
    finally:
        lab.xrdp.set_password()


@pytest.mark.capability("S052", "S057")
def test_a_plan_without_usb_leaves_everything_else(lab: RdpLab, open_page: Open) -> None:  # noqa: F811
    """What the desktop says is read for its wishes all the time; pictures, keys, the clipboard and sizes go on as ever."""
    page = open_page("no-usb", "rdp", {"usb": False})
    reaches(page, "connected")
    page.mouse.click(400, 300)
    page.keyboard.type("without usb\n", delay=20)
    assert line_in(lab.xrdp.proof, "without usb")
    copy_on_desktop(lab.xrdp, "no usb ñ")
    page.mouse.move(700, 2)
    page.get_by_test_id("toolbar-clipboard").click()
    expect(page.get_by_test_id("clipboard-text")).to_have_value("no usb ñ", timeout=60_000)
    assert page.problems == []  # type: ignore[attr-defined]
