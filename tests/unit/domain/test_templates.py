"""Dynamic tags in what a pool writes on its desktops."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.tags import padded
from portico.domain.templates import (
    TEXT_TAGS,
    dated,
    metadata_errors,
    render_display,
    render_script,
    unknown_in_script,
)

pytestmark = pytest.mark.capability("S102")

VALUES = {"POOL": "Lab", "SEQUENCE": padded(7), "VM:NAME": "lab-7", "DATE": dated(datetime(2026, 3, 2, 9, tzinfo=UTC))}


@pytest.mark.parametrize(
    ("script", "filled"),
    [
        ("hostname: {VM:NAME}", "hostname: lab-7"),
        ("n={SEQUENCE:3} {POOL} {DATE} {DATE:%d.%m.%y}", "n=007 Lab 2026-03-02 02.03.26"),
        ("echo ${HOME} ${POOL} $POOL", "echo ${HOME} ${POOL} $POOL"),
        ('{"a": {"B": 1}, "POOL": 2}', '{"a": {"B": 1}, "POOL": 2}'),
        (
            "## template: jinja\n{{ v1.local_hostname }} {{POOL}} {% if X %}",
            "## template: jinja\n{{ v1.local_hostname }} {{POOL}} {% if X %}",
        ),
        ("keep {{POOL} and {}", "keep {POOL} and {}"),
        ("f() { POOL=1; }", "f() { POOL=1; }"),
    ],
)
def test_user_data_keeps_all_that_is_no_tag_of_ours(script: str, filled: str) -> None:
    assert unknown_in_script(script, TEXT_TAGS) == []
    assert render_script(script, VALUES) == filled


@pytest.mark.parametrize(
    ("script", "tags"), [("a {USER} b", ["{USER}"]), ("{VM:ADDRESS}{POOL}{X}", ["{VM:ADDRESS}", "{X}"])]
)
def test_what_looks_like_a_tag_and_is_none_is_named(script: str, tags: list[str]) -> None:
    assert unknown_in_script(script, TEXT_TAGS) == tags


@given(st.text(st.characters(exclude_characters="{}")))
def test_text_without_braces_stays_as_it_is(text: str) -> None:
    assert render_script(text, VALUES) == text


def test_a_display_name_is_one_line_of_bounded_length() -> None:
    assert render_display(" Lab\n{SEQUENCE:2} ({VM:NAME}) ", VALUES) == "Lab07 (lab-7)"
    assert len(render_display("x" * 999, VALUES)) == 200


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("", "x", "name"),
        ("portico:desktop", "x", "Portico"),
        ("role", "x" * 256, "255"),
        ("role", "{USER}", "{USER}"),
    ],
)
def test_metadata_is_checked_by_entry(key: str, value: str, part: str) -> None:
    wrong = metadata_errors({key: value, "fine": "{POOL}-{SEQUENCE:2}"})
    assert list(wrong) == [key]
    assert part in wrong[key]
