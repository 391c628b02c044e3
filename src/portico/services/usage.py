"""What a center's machines have used, month by month: as its cloud counts it, so that it can be charged for."""

from portico.domain import months
from portico.domain.access import Actor, Level
from portico.errors import CloudRefused, Invalid, NotFound
from portico.ports.cloud import Usage
from portico.services.broker import Broker
from portico.services.clouds import open_cloud
from portico.services.guards import require, scope_of
from portico.store import centers

MOST_MONTHS = 24


def by_month(broker: Broker, actor: Actor, center_id: str, number: int = 3) -> tuple[Usage, ...]:
    """Return the usage of the latest months (UTC), the current one first; each is one question to the cloud.

    Raises Invalid naming `months`, NotFound, Denied, CloudRefused where it is not counted, CloudError.
    """
    require(actor, "centers", Level.VIEW, narrowed=True)
    if not 1 <= number <= MOST_MONTHS:
        raise Invalid(
            "So many months cannot be asked for.", {"months": f"Give a number of months from 1 to {MOST_MONTHS}."}
        )
    with broker.db.read() as conn:
        center = centers.get(conn, scope_of(actor), center_id)
    if center is None:
        raise NotFound("There is no such center.")
    cloud = open_cloud(broker, center)
    if not cloud.capabilities().usage:
        raise CloudRefused("This center does not count what its machines use.", center.kind)
    return tuple(cloud.usage(since, until) for since, until in months.latest(broker.now(), number))
