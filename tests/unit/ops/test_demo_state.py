import os
import stat
import tempfile
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pytest

from portico.config import load
from portico.errors import Invalid
from portico.ops import demo_content, demo_state

pytestmark = pytest.mark.capability("S039")


@pytest.fixture
def state():
    """A directory that every account may pass, and short enough."""
    with tempfile.TemporaryDirectory(prefix="pd-", dir="/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory) / "demo"


def test_a_directory_of_somebody_else_is_not_touched(state):
    """A demo never empties a directory that it did not make."""
    state.mkdir()
    (state / "thesis.txt").write_text("years of work")
    with pytest.raises(Invalid, match="not empty"):
        demo_state.prepare(state, keep=False)
    demo_state.remove(state)
    assert (state / "thesis.txt").exists()


def test_what_an_earlier_demo_left_goes_unless_it_is_to_be_kept(state):
    """--keep finds everything again; without it a demo begins from nothing."""
    demo_state.prepare(state, keep=False)
    (state / "portico.db").write_text("")
    demo_state.prepare(state, keep=True)
    assert (state / "portico.db").exists()
    demo_state.prepare(state, keep=False)
    assert [path.name for path in state.iterdir()] == [demo_state.MARK]
    demo_state.remove(state)
    assert not state.exists()


def test_a_place_that_accounts_cannot_pass_is_refused(state):
    """Root, whose desktops have accounts of their own, is told which directory is in the way; others need no way in."""
    state.parent.chmod(0o700)
    with pytest.raises(Invalid, match="cannot pass") if os.geteuid() == 0 else nullcontext():
        demo_state.prepare(state, keep=False)


def test_two_demos_do_not_share_a_directory(state):
    """The second one is told which directory is taken."""
    with demo_state.taken(state), pytest.raises(Invalid, match="Another demo"), demo_state.taken(state):
        pass
    with demo_state.taken(state):
        pass


def test_the_settings_can_be_read_back(state):
    """The file that a demo writes is a valid configuration that only its owner may read."""
    state.mkdir()
    file = state / "portico.toml"
    demo_state.write_settings(file, demo_state.settings(state, 8443, "localhost"))
    config = load(file, {})
    assert config.state == state
    assert config.egress_allow == ("127.0.0.0/8",)
    assert len({config.listen, config.gateway_listen, config.rdgateway_listen, config.front_listen}) == 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(file.read_text())["public_url"] == "https://localhost:8443"


def test_passwords_are_new_each_time_and_long_enough():
    """Nobody can guess a demo's password."""
    made = {demo_content.password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 19 for password in made)


@pytest.mark.capability("S001")
def test_two_demos_that_start_together_choose_two_ports() -> None:
    with demo_state.front_port() as one, demo_state.front_port() as other:
        assert one != other
