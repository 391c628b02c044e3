"""What is extracted for translators besides marked texts: fields, errors, checks."""

import io

import pytest
from tools.field_texts import extract

SOURCE = b"""
NAME = Spec("Name", help="Unique.", unit="m")
size: Annotated[int, Meta("Size", "How large it is.", unit="GiB")] = 1
title = "A kind of cloud."
def check(wrong):
    wrong["name"] = "Fill this in."
    raise Invalid("It is wrong.", {"name": "Give another one."})
    raise Conflict(f"{wrong} cannot be said")
    return N_("Marked."), {"key": "value"}
"""


@pytest.mark.capability("S030")
def test_fields_and_errors_are_given_to_translators() -> None:
    """Titles, help and units of fields, the sentences of errors and of checks, and nothing that people never read."""
    found = {message for _, _, message, _ in extract(io.BytesIO(SOURCE), {"N_": None}, [], {})}
    assert found == {
        "Name", "Unique.", "m", "Size", "How large it is.", "GiB", "A kind of cloud.", "Fill this in.", "It is wrong.",
        "Give another one.", "Marked.",
    }  # fmt: skip
