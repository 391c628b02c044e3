"""Which directories are asked, and what their rules give. Pure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.directories import (
    AssignmentRule,
    DirectoryRecord,
    Granted,
    Identity,
    check_rules,
    grant,
    to_ask,
)
from portico.domain.explain import chain
from portico.domain.login import as_typed
from portico.domain.model import Reason

pytestmark = pytest.mark.capability("S047")

ADA = Identity(
    "1", "ada", "Ada", "ada@corp.example", ("Engineers", "VDI-Users"), {"department": ("Research",), "level": ("7",)}
)


def directory(**more: object) -> DirectoryRecord:
    return DirectoryRecord("d", "t", "Corp", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("attribute", "operator", "text", "holds"),
    [
        ("group", "eq", "vdi-users", True), ("group", "eq", "VDI", False), ("group", "ct", "VDI", True), ("group", "ne", "Sales", True),
        ("group", "ne", "Engineers", False), ("group", "nc", "gin", False), ("department", "bw", "res", True),
        ("Department", "ew", "arch", True), ("level", "gt", "6", True), ("level", "lt", "6", False), ("title", "eq", "Boss", False),
        ("title", "ne", "Boss", True), ("user name", "eq", "ADA", True), ("email", "ew", "@corp.example", True), ("", "eq", "", True),
        ("full name", "eq", "Ada", True), (" ", "eq", "x", True),
    ],
)  # fmt: skip
def test_each_operator_on_groups_and_attributes(attribute: str, operator: str, text: str, holds: bool) -> None:
    rule = AssignmentRule(attribute, operator, text, role_id="r", policy_id="p")
    found = grant(directory(rules=(rule,)), ADA, None)
    assert isinstance(found, Granted) is holds


def test_the_first_rule_that_holds_decides_and_those_before_it_are_told() -> None:
    rules = (
        AssignmentRule("group", "eq", "Sales", role_id="sales"),
        AssignmentRule("group", "eq", "Engineers", location_id="office", role_id="inside"),
        AssignmentRule("group", "eq", "Engineers", role_id="engineer", policy_id="p"),
        AssignmentRule("", role_id="everybody"),
    )
    outside = grant(directory(rules=rules), ADA, None)
    assert isinstance(outside, Granted)
    assert (outside.role_id, outside.policy_id) == ("engineer", "p")
    assert [(one.code, one.params["rule"]) for one in chain(outside.reason)] == [
        ("rule.won", 3), ("rule.not_met", 1), ("rule.elsewhere", 2),
    ]  # fmt: skip
    inside = grant(directory(rules=rules), ADA, "office")
    assert isinstance(inside, Granted)
    assert inside.role_id == "inside"


def test_defaults_hold_where_no_rule_does_and_without_them_nobody_comes_in() -> None:
    found = grant(directory(default_role_id="r", default_policy_id="p"), ADA, None)
    assert isinstance(found, Granted)
    assert (found.role_id, found.policy_id, found.reason.code) == ("r", "p", "rule.default")
    refused = grant(directory(rules=(AssignmentRule("group", "eq", "Sales", role_id="r"),)), ADA, None)
    assert isinstance(refused, Reason)
    assert refused.code == "login.no_role"
    partly = grant(directory(default_role_id="r", rules=(AssignmentRule("", policy_id="p"),)), ADA, None)
    assert isinstance(partly, Granted)
    assert (partly.role_id, partly.policy_id) == ("r", "p")


def test_broken_rules_are_named_and_hold_for_nobody() -> None:
    broken = (AssignmentRule("group", "zz", "x", role_id="r"), AssignmentRule("level", "gt", "much", role_id="r"))
    assert set(check_rules(broken)) == {"rules.0.operator", "rules.1.text"}
    assert isinstance(grant(directory(rules=broken), ADA, None), Reason)
    assert "rules" in check_rules([AssignmentRule()] * 501)


@pytest.mark.capability("S046")
def test_directories_are_asked_by_domain_by_choice_or_in_order() -> None:
    corp = DirectoryRecord("1", "t", "Corp", domains=("corp.example", "CORP"), position=20)
    labs = DirectoryRecord("2", "t", "Labs", domains=("labs.example",), position=10)
    shy = DirectoryRecord("3", "t", "Shy", domains=("shy.example",), position=0, ask_bare_names=False)
    off = DirectoryRecord("4", "t", "Off", domains=("off.example",), active=False)
    known = [corp, labs, shy, off]
    assert to_ask(known, "") == [labs, corp]
    assert to_ask(known, "corp") == [corp]
    assert to_ask(known, "shy.example") == [shy]
    assert to_ask(known, "off.example") == to_ask(known, "nowhere") == []
    assert to_ask(known, "corp", chosen="2") == [labs]


@pytest.mark.parametrize(
    ("typed", "parts"),
    [("Ada", ("Ada", "Ada")), ("CORP\\Ada", ("Ada", "CORP\\Ada")), ("Ada@Corp.example", ("Ada", "Ada@Corp.example")),
     (" a\0da ", ("ada", "ada")), ("@", ("@", "@")), ("x@y@z", ("x@y", "x@y@z"))],
)  # fmt: skip
def test_a_name_keeps_its_capitals_for_directories(typed: str, parts: tuple[str, str]) -> None:
    assert as_typed(typed) == parts


@given(
    st.text(max_size=40), st.sampled_from(["eq", "ne", "ct", "nc", "bw", "ew", "gt", "lt", "ip"]), st.text(max_size=20)
)
def test_no_rule_raises(attribute: str, operator: str, text: str) -> None:
    """Whatever is written, it holds, it does not, or it is named."""
    rule = AssignmentRule(attribute, operator, text, role_id="r")
    check_rules([rule])
    assert isinstance(grant(directory(rules=(rule,)), ADA, None), Granted | Reason)
