"""The contract of clouds on a real project: what the fake cloud and local desktops do, OpenStack does too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.contract.suite import Center, CloudContract
from tests.lab import control
from tests.lab.facts import Facts
from tests.openstack.projects import Project, make_project


@pytest.fixture
def project(lab: Facts, tmp_path: Path) -> Iterator[Project]:
    made = make_project(lab, tmp_path, "vdi2", "broker2")
    yield made
    made.clean()


@pytest.fixture
def center(project: Project, lab: Facts) -> Center:
    def limited(center: Center, number: int) -> object:
        used = len(control.admin("vdi2").listed("compute", "/servers"))
        project.limit(instances=used + number)
        return center.cloud()

    return Center("openstack", project.driver, project.state, lab.images["linux-desktop"], limited, project.defaults)


@pytest.fixture
def provisioning(center: Center) -> Center:
    return center


class TestContract(CloudContract):
    """On OpenStack."""
