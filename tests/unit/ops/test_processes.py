import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from portico.ops.processes import Broken, Console, Process, wait_until

pytestmark = pytest.mark.capability("S039")


def start(tmp_path, code, show=len):
    """Start a small Python program under the name "part"."""
    return Process("part", [sys.executable, "-uc", textwrap.dedent(code)], os.environ, tmp_path / "part.log", show)


def is_running(pid):
    """Tell whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_output_is_shown_kept_and_logged_without_escapes(tmp_path):
    """What a part says reaches the log, the file and its story, and cannot play with the terminal."""
    shown = []
    process = start(tmp_path, r"print('\x1b[31mred\x1b[0m \x07text'); print(b'\xff'.decode('latin1'))", shown.append)
    wait_until("the end", lambda: process.status() is not None, 30)
    process.stop()
    assert shown == ["red text", "ÿ"]
    assert process.story() == "red text\nÿ"
    assert (tmp_path / "part.log").read_text("utf-8") == "red text\nÿ\n"


def test_a_part_that_ends_while_waiting_breaks_the_wait_with_its_last_words(tmp_path):
    """Nobody waits for a part that has ended, and its own words are told."""
    process = start(tmp_path, "import sys; print('no port'); sys.exit(3)")
    with pytest.raises(Broken) as caught:
        wait_until("readiness", lambda: False, 30, [process])
    assert "status 3" in caught.value.sentence
    assert "no port" in caught.value.detail


def test_a_wait_ends_at_its_deadline_and_names_what_it_waited_for(tmp_path):
    """A step that never comes is named, with what the parts said last."""
    process = start(tmp_path, "import time; print('still here'); time.sleep(600)")
    wait_until("a word", lambda: "still here" in process.story(), 30, [process])
    with pytest.raises(Broken, match="a desktop took longer") as caught:
        wait_until("a desktop", lambda: False, 0.3, [process])
    assert "still here" in caught.value.detail
    process.stop()


def test_a_part_that_will_not_end_is_killed_with_all_that_it_started(tmp_path):
    """Stop comes back in time, even from a part that ignores it."""
    process = start(
        tmp_path,
        """
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid)
        time.sleep(600)
        """,
    )
    wait_until("the child", lambda: process.story().isdigit(), 30, [process])
    child = int(process.story())
    process.stop(0.2)
    assert process.status() == -signal.SIGKILL
    wait_until("the end of the child", lambda: not is_running(child), 30)
    process.stop()


def test_parts_die_with_whoever_started_them(tmp_path):
    """When the demo itself is killed, its parts do not stay behind."""
    code = f"""
        import sys, time
        from pathlib import Path
        from portico.ops.processes import Process
        argv = ["sh", "-c", "echo $$; exec sleep 600"]
        Process("part", argv, {dict(os.environ)!r}, Path({str(tmp_path / "log")!r}), lambda line: print(line, flush=True))
        time.sleep(600)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    wait_until("the part", lambda: is_running(pid), 30)
    parent.kill()
    parent.communicate()
    wait_until("the end of the part", lambda: not is_running(pid), 30)


def test_each_line_stands_behind_the_name_of_its_part(capsys):
    """One log, readable, with colours only where they are wanted."""
    console = Console(colours=False)
    console.voice("broker")("started")
    assert capsys.readouterr().out == "broker   │ started\n"
    Console(colours=True).voice("gateway")("started")
    assert capsys.readouterr().out == "\x1b[36mgateway \x1b[0m │ started\n"
