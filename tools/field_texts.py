"""Extracts for gettext what people read and no function marks: titles and help of fields, sentences of errors.

Babel calls `extract` for the files that babel.cfg names, besides its own extractor for Python.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from babel.messages.extract import extract_python

FIELDS = {"Spec": ("title", "help", "unit"), "Meta": ("title", "help", "unit"), "_minutes": ("title", "help"), "_idle": ("title",)}
Message = tuple[int, str, Any, list[str]]


def extract(
    file: IO[bytes], keywords: Mapping[str, Any], tags: Sequence[str], options: dict[str, Any]
) -> Iterator[Message]:
    """Yield the messages of a Python file: those that are marked, and those that stand in fields, errors and checks."""
    yield from extract_python(file, keywords, tags, options)  # type: ignore[misc]
    file.seek(0)
    for node in ast.walk(ast.parse(file.read())):
        for text in _texts(node):
            yield node.lineno, "_", text, []  # type: ignore[attr-defined]


def _texts(node: ast.AST) -> list[str]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in FIELDS:
            places = FIELDS[name]
            parts = [*node.args[: len(places)], *(word.value for word in node.keywords if word.arg in places)]
        case ast.Raise(exc=ast.Call(args=arguments)):
            parts = [*arguments[:1], *(value for part in arguments[1:] for value in _values(part))]
        case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="wrong"))], value=value):
            parts = [value]
        case ast.Dict():
            parts = [value for value in _values(node) if _is_sentence(value)]
        case ast.Assign(targets=[ast.Name(id="title")], value=value):
            parts = [value]
        case _:
            parts = []
    return [
        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value
    ]


def _values(node: ast.expr) -> list[ast.expr]:
    return node.values if isinstance(node, ast.Dict) else []


def _is_sentence(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and " " in node.value
        and node.value.endswith(".")
    )
