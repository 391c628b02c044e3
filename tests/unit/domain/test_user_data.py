"""User data: our tags are filled in, and nothing else is touched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.domain.templates import render_script
from portico.domain.user_data import TAGS, render

pytestmark = pytest.mark.capability("S085")

AGENT = {"broker_url": "https://b", "ca_fingerprint": "ff", "token": "once", "more": "x"}


def test_the_tags_become_what_an_agent_enrols_with() -> None:
    """All at once as JSON, or each by its name."""
    text = render("# portico-agent: {AGENT}\n{BROKER_URL} {CA_FINGERPRINT} {TOKEN}", AGENT)
    first, second = text.splitlines()
    assert json.loads(first.partition(": ")[2]) == {"broker_url": "https://b", "ca_fingerprint": "ff", "token": "once"}
    assert second == "https://b ff once"


@pytest.mark.parametrize(
    "text", ["${TOKEN}", "{{TOKEN}}", "{{ TOKEN }}", "{ ls; }", "a{b,c}", "{HOME}", "$($x.{TOKEN2})"]
)
def test_the_braces_of_other_languages_stay(text: str) -> None:
    """Shell variables, Jinja and blocks are somebody else's."""
    assert render(text, AGENT) == text


def test_a_name_cannot_begin_a_command_and_the_agents_tags_wait() -> None:
    """Whoever names a pool does not write its machines' programs; what is secret is not filled in before it is sent."""
    filled = render_script("echo {POOL} {TOKEN} ${HOME}", {"POOL": "Büro'; $(rm -rf /)\n`id`\"&|<>"}, TAGS)
    assert filled == "echo Büro rm -rf /id {TOKEN} ${HOME}"


@given(st.text())
def test_what_holds_no_tag_is_the_same_afterwards(text: str) -> None:
    """Byte for byte."""
    if not any(f"{{{tag}}}" in text for tag in TAGS):
        assert render(text, AGENT) == text
