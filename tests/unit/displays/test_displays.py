import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.displays.rdp import TEMPLATE, Rdp
from portico.displays.ssh import Ssh
from portico.displays.vnc import Vnc
from portico.domain.model import Client, ProtocolPlan
from portico.ports.display import Display, LaunchContext, Target
from portico.wire.launch import KINDS

pytestmark = pytest.mark.capability("S049")

PLAN = ProtocolPlan("plan", "t", "Everyday")
TARGET = Target("10.0.0.5", 3390, "Ada’s desk")
BROWSER = LaunchContext("c-1", Client("192.0.2.1"), "ada")
NATIVE = LaunchContext("c-1", Client("192.0.2.1", kind="connect"), "ada")

RDP_FILE = """\
full address:s:10.0.0.5
server port:i:3390
username:s:ada
prompt for credentials:i:0
enablecredsspsupport:i:1
negotiate security layer:i:1
authentication level:i:2
screen mode id:i:2
dynamic resolution:i:1
session bpp:i:32
audiomode:i:0
keyboardhook:i:2
redirectclipboard:i:1
redirectprinters:i:1
redirectsmartcards:i:0
drivestoredirect:s:*
devicestoredirect:s:
autoreconnection enabled:i:1
networkautodetect:i:1
bandwidthautodetect:i:1
connection type:i:7
"""


@pytest.mark.parametrize(
    ("display", "target", "context", "launch"),
    [
        (Vnc(), TARGET, BROWSER, {"kind": "browser", "url": "/connections/c-1"}),
        (Vnc(), TARGET, NATIVE, {"kind": "uri", "uri": "vnc://10.0.0.5:3390"}),
        (Vnc(), Target("2001:db8::5", 5900, "d"), NATIVE, {"kind": "uri", "uri": "vnc://[2001:db8::5]:5900"}),
        (Rdp(), TARGET, BROWSER, {"kind": "browser", "url": "/connections/c-1"}),
        (Ssh(), TARGET, BROWSER, {"kind": "browser", "url": "/connections/c-1"}),
        (
            Ssh(),
            TARGET,
            NATIVE,
            {"kind": "command", "argv": ["ssh", "-p", "3390", "-l", "ada", "--", "10.0.0.5"], "stdin": ""},
        ),
        (
            Rdp(),
            TARGET,
            NATIVE,
            {
                "kind": "file",
                "name": "Adas-desk.rdp",
                "type": "application/x-rdp",
                "text": RDP_FILE.replace("\n", "\r\n"),
            },
        ),
    ],
)
def test_a_launch_is_what_the_client_needs(
    display: Display, target: Target, context: LaunchContext, launch: dict[str, Any]
) -> None:
    assert display.launch(target, PLAN, context) == launch
    assert launch["kind"] in KINDS


def test_a_watching_user_gets_a_watching_viewer() -> None:
    plan = ProtocolPlan("plan", "t", "Watch", view_only=True)
    assert Vnc().launch(TARGET, plan, NATIVE)["uri"].endswith("?ViewOnly=true")


@pytest.mark.parametrize("switch", ["clipboard_in", "clipboard_out"])
def test_a_clipboard_that_is_forbidden_one_way_is_off(switch: str) -> None:
    plan = ProtocolPlan("plan", "t", "Closed", **{switch: False})
    assert "redirectclipboard:i:0\r\n" in Rdp().launch(TARGET, plan, NATIVE)["text"]


@given(st.text(), st.text(), st.text())
def test_no_name_adds_a_line_or_an_option(login: str, host: str, desktop: str) -> None:
    context = LaunchContext("c", NATIVE.client, login)
    rdp = Rdp().launch(Target(host, 3389, desktop), PLAN, context)
    assert rdp["text"].count("\r\n") == len(rdp["text"].splitlines()) == len(TEMPLATE.splitlines())
    assert set(rdp["name"]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.")
    argv = Ssh().launch(Target(host, 22, desktop), PLAN, context)["argv"]
    options = [word for word in argv[: argv.index("--")] if word.startswith("-")]
    assert set(options) <= {"-p", "-l"}
    assert len(argv) == argv.index("--") + 2


@pytest.mark.capability("S059")
def test_protocols_are_found_by_their_entry_points() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))
    for name, where in project["project"]["entry-points"]["portico.displays"].items():
        module, _, attribute = where.partition(":")
        display = getattr(import_module(module), attribute)()
        assert display.kind == name
        assert 0 < display.default_port < 65536
