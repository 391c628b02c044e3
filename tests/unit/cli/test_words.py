"""What is typed becomes values; values become lines."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from portico.cli import output, values
from portico.cli.api import Address, Client
from portico.cli.described import Field
from portico.errors import Invalid

pytestmark = pytest.mark.capability("S037")

PARTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(PARTS)
def test_yaml_reads_back_as_what_it_was(value: Any) -> None:
    """Our YAML is YAML, whatever is in it."""
    assert yaml.safe_load(output.yaml(value)) == value


@pytest.mark.parametrize(
    ("field", "typed", "value"),
    [
        (Field("a", "integer"), "7", 7), (Field("a", "number"), "0.5", 0.5), (Field("a", "boolean"), "off", False),
        (Field("a", "array", of_texts=True), "vnc, ssh", ["vnc", "ssh"]), (Field("a", "array"), '[{"b": 1}]', [{"b": 1}]),
        (Field("a", "string"), "007", "007"), (Field("a", "string", may_be_null=True), "", None), (None, "7", 7),
        (None, "text", "text"), (Field("a", "object"), '{"b": 1}', {"b": 1}),
    ],
)  # fmt: skip
def test_a_value_is_of_its_fields_type(field: Field | None, typed: str, value: Any) -> None:
    assert values.convert(field, typed) == value


@pytest.mark.parametrize(
    ("kind", "typed"),
    [("integer", "x"), ("boolean", "maybe"), ("array", "["), ("object", "x"), ("string", "@/nowhere")],
)
def test_a_value_that_does_not_fit_is_refused(kind: str, typed: str) -> None:
    with pytest.raises(ValueError):
        values.convert(Field("a", kind), typed)


def test_paths_build_objects() -> None:
    made: dict[str, Any] = {}
    values.put(made, "a.b.c", 1)
    values.put(made, "a.d", 2)
    assert made == {"a": {"b": {"c": 1}, "d": 2}}
    with pytest.raises(Invalid):
        values.put(made, "a.d.e", 3)


def test_control_characters_reach_no_terminal() -> None:
    """What a cloud calls its machines cannot move somebody's cursor."""
    assert output.text("a\x1b[2Jb\nc") == "a [2Jb c"
    assert json.loads(output.text({"a": 1})) == {"a": 1}


@pytest.mark.parametrize("url", ["http://portico.example", "ftp://localhost", "localhost", "https://"])
def test_a_token_is_not_sent_where_others_could_read_it(url: str) -> None:
    with pytest.raises(Invalid):
        Client(Address(url))
