"""The command line against a real listener: every noun over REST alone."""

import csv
import io
import json
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from sqlalchemy import select
from tests.brokers import PASSWORD, actor
from tests.fleet import CENTER, Fleet, make_fleet
from tests.serving import quiet, serving, working

from portico.__main__ import main
from portico.cli import logins
from portico.cli.nouns import NOUNS
from portico.directories import saml_keys
from portico.ports.cloud import MachineSpec
from portico.services import configure, device_login
from portico.services.portal import offers
from portico.store import tables as t

pytestmark = pytest.mark.capability("S037", "S029")

Run = Callable[..., tuple[int, str, str]]
CERTIFICATE = saml_keys.read_pair(saml_keys.make_pair()).certificate_pem


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    made = make_fleet(tmp_path)
    yield made
    made.broker.db.dispose()


@pytest.fixture
def run(
    deployment: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Run `portico …` as an administrator who has logged in; gives status, output and what it complains of."""
    for name in ("PORTICO_TOKEN", "PORTICO_CA", "PORTICO_CA_FINGERPRINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def command(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(words)
        said = capsys.readouterr()
        return status, said.out, said.err

    with quiet(), serving(deployment.broker) as url:
        monkeypatch.setenv("PORTICO_URL", url)
        secret = tmp_path / "password"
        secret.write_text(PASSWORD + "\n")
        assert command("login", "--username", "admin", "--password-file", str(secret))[0] == 0
        yield command


def test_the_command_line_knows_every_noun_of_the_interface() -> None:
    assert sorted(NOUNS.values()) == sorted(configure.NOUNS)


def test_a_log_in_is_kept_for_its_user_alone_and_ends_at_log_out(run: Run) -> None:
    assert stat.S_IMODE(logins.stored_at().stat().st_mode) == 0o600
    assert run("pool", "list")[0] == 0
    assert run("logout")[0] == 0
    status, _, complaint = run("pool", "list")
    assert status == 4
    assert "portico login" in complaint


def test_a_noun_is_made_shown_changed_listed_and_deleted(run: Run) -> None:
    """The whole life of a pool, by its name, with nested fields by dotted paths."""
    status, out, _ = run("pool", "create", "--name", "Engineering", "--provisioning.limits.stop_at", "5",
                         "--provisioning.center_id", CENTER, "--provisioning.image", "fake-linux",
                         "--rule.own_builds", "on", "-f", "json")  # fmt: skip
    assert status == 0
    made = json.loads(out)
    assert made["provisioning"]["limits"]["stop_at"] == 5
    assert made["rule"]["own_builds"] is True
    assert run("pool", "set", "Engineering", "--notes", "for them")[0] == 0
    assert run("pool", "show", "Engineering", "-f", "value", "-c", "notes")[1] == "for them\n"
    assert run("pool", "show", made["id"], "-f", "value", "-c", "provisioning.limits.stop_at")[1] == "5\n"
    assert run("pool", "list", "-f", "value", "-c", "name")[1] == "Engineering\n"
    status, out, _ = run("pool", "delete", "Engineering", "--dry-run")
    assert (status, f"DELETE /api/v1/pools/{made['id']}" in out) == (0, True)
    assert run("pool", "delete", "Engineering")[0] == 0
    assert run("pool", "show", "Engineering")[0] == 1
    assert run("pool", "restore", made["id"])[0] == 0


def test_every_format_says_the_same(run: Run) -> None:
    """JSON, CSV, YAML, bare values and the table hold the same centers."""
    names = [one["name"] for one in json.loads(run("center", "list", "-f", "json")[1])]
    assert names == [CENTER]
    columns = ("-c", "name", "-c", "kind")
    assert list(csv.reader(io.StringIO(run("center", "list", "-f", "csv", *columns)[1]))) == [
        ["name", "kind"],
        [CENTER, "bare"],
    ]
    assert yaml.safe_load(run("center", "list", "-f", "yaml", *columns)[1]) == [{"name": CENTER, "kind": "bare"}]
    shown = yaml.safe_load(run("center", "show", CENTER, "-f", "yaml")[1])
    assert shown == json.loads(run("center", "show", CENTER, "-f", "json")[1])
    assert run("center", "list", "-f", "value", *columns)[1] == f"{CENTER} bare\n"
    head, rule, row = run("center", "list", *columns)[1].splitlines()
    assert (head.split(), set(rule), row.split()) == (["name", "kind"], {"-", " "}, [CENTER, "bare"])
    assert all(len(line) <= 200 for line in run("center", "list")[1].splitlines())


def test_lists_are_filtered_and_read_to_their_end(run: Run, deployment: Fleet) -> None:
    """More than a page is read whole, unless a limit is given."""
    deployment.desktops(510)
    assert len(run("desktop", "list", "-f", "value", "-c", "id")[1].splitlines()) == 510
    assert len(run("desktop", "list", "--limit", "7", "-f", "value", "-c", "id")[1].splitlines()) == 7
    assert run("desktop", "list", "--power", "stopped", "-f", "value")[1] == ""
    assert run("desktop", "list", "-q", "m509", "-f", "value", "-c", "name")[1] == "m509\n"


def test_actions_are_jobs_that_can_be_waited_for(run: Run, deployment: Fleet) -> None:
    """`--wait` ends with the job; what a cloud refuses is a status and a sentence."""
    (desktop,) = deployment.desktops(1)
    with working(deployment):
        status, out, _ = run("desktop", "power", desktop.name, "suspend", "--wait", "-f", "json")
        assert (status, json.loads(out)["state"]) == (0, "done")
        assert run("center", "scan", CENTER, "--wait")[0] == 0
    assert deployment.row(t.desktops, desktop.id).power == "suspended"
    status, _, complaint = run("desktop", "power", desktop.name, "rebuild")
    assert status in (1, 3)
    assert "cannot do" in complaint
    assert run("center", "check", CENTER)[0] == 0
    assert run("center", "usage", CENTER)[0] == 1  # this cloud counts nothing, and says so
    assert "fake-linux" in run("center", "choices", CENTER, "-f", "json")[1]


def test_what_to_enter_at_a_provider_is_printed(run: Run, deployment: Fleet) -> None:
    """For a provider that gives us a name itself, the addresses; a directory without a provider says so."""
    broker = deployment.broker
    oidc = {"issuer": "https://login.test", "client_id": "portico"}
    parts = {"sso_url": "https://idp.test/sso", "entity_id": "https://idp.test", "certificates": CERTIFICATE}
    for name, kind, settings in (("Staff", "oidc", oidc), ("Old", "saml", parts), ("Few", "list", {"people": ""})):
        configure.create_item(broker, actor(broker), "directories", {"name": name, "kind": kind, "settings": settings})
    shown = json.loads(run("directory", "provider-setup", "Staff", "-f", "json")[1])
    assert (shown["entity_id"], [url.partition("/login")[2] for url in shown["answers"]]) == ("", ["/back"])
    shown = json.loads(run("directory", "provider-setup", "Old", "-f", "json")[1])
    assert shown["entity_id"] == shown["metadata_url"]
    assert all(url.endswith("/acs") for url in shown["answers"])
    status, _, complaint = run("directory", "provider-setup", "Few")
    assert status
    assert "no provider" in complaint


def test_a_check_that_lacks_something_fails(run: Run) -> None:
    """A script sees from the status that a center cannot be used as it is."""
    assert run("center", "create", "--name", "empty", "--kind", "static")[0] == 0
    status, out, _ = run("center", "check", "empty")
    assert (status, "missing" in out) == (1, True)


def test_mistakes_name_the_field_and_the_remedy(run: Run) -> None:
    """Each refusal says what to do; the status tells mistakes from outages and from missing rights."""
    status, _, complaint = run("pool", "create", "--name", "x", "--provisioning.limits.start_below", "9")
    assert status == 2
    assert "provisioning.limits.stop_at: Give at least 9" in complaint
    status, _, complaint = run("pool", "create", "--name", "x", "--provisioning.limits.start_below", "many")
    assert (status, "Give a number" in complaint) == (2, True)
    status, _, complaint = run("pool", "show", "nowhere")
    assert (status, "nothing called nowhere" in complaint) == (1, True)
    with pytest.raises(SystemExit) as ended:
        run("pool", "explode")
    assert ended.value.code == 2
    status, _, complaint = run("pool", "list", "--url", "http://127.0.0.1:9")
    assert (status, "does not answer" in complaint) == (3, True)
    status, _, complaint = run("pool", "list", "--url", "http://192.0.2.1")
    assert (status, "Use https" in complaint) == (2, True)


def test_a_token_of_the_environment_wins(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = run("token", "create", "--name", "nightly", "-f", "json")
    assert status == 0
    token = next(value for key, value in json.loads(out).items() if key in ("token", "secret"))
    assert run("logout")[0] == 0
    monkeypatch.setenv("PORTICO_TOKEN", token)
    assert run("center", "list")[0] == 0
    monkeypatch.setenv("PORTICO_TOKEN", "wrong")
    assert run("center", "list")[0] == 4


@pytest.mark.capability("S048")
def test_a_programs_token_is_made_and_changed_by_command(
    run: Run, deployment: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the how-to says: the account, a token of it for some areas and networks, and its new secret."""
    status, out, _ = run(
        "user", "create", "--login_name", "nightly", "--role_id", "Administrator", "--service", "on", "-f", "json"
    )
    assert status == 0
    account = json.loads(out)["id"]
    status, out, _ = run("token", "create", "--name", "report", "--user_id", account, "--days", "30",
                         "--set", "scopes.pools=view", "--networks", "127.0.0.0/8,::1/128", "-f", "json")  # fmt: skip
    assert status == 0
    first = json.loads(out)
    row = deployment.rows(t.api_tokens)[0]
    assert (row.user_id, row.scopes) == (account, {"pools": "view"})
    assert row.networks == ["127.0.0.0/8", "::1/128"]
    status, out, _ = run("token", "rotate", first["id"], "--hours", "0", "-f", "json")
    assert status == 0
    later = json.loads(out)["secret"]
    assert run("logout")[0] == 0
    monkeypatch.setenv("PORTICO_TOKEN", first["secret"])
    assert run("pool", "list")[0] == 4
    monkeypatch.setenv("PORTICO_TOKEN", later)
    assert run("pool", "list")[0] == 0
    status, _, complaint = run("center", "list")
    assert (status, "does not let you" in complaint) == (4, True)


def test_references_are_given_by_name(run: Run, deployment: Fleet) -> None:
    """A field that refers to another thing takes its name."""
    role = next(row for row in deployment.rows(t.roles) if row.name == "User")
    status, out, _ = run("user", "create", "--login_name", "ada", "--role_id", "User", "-f", "json")
    assert status == 0
    assert json.loads(out)["role_id"] == role.id
    made = ("--name", "small", "--kind", "fake", "--set", "settings.quota=7", "--active", "off")
    assert run("center", "create", *made, "-f", "value", "-c", "settings.quota")[1] == "7\n"
    row = next(row for row in deployment.rows(t.centers) if row.name == "small")
    assert (row.body["active"], row.body["settings"]) == (False, {"quota": 7})


@pytest.mark.capability("S009", "S098")
def test_leaks_are_cleaned_after_they_were_shown(run: Run, deployment: Fleet) -> None:
    """A machine goes only when machines are asked for; a dry run deletes nothing; nobody to ask is a mistake."""
    deployment.cloud().create(MachineSpec(str(uuid4()), deployment.broker.deployment_id, "stray", "fake-linux"))
    deployment.scan()
    assert "stray" in run("leaks", "list")[1]
    assert "stray" not in run("leaks", "clean", "--yes")[1]
    assert "stray" in run("leaks", "clean", "--machines", "--dry-run")[1]
    assert len(deployment.machines().machines) == 1
    with working(deployment):
        assert run("leaks", "clean", "--machines", "--yes", "--wait")[0] == 0
    assert deployment.machines().machines == ()
    assert run("leaks", "list", "-f", "value")[1] == ""


def test_services_keep_their_commands(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """`portico broker` is the broker; `portico broker list` lists brokers."""
    assert run("broker", "list", "-f", "json")[0] == 0
    with pytest.raises(SystemExit):
        main(["broker", "--fast"])
    assert "--fast" in capsys.readouterr().err


@pytest.mark.capability("S029")
def test_a_broker_is_trusted_by_its_cas_fingerprint_and_no_other(
    deployment: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without it nothing is sent; with it the CA is kept, and the name in the certificate counts as well."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PORTICO_TOKEN", raising=False)
    (tmp_path / "password").write_text(PASSWORD)
    as_admin = ("login", "--username", "admin", "--password-file", str(tmp_path / "password"))
    ours = deployment.broker.keys.ca_fingerprint
    with quiet(), serving(deployment.broker, tmp_path) as url:
        monkeypatch.setenv("PORTICO_URL", url)
        assert main(as_admin) == 3
        assert "--ca-fingerprint" in capsys.readouterr().err
        assert main((*as_admin, "--ca-fingerprint", "0" * 64)) == 4
        assert main((*as_admin, "--ca-fingerprint", ours)) == 0
        assert main(["center", "list"]) == 0
        assert main(["logout"]) == 0
    with quiet(), serving(deployment.broker, tmp_path, ("agent.example",)) as url:
        monkeypatch.setenv("PORTICO_URL", url)
        assert main((*as_admin, "--ca-fingerprint", ours)) == 3
        assert "another name" in capsys.readouterr().err


def quick(run: Run, *words: str) -> tuple[int, str, str]:
    return run("quickstart", "--kind", "bare", "--center", "Cloud", *words)


@pytest.mark.capability("S086")
def test_quickstart_makes_what_is_missing_and_finds_it_again(run: Run, deployment: Fleet) -> None:
    """From nothing to a desktop that is offered, in one command; the second run makes nothing anew."""
    with working(deployment):
        status, out, complaint = quick(run, "--yes", "--image", "Fake Linux", "--flavor", "small", "--wait")
        assert status == 0, complaint
        assert out.startswith("http://127.0.0.1:")
        assert quick(run, "--yes", "--image", "Fake Linux", "--flavor", "small")[0] == 0
    (pool,) = deployment.rows(t.pools)
    made = pool.body["provisioning"]
    assert (pool.name, made["image"], made["flavor"], made["network"]) == (
        "Fake Linux",
        "fake-linux",
        "small",
        "fake-net",
    )
    (line,) = deployment.rows(t.pool_assignments, t.pool_assignments.c.deleted_at.is_(None))
    assert (line.policy_id, line.pool_id) == ("policy", pool.id)
    assert len(deployment.rows(t.centers, t.centers.c.name == "Cloud")) == 1
    assert [offer.pool_id for offer in _offers(deployment)] == [pool.id]


def _offers(fleet: Fleet) -> Any:
    fleet.broker.snapshots.get(fresh=True)
    return offers(fleet.broker, fleet.log_in()).offers


@pytest.mark.capability("S086")
def test_quickstart_asks_only_what_it_cannot_find_out(
    run: Run, deployment: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network is no question; an image, a flavor and floating IPs are chosen by an answer or by an option."""

    class Typing(io.StringIO):
        def isatty(self) -> bool:
            return True

    with working(deployment):
        status, _, complaint = quick(run, "--yes")
        assert status == 2
        assert "--image" in complaint
        assert "Fake Windows" in complaint
        monkeypatch.setattr("sys.stdin", Typing("9\n2\n1\nn\n"))
        status, _, said = quick(run, "--policy", "People", "--pool", "Drawing")
    assert status == 0, said
    assert "Which network" not in said
    (pool,) = deployment.rows(t.pools)
    assert (pool.name, pool.body["provisioning"]["image"]) == ("Drawing", "fake-windows")
    assert pool.body["provisioning"]["name_template"] == "drawing-{SEQUENCE}"
    (policy,) = deployment.rows(t.policies, t.policies.c.name == "People")
    assert [line.policy_id for line in deployment.rows(t.pool_assignments)] == [policy.id]


def test_a_browser_lets_the_command_line_in(run: Run, deployment: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    """`portico login --device` shows a code and waits for somebody's yes."""
    broker = deployment.broker
    me = deployment.log_in("admin")

    def say_yes() -> None:
        for _ in range(600):
            with broker.db.read() as conn:
                code = conn.scalar(select(t.device_logins.c.user_code))
            if code:
                device_login.decide(broker, me, code, approve=True)
                return
            time.sleep(0.05)

    thread = threading.Thread(target=say_yes)
    thread.start()
    status, out, err = run("login", "--device")
    thread.join(30)
    assert (status, "as admin" in out, "/device" in err) == (0, True, True)
    assert run("pool", "list")[0] == 0
