"""The one line that two test runs end with."""

from collections import Counter

import pytest
from tests import summary

GREEN = "...\n================= 1817 passed, 2 warnings in 201.59s (0:03:21) =================\nmake: done\n"
RED = "=========== 1 failed, 40 passed, 1 warning in 12.01s ============\n"


@pytest.mark.capability("S029")
def test_the_outcomes_of_several_runs_are_added() -> None:
    counts = summary.added([GREEN, RED])
    assert counts == Counter(failed=1, passed=1857, warning=3)
    assert summary.line(counts, 3723).strip("=") == " 1 failed, 1857 passed, 3 warnings in 3723.00s (1:02:03) "


@pytest.mark.capability("S029")
def test_a_run_without_a_summary_is_an_error() -> None:
    assert summary.added([GREEN, "make: *** [lab] Error 1\n"])["error"] == 1
