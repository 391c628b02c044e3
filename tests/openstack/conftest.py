"""What tests on a real OpenStack share: the lab that `make test-openstack` has brought up, and its users."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.capabilities import ran_on
from tests.lab import control, facts
from tests.lab.facts import Facts
from tests.lab.rest import Cloud
from tests.openstack.projects import Project, make_project


@pytest.fixture(scope="session")
def lab() -> Facts:
    """What was seeded. The lab must be up: `make lab`."""
    return facts.load()


@pytest.fixture(autouse=True)
def _on_openstack(request: pytest.FixtureRequest) -> None:
    ran_on(request, "openstack")


@pytest.fixture(scope="session")
def as_user(lab: Facts) -> Callable[[str], Cloud]:
    """Log in as one of the lab's people, in their own project."""
    clouds: dict[str, Cloud] = {}

    def get(name: str) -> Cloud:
        if name not in clouds:
            clouds[name] = Cloud(name, lab.users[name]["project"])
        return clouds[name]

    return get


@pytest.fixture(scope="session")
def broker(as_user: Callable[[str], Cloud]) -> Cloud:
    """The project `vdi` as an ordinary member of it sees it."""
    return as_user("broker")


@pytest.fixture
def mark(lab: Facts) -> Iterator[str]:
    """A word to put into the names of all that a test makes in `vdi`; what carries it is gone afterwards."""
    word = f"t{uuid.uuid4().hex[:10]}"
    yield word
    control.purge("broker", "vdi", word)


@pytest.fixture
def project(lab: Facts, tmp_path: Path) -> Iterator[Project]:
    """The project `vdi` with a directory of this test's own, and without its remains afterwards."""
    made = make_project(lab, tmp_path)
    yield made
    made.clean()


@pytest.fixture
def limited(lab: Facts, tmp_path: Path) -> Iterator[Project]:
    """The project `vdi2`, whose quotas a test may change."""
    made = make_project(lab, tmp_path, "vdi2", "broker2")
    yield made
    made.clean()
