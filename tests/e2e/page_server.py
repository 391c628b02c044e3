"""The pages served on a free port of this machine, with a small fleet behind them, for tests in a real browser."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import select
from tests.brokers import PASSWORD, make_broker
from tests.fleets import give_desktop

from portico.clouds.fake import Fake
from portico.services.broker import Broker
from portico.store import tables as t
from portico.web.app import create_app

PAGES = {
    "portal": "/", "account": "/account", "overview": "/admin", "desktops": "/admin/desktops", "pools": "/admin/pools",
    "images": "/admin/images", "centers": "/admin/centers", "policies": "/admin/policies", "plans": "/admin/protocol-plans",
    "new-pool": "/admin/pools/new", "new-policy": "/admin/policies/new", "new-center": "/admin/centers/new", "directories": "/admin/directories", "new-directory": "/admin/directories/new?kind=active-directory", "radius": "/admin/radius-servers", "new-radius": "/admin/radius-servers/new", "users": "/admin/users",
    "roles": "/admin/roles", "role": "/admin/roles/role-user?tab=settings", "jobs": "/admin/jobs", "events": "/admin/events",
    "sessions": "/admin/sessions", "desktop-sessions": "/admin/desktop-sessions", "gateways": "/admin/gateways",
    "brokers": "/admin/brokers", "leaks": "/admin/leaks", "waiting-agents": "/admin/waiting-agents", "join-keys": "/admin/join-keys", "settings": "/admin/settings", "palette": "/admin/palette?q=e",
}  # fmt: skip


def stocked(state: Path) -> Broker:
    """Make a broker with a center, a pool, a policy, two desktops, and one of them in somebody's hands."""
    broker = replace(make_broker(state), cloud_drivers={"fake": Fake})
    give_desktop(broker)
    return broker


def details(broker: Broker) -> dict[str, str]:
    """Return the pages of single objects."""
    with broker.db.read() as conn:
        desktop = conn.scalar(select(t.assignments.c.desktop_id))
        pool, center = conn.scalar(select(t.pools.c.id)), conn.scalar(select(t.centers.c.id))
    return {
        "desktop": f"/admin/desktops/{desktop}", "desktop-history": f"/admin/desktops/{desktop}?tab=history",
        "desktop-settings": f"/admin/desktops/{desktop}?tab=settings", "pool": f"/admin/pools/{pool}",
        "pool-settings": f"/admin/pools/{pool}?tab=settings", "pool-delete": f"/admin/pools/{pool}/delete",
        "center": f"/admin/centers/{center}", "policy": "/admin/policies/policy?tab=settings", "user": "/admin/users/user",
    }  # fmt: skip


@contextmanager
def serve(broker: Broker) -> Iterator[str]:
    """Serve the application and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://localhost:{port}"
    app = create_app(replace(broker, config=replace(broker.config, public_url=address)))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    ready = threading.Event()
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets)
        ready.set()

    server.startup = startup  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield address
    server.should_exit = True
    thread.join(15)


@contextmanager
def launch() -> Iterator[Browser]:
    """Start the system's browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        yield browser
        browser.close()


def log_in(page: Page, url: str) -> None:
    """Log in as the administrator by keyboard alone: the first field has the focus."""
    page.goto(f"{url}/login")
    page.wait_for_selector("input:focus")  # a busy machine sets it a moment after the page stands
    page.keyboard.type("admin")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-testid=log-out]", state="attached")
