"""Sweeping: what was made along with a machine, an address, a volume or a port, when that machine went by itself.

A machine that somebody deletes in the cloud leaves these behind. They are removed where the desktop's row says that they are its own
and that it has ended; whatever is not so plain is left to the list of leaks and to an administrator.
"""

from portico.domain import leaks as rules
from portico.services.broker import Broker
from portico.services.claims import Claim
from portico.services.clouds import open_cloud
from portico.store import centers, desktops
from portico.store import leaks as store
from portico.store.scope import System

_SCOPE = System("sweeping")


def sweep(broker: Broker, center_id: str, claim: Claim) -> None:
    """Remove the loose parts of a center's ended desktops. Raises CloudError when the center cannot tell what it holds."""
    with broker.db.read() as conn:
        center = centers.get(conn, _SCOPE, center_id)
    if center is None or not center.active:
        return
    cloud = open_cloud(broker, center)
    held = cloud.belongings()
    named = sorted({one.desktop_id for one in held if one.desktop_id})
    with broker.db.write() as conn:  # after the list, so that whatever came into being meanwhile has its row
        claim.check(conn)
        rows, _ = desktops.list_of_tags(conn, center_id, named)
        judged = {(row.kind, row.external_id) for row in store.list_of_center(conn, center_id)}
    ended = {row.id for row in rows if row.deleted_at is not None and row.built_for_pool}
    for one in rules.loose_parts(held, ended):
        if (one.kind, one.external_id) not in judged:
            cloud.remove(one)
