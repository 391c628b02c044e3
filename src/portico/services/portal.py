"""What a person sees first: the desktops on offer, in three statements whatever the size of the fleet."""

from portico.domain.offers import OfferList, PoolFacts, shut_out
from portico.domain.offers import offers as decide
from portico.services.broker import Broker
from portico.services.guards import require_portal
from portico.services.sessions import SignedIn
from portico.store import assignments, desktops, pools
from portico.store.scope import Tenant


def offers(broker: Broker, me: SignedIn) -> OfferList:
    """Return what the user may open now, and why not more. Assigns nothing."""
    require_portal(me)
    if why := shut_out(me.user):
        return OfferList((), (("", why),))
    snapshot, now = broker.snapshots.get(), broker.now()
    lines = [line for line in me.policy.assignments if line.pool_id in snapshot.pools]
    pool_ids = [line.pool_id for line in lines]
    with broker.db.read() as conn:
        held = assignments.list_of_user(conn, Tenant(me.user.tenant_id), me.user.id)
        candidates = desktops.list_candidates(conn, list(dict.fromkeys(pool_ids)), me.user.id)
        standing = pools.get_standing(conn, pool_ids)
    facts = []
    for line in lines:
        pool, (count, stopped) = snapshot.pools[line.pool_id], standing[line.pool_id]
        limits = pool.provisioning.limits
        refilling = count.building > 0 or (
            limits.enabled and limits.start_below > 0 and count.total < limits.stop_at and not stopped
        )
        facts.append(PoolFacts(line, pool.name, tuple(candidates[line.pool_id]), count.total, refilling))
    existing = [
        (assignment, desktop, snapshot.pool_assignments.get(assignment.pool_assignment_id or ""))
        for assignment, desktop in held
    ]
    return decide(me.policy, facts, existing, me.user, now)
