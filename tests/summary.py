"""Add the last lines of several test runs up to one, in the runner's own form: `summary.py SECONDS LOG…`."""

import re
import sys
from collections import Counter
from pathlib import Path

SUMMARY = re.compile(r"^=+ (.*(?:passed|failed|error|no tests ran).*) in [\d.]+s.*=+$", re.MULTILINE)
ORDER = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning", "error")
WITH_PLURAL = ("warning", "error")


def added(texts: list[str]) -> Counter[str]:
    """Count the outcomes that the last summary of each text tells; a text without one counts as an error."""
    counts: Counter[str] = Counter()
    for text in texts:
        found = SUMMARY.findall(text)
        if not found:
            counts["error"] += 1
        for number, word in re.findall(r"(\d+) (\w+)", found[-1] if found else ""):
            counts[word.rstrip("s") if word.rstrip("s") in WITH_PLURAL else word] += int(number)
    return counts


def line(counts: Counter[str], seconds: int) -> str:
    """Return the summary as the test runner prints it."""
    words = []
    for outcome in ORDER:
        if count := counts[outcome]:
            words.append(f"{count} {outcome}{'s' if outcome in WITH_PLURAL and count != 1 else ''}")
    spent = f"{seconds}.00s ({seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02})"
    return f" {', '.join(words) or 'no tests ran'} in {spent} ".center(80, "=")


def main(argv: list[str]) -> int:
    """Print the sum; tell by the status whether all is well."""
    counts = added([Path(name).read_text("utf-8", "replace") for name in argv[2:]])
    print(line(counts, int(argv[1])))
    return 0 if counts["passed"] and not counts["failed"] and not counts["error"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
