"""The agent's own installer, run from the one file that it ships as, into the tree of an image."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from portico.agent.config import load
from portico.wire.packing import pack

pytestmark = pytest.mark.capability("S077", "S081")

FINGERPRINT = "ab" * 32
BOUND = ("--broker", "https://desktops.example.org", "--fingerprint", FINGERPRINT.upper())


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The packed agent, as a host has it that knows nothing of our source."""
    file = tmp_path / "agent.pyz"
    file.write_bytes(pack())
    return file


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The tree of an image with an OpenSSH server."""
    root = tmp_path / "image"
    (root / "etc/ssh/sshd_config.d").mkdir(parents=True)
    (root / "etc/ssh/sshd_config").write_text("Include /etc/ssh/sshd_config.d/*.conf\n")
    return root


def run(agent: Path, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the packed agent by itself."""
    return subprocess.run(
        [sys.executable, "-I", str(agent), *words], input=text, capture_output=True, text=True, timeout=60, cwd="/"
    )


def test_the_same_source_gives_the_same_file() -> None:
    """So that whoever pins a hash can."""
    assert pack() == pack()


def test_an_image_has_all_that_it_needs_to_start_the_agent(agent: Path, image: Path) -> None:
    """Program, settings that only root may read, and an enabled unit that starts the one with the other."""
    done = run(
        agent, "install", "--root", str(image), *BOUND, "--join-key-file", "-", "--protocol", "rdp=3389", text="key\n"
    )
    assert done.returncode == 0, done.stderr
    assert "key\n" not in done.stdout
    assert (image / "usr/lib/portico-agent/agent.pyz").read_bytes() == agent.read_bytes()
    file = image / "etc/portico/agent.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    settings = load(str(file))
    assert (settings.broker_url, settings.ca_fingerprint, settings.join_key) == (BOUND[1], FINGERPRINT, "key")
    assert settings.protocols == {"rdp": 3389}
    unit = image / "etc/systemd/system/portico-agent.service"
    assert (
        "ExecStart=/usr/bin/python3 -I /usr/lib/portico-agent/agent.pyz --config /etc/portico/agent.json\n"
        in unit.read_text()
    )
    wanted = image / "etc/systemd/system/multi-user.target.wants/portico-agent.service"
    assert str(wanted.readlink()) == "/etc/systemd/system/portico-agent.service"
    assert stat.S_IMODE((image / "var/lib/portico-agent").stat().st_mode) == 0o700


def test_a_second_installation_keeps_what_it_does_not_name(agent: Path, image: Path) -> None:
    """As an upgrade does."""
    run(agent, "install", "--root", str(image), *BOUND)
    assert run(agent, "install", "--root", str(image), "--port", "0").returncode == 0
    settings = load(str(image / "etc/portico/agent.json"))
    assert (settings.broker_url, settings.listen_port) == (BOUND[1], 0)


def test_without_a_broker_metadata_has_to_say_it(agent: Path, image: Path) -> None:
    """An image for any deployment."""
    assert run(agent, "install", "--root", str(image)).returncode == 0
    assert load(str(image / "etc/portico/agent.json")).metadata is True


@pytest.mark.capability("S057")
def test_a_terminal_account_is_one_that_sshd_accepts(agent: Path, image: Path) -> None:
    """sshd itself reads what was written, and holds the account to certificates and the session."""
    assert run(agent, "install", "--root", str(image), *BOUND, "--ssh-user", "desk").returncode == 0
    written = (image / "etc/ssh/sshd_config.d/50-portico.conf").read_text()
    key = image / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    config = image / "sshd_config"
    config.write_text(f"HostKey {key}\nPasswordAuthentication yes\n{written}")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it separates privileges; Debian's service makes it otherwise
    for user, own in (("desk", True), ("root", False)):
        argv = ["/usr/sbin/sshd", "-T", "-f", str(config), "-C", f"user={user},host=x,addr=192.0.2.1"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
        assert ("trustedusercakeys /etc/portico/ssh_user_ca.pub" in said) is own
        assert ("forcecommand exec tmux" in said) is own
        assert ("authenticationmethods publickey" in said) is own
    settings = load(str(image / "etc/portico/agent.json"))
    assert settings.ssh is not None
    assert (settings.login_user, settings.ssh.user_ca_file) == ("desk", "/etc/portico/ssh_user_ca.pub")
    assert settings.ssh.socket in written


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--broker", "https://b"), "go together"),
        (("--broker", "http://b", "--fingerprint", FINGERPRINT), "https://"),
        (("--broker", "https://b", "--fingerprint", "12"), "64 hexadecimal digits"),
        (("--protocol", "rdp"), "NAME=PORT"),
        (("--ssh-user", "root"), "ordinary account"),
        (("--join-key-file", "-"), "is empty"),
        (("--root", "/nowhere/at/all"), "no directory"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(agent: Path, image: Path, words: tuple[str, ...], said: str) -> None:
    """Before anything is written."""
    done = run(agent, "install", "--root", str(image), *words)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert said in done.stderr
    assert not (image / "etc/portico").exists()


def test_an_sshd_that_would_not_read_our_file_is_noticed(agent: Path, image: Path) -> None:
    """Older systems lack the Include line."""
    (image / "etc/ssh/sshd_config").write_text("# Include /etc/ssh/sshd_config.d/*.conf\n")
    done = run(agent, "install", "--root", str(image), "--ssh-user", "desk")
    assert done.returncode == 1
    assert "lacks the line" in done.stderr
