"""Rights on a desktop, with accounts and groups that are really there: given for a session, and taken back after it."""

import grp
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from portico.agent.commands import Hands
from portico.agent.config import BadSettings, Settings, load
from portico.agent.linux import Eyes
from portico.agent.rights import Rights
from portico.agent.state import State

pytestmark = pytest.mark.capability("S047", "S077")


def program(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def names() -> Iterator[tuple[str, str, str]]:
    """An ordinary account and two groups of this machine, for the test alone."""
    mark = os.urandom(4).hex()
    account, admins, rdp = f"pt{mark}", f"pa{mark}", f"pr{mark}"
    program("/usr/sbin/groupadd", admins)
    program("/usr/sbin/groupadd", rdp)
    program("/usr/sbin/useradd", "--no-create-home", account)
    yield account, admins, rdp
    program("/usr/sbin/userdel", account)
    for group in (admins, rdp):
        program("/usr/sbin/groupdel", group)


def settings(directory: Path, admins: str, rdp: str, **more: object) -> Settings:
    file = directory / "agent.json"
    values = {
        "broker_url": "https://b", "ca_fingerprint": "ab" * 32, "state": str(directory / "state"),
        "groups": {"administrator": admins, "rdp": rdp}, **more,
    }  # fmt: skip
    file.write_text(json.dumps(values))
    return load(str(file))


def groups_of(account: str) -> set[str]:
    return {one.gr_name for one in grp.getgrall() if account in one.gr_mem}


def test_rights_are_given_and_taken_back_and_what_was_there_stays(tmp_path: Path, names: tuple[str, str, str]) -> None:
    account, admins, rdp = names
    program("gpasswd", "-a", account, rdp)  # by somebody else, before us
    chosen = settings(tmp_path, admins, rdp)
    rights = Rights(chosen, State(chosen.state))
    assert rights.settle(account, ["administrator", "rdp"]) == ["administrator", "rdp"]
    assert groups_of(account) == {admins, rdp}
    assert rights.settle(account, ["rdp"]) == ["rdp"]
    assert groups_of(account) == {rdp}
    assert rights.settle(account, []) == []
    assert groups_of(account) == {rdp}


def test_an_agent_that_died_takes_back_what_it_had_given(tmp_path: Path, names: tuple[str, str, str]) -> None:
    """The note is on disk before the membership: also when nothing came of it, and when both were done."""
    account, admins, rdp = names
    chosen = settings(tmp_path, admins, rdp)
    Rights(chosen, State(chosen.state)).settle(account, ["administrator"])
    State(chosen.state).note_group(account, rdp)  # killed between the note and the deed
    after = Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None)
    after.settle_rights()
    assert groups_of(account) == set()
    assert State(chosen.state).groups() == {}


def test_a_session_is_prepared_with_its_rights_and_an_older_broker_asks_for_none(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    account, admins, rdp = names

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        chosen = settings(tmp_path, admins, rdp, protocols={"dcv": server.getsockname()[1]})
        hands = Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None)
        ask = {"id": "1", "kind": "prepare", "protocol": "dcv", "user": account}
        assert "rights" not in hands.carry_out(ask)
        assert hands.carry_out({**ask, "rights": ["administrator", "to fly"]})["rights"] == ["administrator"]
        assert groups_of(account) == {admins}
        assert hands.carry_out({**ask, "rights": []})["rights"] == []
        assert groups_of(account) == set()


@pytest.mark.parametrize("account", ["root", "daemon", "nobody-of-this-name", "-a", ""])
def test_only_people_are_given_rights(tmp_path: Path, names: tuple[str, str, str], account: str) -> None:
    _, admins, rdp = names
    chosen = settings(tmp_path, admins, rdp)
    assert Rights(chosen, State(chosen.state)).settle(account, ["administrator"]) == []
    assert State(chosen.state).groups() == {}


def test_a_missing_group_gives_nothing_and_wrong_settings_are_refused(
    tmp_path: Path, names: tuple[str, str, str]
) -> None:
    account, _, rdp = names
    chosen = settings(tmp_path, "no-such-group", rdp)
    assert Rights(chosen, State(chosen.state)).settle(account, ["administrator", "rdp"]) == ["rdp"]
    for groups in ({"fly": "sudo"}, {"rdp": "-d root"}):
        with pytest.raises(BadSettings):
            settings(tmp_path, "sudo", "tsusers", groups=groups)


@pytest.mark.parametrize("kind", ["release", "leaving"])
def test_rights_of_an_rdp_session_end_with_it(tmp_path: Path, names: tuple[str, str, str], kind: str) -> None:
    """Nobody tells the agent of an RDP session: it goes by the connection, and by what the broker says."""
    account, admins, rdp = names
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        chosen = settings(tmp_path, admins, rdp, protocols={"rdp": port})
        hands = Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None)
        ask = {"id": "1", "kind": "prepare", "protocol": "rdp", "user": account, "rights": ["administrator"]}
        assert hands.carry_out(ask)["ok"]
        hands.settle_rights("vnc")
        assert groups_of(account) == {admins}  # expected, not here yet; what ended was something else
        if kind == "release":
            assert hands.carry_out({"id": "2", "kind": "log_out", "session": None})["ok"]
            assert groups_of(account) == set()
            return
        with socket.create_connection(("127.0.0.1", port)):
            # Another agent, as after a restart: who is connected keeps what they have.
            later = Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None)
            later.settle_rights()
            assert groups_of(account) == {admins}
            later.settle_rights()
        later.settle_rights()
        assert groups_of(account) == {admins}  # perhaps they come back: clients do so by themselves
    Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None).settle_rights()
    assert groups_of(account) == set()


def test_who_never_came_keeps_no_rights_over_a_restart(tmp_path: Path, names: tuple[str, str, str]) -> None:
    account, admins, rdp = names
    chosen = settings(tmp_path, admins, rdp)
    Rights(chosen, State(chosen.state)).settle(account, ["administrator"])
    State(chosen.state).expect("ssh", account)
    Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None).settle_rights()
    assert groups_of(account) == set()


def test_the_rights_of_who_stays_away_are_taken_back(tmp_path: Path, names: tuple[str, str, str]) -> None:
    """Without a restart, and without anything that the agent is told: some time after the last connection."""
    account, admins, rdp = names
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        chosen = settings(tmp_path, admins, rdp, protocols={"rdp": port})
        hands = Hands(chosen, State(chosen.state), Eyes(chosen), lambda: None, patience_seconds=0.2)
        with socket.create_connection(("127.0.0.1", port)):
            ask = {"id": "1", "kind": "prepare", "protocol": "rdp", "user": account, "rights": ["administrator"]}
            assert hands.carry_out(ask)["rights"] == ["administrator"]
            time.sleep(0.5)
            hands.settle_rights()
            assert groups_of(account) == {admins}  # longer than that, but they are at work
        until = time.monotonic() + 60
        while groups_of(account) and time.monotonic() < until:
            hands.settle_rights()
            time.sleep(0.05)
    assert groups_of(account) == set()
    assert State(chosen.state).groups() == {}
