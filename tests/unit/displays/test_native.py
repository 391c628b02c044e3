"""What starts the clients of a device: golden launches, as their makers describe them, none tried with a real client."""

import xml.etree.ElementTree as ET
from configparser import ConfigParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portico.displays.native import Dcv, NoMachine, Pcoip, Rgs, Tgx
from portico.domain.model import Client, ProtocolPlan
from portico.ports.display import Display, LaunchContext, Target
from portico.wire.launch import KINDS

PLAN = ProtocolPlan("plan", "t", "Everyday")
TARGET = Target("gw.example", 20123, "Ada's desk")
CONTEXT = LaunchContext("c-1", Client("192.0.2.1", kind="connect"), "ada")
NXS = """\
<!DOCTYPE NXClientSettings>
<NXClientSettings version="2.3" application="nxclient">
  <group name="General">
    <option key="Connection service" value="nx" />
    <option key="NoMachine daemon port" value="20123" />
    <option key="Server host" value="gw.example" />
    <option key="Remember password" value="false" />
  </group>
  <group name="Login">
    <option key="User" value="ada" />
    <option key="Server authentication method" value="system" />
  </group>
</NXClientSettings>
"""
DCV = "[version]\nformat=1.0\n\n[connect]\nhost=gw.example\nport=20123\nuser=ada\n"
RGS = [
    "rgreceiver",
    "-Rgreceiver.Session.0.Hostname=gw.example:20123",
    "-Rgreceiver.Session.0.Username=ada",
    "-Rgreceiver.Session.0.IsConnectOnStartup=1",
]


@pytest.mark.parametrize(
    ("display", "launch"),
    [
        pytest.param(Rgs(), {"kind": "command", "argv": RGS, "stdin": ""}, marks=pytest.mark.capability("S053")),
        pytest.param(
            Tgx(),
            {"kind": "command", "argv": ["tgxreceiver", "gw.example:20123"], "stdin": ""},
            marks=pytest.mark.capability("S054"),
        ),
        pytest.param(
            Pcoip(), {"kind": "uri", "uri": "pcoip://gw.example/connect"}, marks=pytest.mark.capability("S055")
        ),
        pytest.param(
            NoMachine(),
            {"kind": "file", "name": "Ada-s-desk.nxs", "type": "application/x-nxs", "text": NXS},
            marks=pytest.mark.capability("S056"),
        ),
        pytest.param(
            Dcv(),
            {"kind": "file", "name": "Ada-s-desk.dcv", "type": "application/x-dcv", "text": DCV},
            marks=pytest.mark.capability("S049"),
        ),
    ],
)
def test_a_launch_is_what_its_maker_describes(display: Display, launch: dict[str, Any]) -> None:
    """Address and port are the gateway's, and no password is there."""
    assert display.launch(TARGET, PLAN, CONTEXT) == launch
    assert launch["kind"] in KINDS and not display.browser


@pytest.mark.capability("S049")
@given(st.text(), st.text(min_size=1), st.text())
def test_no_name_breaks_out_of_its_place(login: str, host: str, desktop: str) -> None:
    """Neither of a setting, nor of a line, nor of an argument."""
    target, context = Target(host, 4000, desktop), LaunchContext("c", CONTEXT.client, login)
    nxs = ET.fromstring(NoMachine().launch(target, PLAN, context)["text"])
    assert [group.get("name") for group in nxs] == ["General", "Login"] and len(nxs[0]) == 4 and len(nxs[1]) == 2
    dcv = ConfigParser(interpolation=None, strict=True)
    dcv.read_string(Dcv().launch(target, PLAN, context)["text"])
    assert dcv.sections() == ["version", "connect"] and set(dcv["connect"]) == {"host", "port", "user"}
    assert len(Rgs().launch(target, PLAN, context)["argv"]) == 4
    assert Pcoip().launch(target, PLAN, context)["uri"].count("/") == 3
