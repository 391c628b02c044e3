"""The table of capability lines: what stands in it, what state a line is in, and how it is printed. Standard library only."""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LINES = Path(__file__).resolve().parent.parent / "docs" / "reference" / "capabilities.md"

# Lines that only a real OpenStack can prove, besides those tagged [openstack].
NEED_OPENSTACK = {"S009", "S010", "S011", "S012", *(f"S{n:03}" for n in (*range(25, 28), *range(93, 114)))}


def capability_lines(text: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Read docs/reference/capabilities.md: id → (phrase, tags). A line reads `- S095 [broker][db] Phrase.`"""
    found = re.findall(r"^- (S\d{3}) ((?:\[\w+\])+) (.+)$", text, re.MULTILINE)
    return {line: (phrase, frozenset(re.findall(r"\w+", tags))) for line, tags, phrase in found}


def state_of(line: str, tags: Iterable[str], outcomes: Iterable[str], on: Iterable[str]) -> str:
    """Tell the state of a line from the outcomes of its tests and from what the passing ones ran on."""
    outcomes, on = set(outcomes), set(on)
    if "failed" in outcomes:
        return "fails"
    if "passed" not in outcomes:
        return "none"
    if (line in NEED_OPENSTACK or "openstack" in set(tags)) and "openstack" not in on:
        return "unverified"
    return "unverified" if on <= {"recorded"} else "works"


def table(lines: Mapping[str, tuple[str, frozenset[str]]], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put the results of tests, by test id, together to one entry for each line."""
    made: dict[str, Any] = {}
    for line, (_, tags) in lines.items():
        mine = {test: result for test, result in results.items() if line in result["capabilities"]}
        on = {place for result in mine.values() if result["outcome"] == "passed" for place in result["on"]}
        state = state_of(line, tags, (result["outcome"] for result in mine.values()), on)
        made[line] = {"state": state, "tests": sorted(mine), "on": sorted(on)}
    return made


def merged(lines: Mapping[str, tuple[str, frozenset[str]]], tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put tables of several runs together: a line works when one of them proves it and none of them fails."""
    tables, made = list(tables), {}
    for line, (_, tags) in lines.items():
        mine = [one[line] for one in tables if line in one]
        states = {entry["state"] for entry in mine}
        outcomes = {"failed"} if "fails" in states else {"passed"} if states - {"none"} else set()
        on = {place for entry in mine for place in entry["on"]}
        tests = sorted({test for entry in mine for test in entry["tests"]})
        made[line] = {"state": state_of(line, tags, outcomes, on), "tests": tests, "on": sorted(on)}
    return made


def main(argv: list[str]) -> int:
    """Print files made by --capabilities as one table."""
    paths = [path for path in map(Path, argv[1:]) if path.exists()]
    if not paths:
        print(f"{argv[1]} is not there: `make test` makes it.", file=sys.stderr)
        return 1
    lines = capability_lines(LINES.read_text("utf-8"))
    made = merged(lines, (json.loads(path.read_text("utf-8")) for path in paths))
    counts: dict[str, int] = {}
    for line, (phrase, _) in lines.items():
        entry = made[line]
        counts[entry["state"]] = counts.get(entry["state"], 0) + 1
        print(f"{line}  {entry['state']:10}  {len(entry['tests']):3}  {','.join(entry['on']):24.24}  {phrase}")
    print("  ".join(f"{state}: {count}" for state, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
