import subprocess
import sys

import pytest

from portico.__main__ import COMMANDS, main

pytestmark = pytest.mark.capability("S029")


def test_a_wrong_command_is_answered_with_the_right_ones(capsys):
    """Whoever mistypes sees what there is."""
    with pytest.raises(SystemExit) as caught:
        main(["brokr"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "broker" in said
    assert "gateway" in said


def test_a_command_passes_its_own_arguments_on(capsys):
    """`portico demo --help` is answered by the demo itself."""
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--help"])
    assert caught.value.code == 0
    assert "--keep" in capsys.readouterr().out


def test_arguments_of_nobody_are_refused(capsys):
    """A command that takes none says so before anything starts."""
    with pytest.raises(SystemExit):
        main(["broker", "--fast"])
    assert "--fast" in capsys.readouterr().err


def test_each_command_can_be_asked_for_help():
    """The table builds a parser for every command."""
    assert set(COMMANDS) >= {"broker", "gateway", "front", "agent", "demo", "doctor", "db"}


@pytest.mark.capability("S080")
def test_the_agent_needs_the_standard_library_alone():
    """Nothing but the standard library is imported on the way to the agent."""
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "import portico.__main__, portico.config\n"
        "assert not {'structlog', 'sqlalchemy', 'babel'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
