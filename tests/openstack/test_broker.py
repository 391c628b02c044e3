"""A whole broker on a real project: pools that fill, refill and keep their limits, and nothing left when they end."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.fleet import Fleet, second
from tests.lab import control
from tests.lab.facts import Facts
from tests.lab.rest import Cloud
from tests.openstack.deployment import Deployment, deploy

from portico.services import provision


@pytest.fixture
def deployment(lab: Facts, tmp_path: Path, mark: str) -> Iterator[Deployment]:
    made = deploy(lab, tmp_path, mark)
    yield made
    made.broker.db.dispose()


@pytest.mark.capability("S009", "S093", "S095", "S098", "S105", "S107", "S109")
def test_a_pool_fills_refills_and_ends_without_a_trace(deployment: Deployment, broker: Cloud) -> None:
    """Each desktop is a server with a floating IP; one that is deleted outside is replaced; at the end the project is as it was."""
    pool = deployment.build_pool(2, {"floating_ip": True})
    provision.refill(deployment.broker, pool)
    deployment.settle(deployment.is_full(2))
    first = {row.id: row for row in deployment.living()}
    assert {row.name for row in first.values()} == {f"{deployment.mark}-1", f"{deployment.mark}-2"}
    assert all(row.address and row.public_address for row in first.values())
    assert Counter(one.kind for one in deployment.held()) == {"machine": 2, "port": 2, "floating ip": 2}

    lost = next(iter(first.values()))
    broker.delete("compute", f"/servers/{lost.external_id}")
    deployment.settle(lambda: deployment.is_full(2)() and lost.id not in {row.id for row in deployment.living()})

    deployment.limits(pool, 0, 0)
    for row in deployment.living():
        deployment.retire(row.id)
    deployment.settle(lambda: not deployment.living())
    # The one that was deleted outside has left a port and an address, which the reconciler shows and an administrator removes.
    left = deployment.held()
    assert {one.kind for one in left} <= {"port", "floating ip"}
    assert {one.desktop_id for one in left} <= {lost.id}


@pytest.mark.capability("S096", "S098", "S114")
def test_two_brokers_never_build_more_than_the_limit(deployment: Deployment) -> None:
    """Both refill at once, again and again; desktops in flight count for both."""
    pool = deployment.build_pool(2)
    other = second(deployment)

    def refill(fleet: Fleet) -> None:
        for _ in range(5):
            provision.refill(fleet.broker, pool)
            fleet.work()

    with ThreadPoolExecutor(2) as both:
        list(both.map(refill, (deployment, other)))
    deployment.settle(deployment.is_full(2))
    other.broker.db.dispose()
    assert len(deployment.living()) == 2
    assert Counter(one.kind for one in deployment.held()) == {"machine": 2, "port": 2}


@pytest.mark.capability("S009")
def test_an_error_of_the_cloud_is_deleted_and_tried_again(deployment: Deployment) -> None:
    """A server that ends in ERROR goes, its reason is told, and the next try succeeds."""
    pool = deployment.build_pool(1)
    with control.builds(deployment.mark, error="The hypervisor is out of order."):
        provision.refill(deployment.broker, pool)
        deployment.settle(lambda: "desktop.build_failed" in deployment.codes())
    deployment.settle(deployment.is_full(1))
    assert Counter(one.kind for one in deployment.held()) == {"machine": 1, "port": 1}
