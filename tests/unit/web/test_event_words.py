"""Every event that the code writes has a sentence, and every sentence can be filled."""

import ast
import re
from pathlib import Path

import pytest

from portico.domain.axes import AssignmentState
from portico.services.nouns import MADE_ONCE, NOUNS
from portico.web.event_words import EVENTS, OWN, UNKNOWN, message_of

SOURCE = Path(__file__).parents[3] / "src" / "portico"
CODE = re.compile(r"[a-z][a-z-]*\.[a-z_]+")
PLACES = {"actor", "user", "desktop", "pool", "center", "name", "job"}
WRITERS = {"Entry", "announce", "_note"}


def _calls(folder: str) -> list[tuple[str, ast.expr, ast.AST]]:
    """Return where events are written: the place, the expression of the code, and the function around it."""
    found: list[tuple[str, ast.expr, ast.AST]] = []
    for path in sorted((SOURCE / folder).rglob("*.py")):
        for around in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]:
            for call in [node for node in ast.walk(around) if isinstance(node, ast.Call)]:
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                at = {"Entry": 1, "announce": 3, "_note": 4}.get(name)
                if name in WRITERS and at is not None and len(call.args) > at:
                    found.append((f"{path.relative_to(SOURCE)}:{call.lineno}", call.args[at], around))
    return found


def _codes(expression: ast.expr, around: ast.AST) -> set[str]:
    """Return the codes that an expression may be: its own texts, or those assigned to its name in the function."""
    if isinstance(expression, ast.JoinedStr):
        return set()
    inside: list[ast.AST] = [expression]
    if isinstance(expression, ast.Name):
        inside = [
            node.value
            for node in ast.walk(around)
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == expression.id for t in node.targets)
        ]
    texts = {node.value for part in inside for node in ast.walk(part) if isinstance(node, ast.Constant)}
    return {text for text in texts if isinstance(text, str) and CODE.fullmatch(text)}


@pytest.mark.capability("S122")
def test_every_event_in_the_code_has_a_sentence() -> None:
    """Codes are read off the calls that write events; those made of parts are spelled out here."""
    calls = [call for folder in ("services", "jobs") for call in _calls(folder)]
    assert len(calls) > 30
    codes = {code for _, expression, around in calls for code in _codes(expression, around)}
    codes |= {f"assignment.{state.value.replace(' ', '_')}" for state in AssignmentState}
    codes |= {f"desktop.made_{status}" for status in ("available", "unavailable")}
    codes |= {f"center.{status}" for status in ("online", "offline")}
    for noun in NOUNS.values():
        codes |= {f"{noun.singular}.created"} if noun.may_create else set()
        codes |= {f"{noun.singular}.changed"} if noun.form and noun.name not in MADE_ONCE else set()
        codes |= {f"{noun.singular}.deleted"} if noun.may_delete else set()
        codes |= {f"{noun.singular}.restored"} if "restore" in noun.actions else set()
    assert sorted(codes - set(EVENTS)) == []


@pytest.mark.capability("S122")
def test_codes_made_of_parts_are_known_families() -> None:
    """A code that is put together belongs to a family that the test above spells out."""
    families = {"assignment.", "desktop.made_", "center.", "."}
    for place, expression, _ in [call for folder in ("services", "jobs") for call in _calls(folder)]:
        if isinstance(expression, ast.JoinedStr):
            fixed = "".join(str(part.value) for part in expression.values if isinstance(part, ast.Constant))
            assert fixed in families, place


@pytest.mark.capability("S122")
def test_sentences_hold_named_places_only() -> None:
    """A sentence ends as one, and is filled by names, never by position."""
    for code, message in {**EVENTS, **OWN}.items():
        assert "%(" in message, code
        assert message % {name: "x" for name in re.findall(r"%\((\w+)\)s", message)}


@pytest.mark.capability("S122")
def test_an_event_of_a_newer_broker_shows_its_code() -> None:
    """An unknown code never breaks a page; an action may have a sentence of its own."""
    assert message_of("moon.landed", "ada", "", {}) == UNKNOWN
    assert message_of("desktop.power_ordered", "ada", "", {"action": "start"}) != EVENTS["desktop.power_ordered"]
    assert message_of("session.ended", "ada", "ada", {}) == OWN["session.ended"]
