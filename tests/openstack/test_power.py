"""Switching real servers: every action, in the states that it may start from, and a sentence for what cannot be."""

import pytest
from tests.contract.suite import usable, wait_for
from tests.lab import control
from tests.lab.rest import Cloud, until
from tests.openstack.projects import Project

from portico.clouds.openstack import OpenStack
from portico.domain.model import Power, PowerAction, RootVolume
from portico.errors import CloudNotFound, CloudRefused

pytestmark = pytest.mark.timeout(300)


def built(project: Project, **values: object) -> tuple[OpenStack, str]:
    cloud = project.cloud()
    external_id = cloud.create(project.spec(**values))  # type: ignore[arg-type]
    wait_for(cloud, external_id, usable)
    return cloud, external_id


def switch(cloud: OpenStack, external_id: str, action: PowerAction, power: Power) -> None:
    cloud.power(external_id, action)
    wait_for(cloud, external_id, lambda machine: machine.power is power and machine.ready)


@pytest.mark.capability("S018", "S020", "S090")
def test_every_action_does_what_it_says(project: Project, broker: Cloud) -> None:
    """Pause, shelve and rebuild besides what every cloud has; what is done already is no trouble; what cannot be is told."""
    cloud, external_id = built(project)
    assert cloud.capabilities().power == frozenset(PowerAction)
    for action, power in (
        (PowerAction.START, Power.RUNNING),
        (PowerAction.PAUSE, Power.PAUSED),
        (PowerAction.UNPAUSE, Power.RUNNING),
        (PowerAction.SUSPEND, Power.SUSPENDED),
        (PowerAction.RESUME, Power.RUNNING),
        (PowerAction.SHELVE, Power.SHELVED),
        (PowerAction.UNSHELVE, Power.RUNNING),
        (PowerAction.REBUILD, Power.RUNNING),
        (PowerAction.REBOOT, Power.RUNNING),
        (PowerAction.SHUTDOWN, Power.STOPPED),
        (PowerAction.RESET, Power.RUNNING),
    ):
        switch(cloud, external_id, action, power)
    told = broker.get("compute", f"/servers/{external_id}/os-instance-actions")["instanceActions"]
    assert {one["action"] for one in told} >= {"pause", "suspend", "shelve", "unshelve", "rebuild", "reboot", "stop"}
    switch(cloud, external_id, PowerAction.PAUSE, Power.PAUSED)
    for action in (PowerAction.REBOOT, PowerAction.RESUME, PowerAction.SUSPEND):
        with pytest.raises(CloudRefused, match=f"is PAUSED and cannot {action} now. Unpause it first"):
            cloud.power(external_id, action)
    # The tags are those of a new machine: it is still known for ours.
    assert wait_for(cloud, external_id, lambda _: True).deployment_id == project.deployment


@pytest.mark.capability("S020", "S021")
def test_a_machine_on_a_volume_is_rebuilt_and_imaged(project: Project, broker: Cloud) -> None:
    """The root disk is a volume: rebuild makes it anew, a snapshot becomes an image that points to it."""
    cloud, external_id = built(project, volume=RootVolume(True, 1))
    image = wait_for(cloud, external_id, usable).image_id
    switch(cloud, external_id, PowerAction.STOP, Power.STOPPED)
    switch(cloud, external_id, PowerAction.START, Power.RUNNING)
    taken = cloud.snapshot(external_id, f"{project.mark}-image")
    until("the image is there", lambda: broker.get("image", f"/images/{taken}")["status"] == "active")
    assert wait_for(cloud, external_id, usable).image_id == image
    # The image needs the volume, so this is nobody's leak from now on.
    cloud.delete(external_id)
    assert cloud.belongings() == ()
    assert [one.split()[0] for one in project.holds()] == ["volumes"]


@pytest.mark.capability("S021", "S104")
def test_an_image_of_a_machine_can_be_chosen_afterwards(project: Project, broker: Cloud) -> None:
    """A snapshot's id is that of an image, which the menus show as soon as it is finished."""
    cloud, external_id = built(project)
    taken = cloud.snapshot(external_id, f"{project.mark}-image")
    until("the image is finished", lambda: broker.get("image", f"/images/{taken}")["status"] == "active")
    assert taken in {image.external_id for image in cloud.scan().images}
    assert taken in {choice.value for choice in cloud.choices().images}


@pytest.mark.capability("S090")
def test_a_console_shows_what_was_printed_and_where_the_screen_is(project: Project) -> None:
    """Text and the address of a screen; for a machine without either, a sentence."""
    cloud, external_id = built(project)
    console = cloud.console(external_id)
    assert console.text
    assert console.url.startswith("http")
    with pytest.raises(CloudNotFound):
        cloud.console("00000000-0000-4000-8000-000000000000")


@pytest.mark.capability("S020", "S090")
def test_a_busy_machine_is_waited_for_then_told(project: Project) -> None:
    """While Nova does something with a machine, an action waits for the end of it; a state that forbids it says the way out."""
    cloud, external_id = built(project)
    cloud.power(external_id, PowerAction.REBOOT)
    cloud.power(external_id, PowerAction.STOP)  # at once: the reboot is still under way
    wait_for(cloud, external_id, lambda machine: machine.power is Power.STOPPED)
    control.set_state(external_id, "error")
    with pytest.raises(CloudRefused, match="Reset or rebuild it, or delete it"):
        cloud.power(external_id, PowerAction.SUSPEND)
    switch(cloud, external_id, PowerAction.RESET, Power.RUNNING)


@pytest.mark.capability("S060", "S061", "S062")
def test_a_withheld_right_is_told_by_name(project: Project, broker: Cloud) -> None:
    """A user without the right to suspend is told so, in Nova's words, and everything else works."""
    cloud, external_id = built(project)
    limited = project.cloud(username="without-suspend")
    with pytest.raises(CloudRefused, match=r"no right to do this.*suspend"):
        limited.power(external_id, PowerAction.SUSPEND)
    limited.power(external_id, PowerAction.STOP)
    wait_for(cloud, external_id, lambda machine: machine.power is Power.STOPPED)
