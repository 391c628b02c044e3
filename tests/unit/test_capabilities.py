import pytest
from tests.capability_table import LINES, capability_lines, merged, state_of, table

pytestmark = pytest.mark.capability("S029")


def test_the_list_holds_every_line_once():
    """The reference page names S001 to S128, each with a tag and a phrase."""
    assert list(capability_lines(LINES.read_text("utf-8"))) == [f"S{n:03}" for n in range(1, 129)]


@pytest.mark.parametrize(
    ("line", "tags", "outcomes", "on", "state"),
    [
        ("S045", {"auth"}, {"passed"}, {"local"}, "works"),
        ("S045", {"auth"}, {"passed", "failed"}, {"local"}, "fails"),
        ("S045", {"auth"}, {"skipped"}, set(), "none"),
        ("S045", {"auth"}, set(), set(), "none"),
        ("S098", {"broker"}, {"passed"}, {"local", "postgresql"}, "unverified"),
        ("S098", {"broker"}, {"passed"}, {"local", "openstack"}, "works"),
        ("S005", {"openstack"}, {"passed"}, {"local"}, "unverified"),
        ("S053", {"protocols"}, {"passed"}, {"recorded"}, "unverified"),
        ("S053", {"protocols"}, {"passed"}, {"recorded", "local"}, "works"),
        ("S098", {"broker"}, {"failed"}, {"openstack"}, "fails"),
    ],
)
def test_the_state_of_a_line_follows_from_its_tests(line, tags, outcomes, on, state):
    """A line works only when its tests pass on the real thing."""
    assert state_of(line, tags, outcomes, on) == state


def test_only_passing_tests_say_what_a_line_ran_on():
    """The places of a failed or skipped test are not claimed."""
    lines = {"S045": ("Local users", frozenset({"auth"}))}
    results = {
        "a": {"outcome": "passed", "capabilities": ["S045"], "on": ["sqlite"]},
        "b": {"outcome": "skipped", "capabilities": ["S045"], "on": ["postgresql"]},
    }
    assert table(lines, results) == {"S045": {"state": "works", "tests": ["a", "b"], "on": ["sqlite"]}}


def test_a_run_on_openstack_proves_what_the_run_without_it_leaves_unverified() -> None:
    """Lines of both runs stand in one table; a failure in either counts."""
    lines = {"S093": ("a", frozenset({"openstack"})), "S029": ("b", frozenset()), "S001": ("c", frozenset())}
    here = {
        "S093": {"state": "unverified", "tests": ["x"], "on": ["local"]},
        "S029": {"state": "works", "tests": ["y"], "on": ["local"]},
    }
    there = {
        "S093": {"state": "works", "tests": ["z"], "on": ["openstack"]},
        "S029": {"state": "fails", "tests": ["w"], "on": []},
    }
    made = merged(lines, [here, there])
    assert made["S093"] == {"state": "works", "tests": ["x", "z"], "on": ["local", "openstack"]}
    assert (made["S029"]["state"], made["S001"]["state"]) == ("fails", "none")
