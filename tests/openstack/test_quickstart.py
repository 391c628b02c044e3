"""From a clouds.yaml to a pool that people are offered, on a real project."""

import json
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from tests.brokers import PASSWORD
from tests.fleet import make_fleet
from tests.serving import quiet, serving, working

from portico.__main__ import main
from portico.store import tables as t

pytestmark = pytest.mark.capability("S003", "S085", "S086")


def test_quickstart_leads_from_a_clouds_yaml_to_an_offer(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two commands to a center, a pool and a policy's line; what has to be chosen is named with all there is to choose from."""
    fleet = make_fleet(tmp_path)
    config = replace(fleet.broker.config, egress_allow=("127.0.0.0/8",))
    openstack = resolve_name("portico.clouds.openstack:OpenStack")
    fleet.broker = replace(
        fleet.broker, config=config, cloud_drivers={**fleet.broker.cloud_drivers, "openstack": openstack}
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("PORTICO_TOKEN", raising=False)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    clouds = tmp_path / "clouds.yaml"
    entry = {
        "auth": {"auth_url": lab.auth_url, "username": "broker", "password": lab.password, "project_name": "vdi",
                 "user_domain_name": "Default", "project_domain_name": "Default"},
        "region_name": lab.region,
    }  # fmt: skip
    clouds.write_text(json.dumps({"clouds": {"mine": entry, "other": {"auth": {"password": "not-to-be-seen"}}}}))
    words = ("quickstart", "--os-cloud", "mine", "--clouds-yaml", str(clouds), "--yes", "--pool", "First")
    # Nothing is built here: what a build needs has its own tests.
    chosen = ("--image", "linux-desktop", "--flavor", "desktop.small", "--network", "desktops", "--no-floating-ip",
              "--start-below", "0", "--stop-at", "0")  # fmt: skip

    with quiet(), serving(fleet.broker) as url, working(fleet):
        monkeypatch.setenv("PORTICO_URL", url)
        assert main(("login", "--username", "admin", "--password-file", str(password))) == 0
        assert main(words) == 2
        said = capsys.readouterr().err
        assert "Give --image one of:" in said
        assert "linux-desktop" in said
        for _ in range(2):
            assert main((*words, *chosen)) == 0, capsys.readouterr().err
        assert capsys.readouterr().out.endswith(f"{url}/\n")
    center = next(row for row in fleet.rows(t.centers) if row.name == "mine")
    assert (center.kind, center.status) == ("openstack", "online")
    assert lab.password not in json.dumps(center.body)
    (pool,) = fleet.rows(t.pools)
    made = pool.body["provisioning"]
    assert (made["center_id"], made["image"]) == (center.id, lab.images["linux-desktop"])
    assert made["network"] == lab.networks["vdi"]["desktops"]
    assert [line.pool_id for line in fleet.rows(t.pool_assignments)] == [pool.id]
    fleet.broker.db.dispose()
