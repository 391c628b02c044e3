"""axe looks at every page of portal and console, light and dark, wide and narrow: nothing serious, nothing critical."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from tests.e2e.page_server import PAGES, details, launch, log_in, serve, stocked

from portico.services.broker import Broker

AXE = Path("build/front-end-tests/axe-core/axe.min.js")
RUN = """async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.target.join(" ")).join(" | ")}`)"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Broker:
    return stocked(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def url(broker: Broker) -> Iterator[str]:
    with serve(broker) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launch() as browser:
        yield browser


@pytest.mark.capability("S122")
@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_axe_finds_nothing_serious(browser: Browser, url: str, broker: Broker, theme: Any, width: int) -> None:
    """Contrast, names, roles and order of every page hold in both themes."""
    assert AXE.exists(), "axe-core is not there: run tools/setup test"
    # The page's own policy stands: axe is put in as a script of the test, and asks for nothing.
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    context.add_init_script(path=AXE)
    page = context.new_page()
    found: dict[str, list[str]] = {}
    page.goto(f"{url}/login")
    found["log-in"] = page.evaluate(RUN)
    log_in(page, url)
    for name, path in (PAGES | details(broker)).items():
        page.goto(url + path)
        found[name] = page.evaluate(RUN)
    context.close()
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
