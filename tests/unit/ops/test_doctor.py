import socket

import pytest

from portico.ops.demo_state import free_port
from portico.ops.doctor import examine

pytestmark = pytest.mark.capability("S029")


def wrong(findings):
    """Return the names of what is wrong."""
    return {finding.name for finding in findings if finding.state == "wrong"}


def test_every_problem_is_named_at_once(tmp_path):
    """One run of the doctor tells all that is wrong, each with its remedy."""
    file, taken = tmp_path / "portico.toml", f"127.0.0.1:{free_port()}"
    file.write_text(
        f'state = "{tmp_path}"\npublic_url = "http://x"\nlisten = "8444"\nfront_listen = "{taken}"\n'
        f'gateway_listen = "{taken}"\ndatabase = "postgresql+psycopg://u:geheim@127.0.0.1:1/x"\n'
    )
    findings = examine(file)
    assert wrong(findings) == {"public_url", "listen", "front_listen", "database"}
    assert all(finding.remedy for finding in findings if finding.state == "wrong")
    assert not any("geheim" in finding.remedy for finding in findings)


def test_a_configuration_that_cannot_be_read_does_not_hide_the_rest(tmp_path):
    """Each unknown key is a finding, and the machine is looked at all the same."""
    file = tmp_path / "portico.toml"
    file.write_text('colour = "red"\nshape = "round"\n')
    findings = examine(file)
    assert len([finding for finding in findings if finding.name == "configuration"]) == 2
    assert any(finding.name == "desktops on this machine" for finding in findings)


def test_a_port_in_use_is_a_note_and_not_a_fault(tmp_path):
    """A running Portico holds its own ports: that is said, and is not wrong."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        file = tmp_path / "portico.toml"
        file.write_text(f'state = "{tmp_path}"\nlisten = "127.0.0.1:{port}"\n')
        found = next(finding for finding in examine(file) if finding.name == "listen")
    assert (found.state, "in use" in found.remedy) == ("note", True)
