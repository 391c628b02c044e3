"""How long until somebody sees an RDP desktop: a browser through the gateway, beside FreeRDP's own client straight to the same desktop."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from playwright.sync_api import Browser, sync_playwright
from tests.bench.machine import free_port, table

from doubles.authority import Authority
from doubles.broker import BrokerDouble
from doubles.desktops import VncServer, stop
from doubles.portal import Portal, vendor
from doubles.processes import FrontProcess, GatewayProcess
from doubles.rdp import ShadowServer

ROUNDS = 5
PATIENCE_SECONDS = 60


def report() -> str:
    """Measure and return the table."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portico-bench-")))
        desktop = VncServer(folder / "vnc")
        stack.callback(desktop.stop)
        shadow = ShadowServer(folder / "shadow", desktop)
        stack.callback(shadow.stop)
        url = _portal(stack, folder, shadow)
        display, screen = stack.enter_context(_screen(folder))
        own = median(_xfreerdp(shadow, display, screen) for _ in range(ROUNDS))
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            seen = [_browser(browser, f"{url}/view/desk") for _ in range(ROUNDS)]
            browser.close()
        first, again = (median(times) for times in zip(*seen, strict=True))
    rows = [
        ("a browser that was never here, ms", first, "xfreerdp", own, first / own),
        ("a browser that was, ms", again, "xfreerdp", own, again / own),
    ]
    return table("The first picture of an RDP desktop", ("what", "Portico", "yardstick", "its", "ratio"), rows)


def _portal(stack: ExitStack, folder: Path, shadow: ShadowServer) -> str:
    broker = BrokerDouble(Authority(folder)).start()
    stack.callback(broker.stop)
    portal, port = Portal(broker, vendor(folder)), free_port()
    url = f"https://localhost:{port}"
    gateway = GatewayProcess(folder, broker, url)
    front = FrontProcess(folder, broker, port, gateway.port)
    for process in (gateway, front):
        process.start()
        stack.callback(process.stop)
    portal.protocols["desk"] = "rdp"
    broker.grant("desk", "rdp", "127.0.0.1", shadow.port, shadow.credentials)
    return url


def _browser(browser: Browser, address: str) -> tuple[float, float]:
    """Return the milliseconds from the click to the picture: with nothing kept from before, and the second time."""
    page = browser.new_context(ignore_https_errors=True).new_page()
    times = []
    for _ in range(2):
        page.goto(address)
        page.wait_for_selector("html[data-viewer=connected]", timeout=PATIENCE_SECONDS * 1000)
        times.append(float(page.evaluate("performance.getEntriesByName('portico:first-frame')[0].startTime")))
        page.goto("about:blank")
    page.context.close()
    return times[0], times[1]


@contextmanager
def _screen(folder: Path) -> Iterator[tuple[str, Path]]:
    """A display whose pixels lie in a file."""
    number = 90 + free_port() % 400
    server = subprocess.Popen(
        ["Xvfb", f":{number}", "-screen", "0", "1024x768x24", "-fbdir", str(folder), "-nolisten", "tcp"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        pixels, end = folder / "Xvfb_screen0", monotonic() + PATIENCE_SECONDS
        while not pixels.exists() and monotonic() < end:
            sleep(0.05)
        sleep(1)
        yield f":{number}", pixels
    finally:
        stop(server)


def _xfreerdp(shadow: ShadowServer, display: str, screen: Path) -> float:
    """Return the milliseconds from the client's start to the first pixel that is not black."""
    with screen.open("rb") as file:
        dark = file.read()
    began = monotonic()
    client = subprocess.Popen(
        ["xfreerdp", f"/v:127.0.0.1:{shadow.port}", f"/u:{shadow.username}", f"/p:{shadow.password}", "/cert:ignore", "/size:1024x768"],
        env={"DISPLAY": display, "PATH": "/usr/bin:/bin", "HOME": str(screen.parent)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        head, middle = len(dark) - 1024 * 768 * 4, 1024 * 768 * 2
        while monotonic() - began < PATIENCE_SECONDS:
            with screen.open("rb") as file:
                file.seek(head + middle)
                if any(file.read(4096)):
                    return (monotonic() - began) * 1000
            sleep(0.002)
        raise RuntimeError("xfreerdp showed nothing")
    finally:
        stop(client)
        sleep(1)


if __name__ == "__main__":
    print(report())
