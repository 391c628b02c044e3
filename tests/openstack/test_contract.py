"""The contract of clouds on a real project: what the fake cloud and local desktops do, OpenStack does too."""

import pytest
from tests.contract.suite import Center, CloudContract
from tests.lab.facts import Facts
from tests.openstack.projects import Project


@pytest.fixture
def center(limited: Project, lab: Facts) -> Center:
    def with_quota(center: Center, number: int) -> object:
        limited.room(instances=number)
        return center.cloud()

    return Center("openstack", limited.driver, limited.state, lab.images["linux-desktop"], with_quota, limited.defaults)


@pytest.fixture
def provisioning(center: Center) -> Center:
    return center


class TestContract(CloudContract):
    """On OpenStack."""
