import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import portico
from portico.domain.explain import MAX_DEPTH, as_json, chain, from_json, remedy, sentence
from portico.domain.model import Reason
from portico.domain.sentences import COUNTED, SENTENCES

pytestmark = pytest.mark.capability("S029")

PLACEHOLDER = re.compile(r"%\((\w+)\)s")
SOURCES = sorted(
    path for layer in ("domain", "services", "jobs", "web") for path in Path(portico.__path__[0], layer).rglob("*.py")
)


def reasons_in(path: Path) -> Iterator[tuple[str, set[str] | None]]:
    """Each code given to Reason(...) in a file, with the names of its params (None where they are not written there)."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Reason":
            params: set[str] | None = set()
            if len(node.args) > 1:
                given = node.args[1]
                literal = isinstance(given, ast.Dict) and all(isinstance(key, ast.Constant) for key in given.keys)
                params = {str(key.value) for key in given.keys} if literal else None
            for code in codes_of(node.args[0]):
                yield code, params


def codes_of(node: ast.expr) -> Iterator[str]:
    """The texts that an expression may be."""
    if isinstance(node, ast.IfExp):
        yield from codes_of(node.body)
        yield from codes_of(node.orelse)
    elif isinstance(node, ast.Constant):
        yield str(node.value)


USED = sorted(
    {(code, frozenset(params or ()), params is None) for path in SOURCES for code, params in reasons_in(path)}
)


@pytest.mark.parametrize(("code", "params", "open_ended"), USED, ids=[code for code, _, _ in USED])
def test_every_code_has_a_sentence_that_its_params_fill(code: str, params: frozenset[str], open_ended: bool) -> None:
    if code == "unknown":
        return
    assert code in SENTENCES
    wanted = {name for text in SENTENCES[code] for name in PLACEHOLDER.findall(text)}
    assert open_ended or wanted <= params


@pytest.mark.parametrize("code", [*SENTENCES, "unknown", "made.up"])
def test_a_sentence_can_always_be_filled(code: str) -> None:
    for reason in (Reason(code), Reason(code, {"count": 3, "pool": None, "detail": "50 %"})):
        text, filling = sentence(reason)
        assert "%(" not in text % filling
        assert "%(" not in remedy(code) % filling
        assert (text % filling)[0].isupper() or text.startswith("%(")


@pytest.mark.parametrize("code", COUNTED)
def test_a_reason_for_many_counts_them(code: str) -> None:
    text, filling = sentence(Reason(code, {"count": 12}))
    assert (text % filling).endswith(": 12")
    assert code in SENTENCES


def test_sentences_follow_the_house_rules() -> None:
    for text in (part for pair in SENTENCES.values() for part in pair if part):
        assert "!" not in text
        assert "please" not in text.lower()
        assert text.endswith((".", "%(detail)s"))


def test_a_chain_lists_each_reason_before_its_causes() -> None:
    leaf = Reason("desktop.taken", {"count": 2})
    top = Reason("pool.full", {}, (Reason("pool.short", {}, (leaf,)), leaf))
    assert [reason.code for reason in chain(top)] == ["pool.full", "pool.short", "desktop.taken", "desktop.taken"]


def reasons() -> st.SearchStrategy[Reason]:
    params = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=3)
    leaf = st.builds(Reason, st.text(), params)
    return st.recursive(
        leaf, lambda inner: st.builds(Reason, st.text(), params, st.tuples(inner)), max_leaves=MAX_DEPTH
    )


@given(reasons())
def test_a_reason_survives_json(reason: Reason) -> None:
    if len(chain(reason)) <= MAX_DEPTH:
        assert from_json(as_json(reason)) == reason


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "params", "because", "x"]), inner, max_size=4)
    ),
)


@given(JUNK)
def test_junk_becomes_some_reason(data: object) -> None:
    assert isinstance(from_json(data), Reason)


def test_a_bottomless_chain_is_cut() -> None:
    data: dict[str, object] = {"code": "x"}
    for _ in range(1000):
        data = {"code": "x", "because": [data]}
    assert len(chain(from_json(data))) == MAX_DEPTH + 1
