import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from portico.__main__ import COMMANDS
from portico.config import Config

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

pytestmark = pytest.mark.capability("S029")


def name(path):
    """Return a page's name below the root."""
    return str(path.relative_to(ROOT))


def tokens(page):
    """Yield all tokens of a page, those within lines included."""
    for token in MarkdownIt("commonmark").parse(page.read_text("utf-8")):
        yield token
        yield from token.children or ()


def make_targets():
    """Return the targets of the Makefile."""
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    """A link or picture of the documentation is a file that is there."""
    links = [
        token.attrs.get("href") or token.attrs.get("src")
        for token in tokens(page)
        if token.type in ("link_open", "image")
    ]
    local = [
        str(link).split("#")[0] for link in links if link and "://" not in str(link) and not str(link).startswith("#")
    ]
    assert [link for link in local if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_is_shown_exists(page):
    """What a page tells people to type is a target of make, a tool of ours, or a command of portico."""
    wrong = []
    for token in tokens(page):
        if token.type != "fence" or token.info != "console":
            continue
        for line in token.content.splitlines():
            words = line.removeprefix("$ ").split()
            known = (
                (words[0] == "make" and words[1] in make_targets())
                or (words[0].startswith("tools/") and (ROOT / words[0]).exists())
                or (words[0].endswith("portico") and words[1] in COMMANDS)
            )
            if not (line.startswith("$ ") and known):
                wrong.append(line)
    assert wrong == []


def test_every_target_and_command_in_a_sentence_exists():
    """`make x` and `portico x` in running text name what there is."""
    wrong = []
    for page in PAGES:
        inline = [token.content for token in tokens(page) if token.type == "code_inline"]
        wrong += [text for text in inline if re.match(r"make [a-z-]+", text) and text.split()[1] not in make_targets()]
        wrong += [text for text in inline if re.match(r"portico [a-z]+", text) and text.split()[1] not in COMMANDS]
    assert wrong == []


def test_every_setting_is_documented():
    """Each field of the configuration stands in its reference, with a meaning."""
    rows = (ROOT / "docs/reference/configuration.md").read_text("utf-8").splitlines()
    for field in dataclasses.fields(Config):
        row = next((row for row in rows if row.startswith(f"| `{field.name}` |")), "")
        assert row, f"{field.name} is missing: run make reference"
        assert row.split("|")[-2].strip(), f"{field.name} has no comment in config.py to explain it"


def test_the_reference_is_up_to_date(tmp_path):
    """Writing the generated pages anew changes nothing."""
    pages = [ROOT / "docs/reference/configuration.md", ROOT / "docs/reference/commands.md"]
    code = f"import runpy, pathlib; m = runpy.run_path({str(ROOT / 'tools/reference')!r}); print(m['configuration'](), m['commands'](), sep='\\0', end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [page.read_text("utf-8") for page in pages] == done.stdout.split("\0"), "run make reference"


def test_the_help_of_make_names_every_public_target():
    """`make help` shows each target that has a purpose of its own."""
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {
        "demo",
        "demo-check",
        "test",
        "check",
        "test-openstack",
        "lab",
        "lab-down",
        "lab-e2e",
        "test-full",
        "bench",
        "capabilities",
        "setup",
        "lock",
        "clean",
        "messages",
    }
    assert wanted <= set(re.findall(r"make ([a-z0-9-]+)", shown))


def test_no_lock_file_names_a_registry():
    """Whoever installs uses their own registries."""
    constraints = (ROOT / "constraints.txt").read_text("utf-8")
    lock = (ROOT / "src/portico/web/package-lock.json").read_text("utf-8")
    assert "://" not in constraints
    assert '"resolved"' not in lock
