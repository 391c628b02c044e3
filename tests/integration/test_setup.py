import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.capability("S039")


def setup(what, **environ):
    """Run tools/setup in the environment that these tests run in."""
    environ = {"VENV": os.environ.get("VENV", sys.prefix), **environ}
    return subprocess.run(
        [ROOT / "tools/setup", what],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_second_run_does_nothing_and_is_quick():
    """What is there is not fetched, installed or compiled again."""
    assert setup("test").returncode == 0
    began = time.monotonic()
    again = setup("test")
    seconds = time.monotonic() - began
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    print(f"second run: {seconds:.2f} s")


def test_what_it_does_not_know_is_refused():
    """A mistyped argument is answered with the right ones."""
    refused = setup("everything")
    assert refused.returncode == 2
    assert "tools/setup demo" in refused.stdout


def test_the_front_end_holds_what_the_pages_name():
    """The modules, styles and icons that pages refer to are where they look for them."""
    assert setup("python").returncode == 0
    vendor = ROOT / "src/portico/web/static/vendor"
    named = [
        "@novnc/novnc/core/rfb.js",
        "@novnc/novnc/vendor/pako/lib/zlib/inflate.js",
        "@xterm/xterm/lib/xterm.mjs",
        "@xterm/xterm/css/xterm.css",
        "@xterm/addon-fit/lib/addon-fit.mjs",
        "htmx.org/dist/htmx.min.js",
        "icons.svg",
    ]
    assert [name for name in named if not (vendor / name).exists()] == []
    sprite = (vendor / "icons.svg").read_text("utf-8")
    icons = [
        line.split("#")[0].strip() for line in (ROOT / "src/portico/web/icons.txt").read_text("utf-8").splitlines()
    ]
    assert [icon for icon in icons if icon and f'id="{icon}"' not in sprite] == []
