"""Kill -9 at each numbered step of provisioning and deletion on a real project: the next broker finishes, and nothing is left."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drill import killed
from tests.fleet import Fleet
from tests.lab.facts import Facts
from tests.openstack.deployment import Deployment, deploy

from portico.clouds import openstack_build, openstack_remove, openstack_session
from portico.services import provision

BUILD = [
    "refill.before_commit", "refill.after_commit", "build.before_create", *openstack_build.FAULT_POINTS,
    "build.after_create", "build.after_record",
]  # fmt: skip
DELETE = ["delete.before_call", *openstack_remove.FAULT_POINTS, "delete.after_call", "delete.after_record"]
WHOLE = {"floating_ip": True, "volume": {"create": True}}  # all that a desktop may be made of
PARTS = {"machine": 1, "port": 1, "floating ip": 1, "volume": 1}


@pytest.fixture
def deployment(lab: Facts, tmp_path: Path, mark: str) -> Iterator[Deployment]:
    made = deploy(lab, tmp_path, mark)
    yield made
    made.broker.db.dispose()


def in_a_new_process(fleet: Fleet) -> None:
    openstack_session.forget()  # A connection is not shared by two processes.
    fleet.work()


def whole(deployment: Deployment) -> bool:
    """Whether there is one desktop, made of everything once, and nothing else."""
    held = deployment.held()
    (row,) = deployment.living()
    return (
        row.stage == "ready"
        and Counter(one.kind for one in held) == PARTS
        and {one.desktop_id for one in held} == {row.id}
        and {one.external_id for one in held if one.kind == "machine"} == {row.external_id}
    )


@pytest.mark.capability("S009", "S114", "S116")
@pytest.mark.parametrize("point", BUILD)
def test_killed_while_building(deployment: Deployment, point: str) -> None:
    pool = deployment.build_pool(1, WHOLE)

    def build(other: Fleet) -> None:
        openstack_session.forget()
        provision.refill(other.broker, pool)
        other.work()

    killed(deployment, point, build)
    deployment.settle(lambda: bool(deployment.living()) and whole(deployment), step=40)


@pytest.mark.capability("S011", "S027", "S113")
@pytest.mark.parametrize("point", DELETE)
def test_killed_while_deleting(deployment: Deployment, point: str) -> None:
    pool = deployment.build_pool(1, WHOLE)
    provision.refill(deployment.broker, pool)
    deployment.settle(lambda: bool(deployment.living()) and whole(deployment))
    deployment.limits(pool, 0, 0)
    (row,) = deployment.living()
    deployment.retire(row.id)
    killed(deployment, point, in_a_new_process)
    deployment.settle(lambda: not deployment.living() and not deployment.held(), step=40)
    assert deployment.codes().count("desktop.deleted") == 1


@pytest.mark.capability("S009", "S011")
@pytest.mark.parametrize("point", openstack_build.FAULT_POINTS[1:6])
def test_killed_while_building_what_is_then_not_wanted(deployment: Deployment, point: str) -> None:
    """The desktop is deleted before anybody knows what its create has made: the parts go all the same."""
    pool = deployment.build_pool(1, WHOLE)

    def build(other: Fleet) -> None:
        openstack_session.forget()
        provision.refill(other.broker, pool)
        other.work()

    killed(deployment, point, build)
    assert deployment.held()
    deployment.limits(pool, 0, 0)
    (row,) = deployment.living()
    deployment.retire(row.id)
    deployment.settle(lambda: not deployment.living() and not deployment.held(), step=40)
