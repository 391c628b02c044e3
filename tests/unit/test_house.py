import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import portico

pytestmark = pytest.mark.capability("S029")

ROOT = Path(portico.__path__[0])
FILES = sorted(path for path in ROOT.rglob("*.py") if "versions" not in path.parts and "vendor" not in path.parts)
MAX_FILE, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 6


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method of a file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many values a caller may have to think of."""
    taken = function.args
    names = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_files_and_functions_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_FILE
    long = [one.name for one in functions(path) if one.end_lineno and one.end_lineno - one.lineno >= MAX_FUNCTION]
    crowded = [one.name for one in functions(path) if parameters(one) > MAX_PARAMETERS]
    assert (long, crowded) == ([], [])
