"""The driver of OpenStack passes the suite that every driver passes, on real services."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.suite import (  # noqa: F401 - the tests that every driver passes
    Center,
    test_a_deleted_machine_is_gone_and_stays_so,
    test_a_foreign_image_is_refused,
    test_a_full_scan_is_complete_and_says_so,
    test_an_unknown_machine_is_deleted_already_and_cannot_be_switched,
    test_check_and_choices_answer,
    test_creating_twice_makes_one_machine_that_carries_our_tags,
    test_one_machine_is_looked_at_alone,
    test_power_goes_round,
    test_the_quota_is_a_no_of_its_own_kind,
    test_what_a_cloud_lacks_is_refused_with_a_sentence,
    test_what_carries_our_tag_is_listed_and_can_be_removed,
)
from tests.lab import control
from tests.lab.facts import Facts

from portico.clouds.openstack import OpenStack
from portico.clouds.openstack_settings import OpenStackSettings
from portico.ports.cloud import CloudContext


@pytest.fixture
def provisioning(lab: Facts, tmp_path: Path, mark: str) -> Iterator[Center]:
    """A center in the project `vdi`; asked for a quota, it is the project `small`, whose quota is made that small."""
    state = tmp_path / mark
    state.mkdir()
    limited = []

    def make(context: CloudContext, quota: int = 0, **settings: Any) -> OpenStack:
        user, project = ("broker-small", "small") if quota else ("broker", "vdi")
        if quota:
            control.set_compute_quota(lab.projects[project], instances=quota)
            limited.append(project)
        used = OpenStackSettings(
            auth_url=lab.auth_url, username=user, password=lab.password, project=project, **settings
        )
        return OpenStack(used, CloudContext(context.deployment_id, context.center_id, context.state, ("127.0.0.0/8",)))

    values = {"flavor": "desktop.small", "network": "desktops"}
    yield Center(make, state, lab.images["linux-desktop"], values, tells_protocols=False, pause=0.5)
    if limited:
        control.purge("broker-small", "small", mark)
        control.set_compute_quota(lab.projects["small"], instances=2)


@pytest.fixture
def center(provisioning: Center) -> Center:
    return provisioning
