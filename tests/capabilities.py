"""Which capability lines have a passing test, and on what it ran: a pytest plugin that leaves build/capabilities.json.

A test names its lines by `@pytest.mark.capability("S095", …)` and what it ran on by `@pytest.mark.on("postgresql")` or, from a
fixture, by `ran_on(request, "postgresql")`; without either it ran on "local". "recorded" means that only a recorded or imitated
peer was there. With `--capabilities FILE` the session leaves {"S095": {"state", "tests", "on"}} there, one entry for each line.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.capability_table import LINES, capability_lines, table

# What `make test` leaves out, and why.
NOT_RUN_HERE = (
    ("make test-openstack", "real OpenStack services on this machine, which take minutes to install"),
    ("make lab-e2e", "a real guest, which boots for minutes where the processor is emulated"),
    ("make test-full", "the same tests with many more examples for each property"),
    ("make bench", "numbers, not verdicts"),
)


def ran_on(request: pytest.FixtureRequest, place: str) -> None:
    """Note that whatever uses this fixture runs on `place` ("postgresql", "openstack", …)."""
    request.node.user_properties.append(("on", place))


# --- the plugin. Facts travel in each report's user_properties, so that they reach the controller of pytest-xdist.


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --capabilities."""
    parser.addoption("--capabilities", metavar="FILE", help="leave the state of each capability line in FILE, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker `on` and, where results are gathered, whoever gathers them."""
    config.addinivalue_line("markers", "on(*places): what a test runs on, for build/capabilities.json")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Gatherer(config.getoption("--capabilities")), "capabilities-gatherer")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand each test's lines to its reports. A test that names no line, or one that does not exist, stops everything."""
    known = capability_lines(LINES.read_text("utf-8"))
    wrong = []
    for item in items:
        named = [line for marker in item.iter_markers("capability") for line in marker.args]
        if not named or not set(named) <= set(known):
            wrong.append(f"{item.nodeid}: {', '.join(sorted(set(named) - set(known))) or 'no capability marker'}")
        places = [place for marker in item.iter_markers("on") for place in marker.args]
        item.user_properties += [("capability", line) for line in dict.fromkeys(named)]
        item.user_properties += [("on", place) for place in places]
    if wrong:
        raise pytest.UsageError("each test must name lines of docs/reference/capabilities.md:\n  " + "\n  ".join(wrong))
    items.sort(key=lambda item: "/e2e/" not in item.nodeid)  # The longest chain begins first.


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Let a skipped test fail where CI=true: what is not run there must be known by name."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"


class Gatherer:
    """Collects the outcome of every test, wherever it ran."""

    def __init__(self, target: str | None) -> None:
        self.target = target
        self.results: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how one phase of one test went."""
        mine = self.results.setdefault(report.nodeid, {"outcome": "", "capabilities": [], "on": []})
        mine["capabilities"] = [value for name, value in report.user_properties if name == "capability"]
        mine["on"] = sorted({str(value) for name, value in report.user_properties if name == "on"}) or ["local"]
        if report.failed or (report.when == "call" and mine["outcome"] != "failed"):
            mine["outcome"] = report.outcome

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        if self.target:
            lines = capability_lines(LINES.read_text("utf-8"))
            path = Path(self.target)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(table(lines, self.results), indent=1) + "\n", "utf-8")

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what a full run leaves out."""
        if self.target:
            for name, why in NOT_RUN_HERE:
                if (name == "make test-openstack" and "openstack" in self.target) or (
                    name == "make lab-e2e" and "guest" in self.target
                ):
                    name, why = "make test", "all that needs no cloud"
                terminalreporter.write_line(f"not run here: {name} ({why})")
