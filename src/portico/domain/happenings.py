"""What each event of the audit trail says: message ids for gettext, with named placeholders that its params fill.

What is the same for every noun that administrators write stands under "*": "pool.created" is found as "*.created".
"""

from collections.abc import Mapping

from portico.domain.sentences import N_

EVENTS: Mapping[str, str] = {
    "*.created": N_("Made: %(name)s"),
    "*.changed": N_("Changed: %(name)s"),
    "*.deleted": N_("Deleted: %(name)s"),
    "*.restored": N_("Brought back: %(name)s"),
    "agent.enrolled": N_("The agent of %(desktop)s has enrolled."),
    "assignment.assigned": N_("%(desktop)s was given to its user."),
    "assignment.connected": N_("The user is at work on %(desktop)s."),
    "assignment.disconnected": N_("The user left %(desktop)s; what runs there goes on."),
    "assignment.logged_out": N_("The user logged out of %(desktop)s."),
    "assignment.releasing": N_("%(desktop)s is being taken back."),
    "assignment.released": N_("%(desktop)s is nobody's again."),
    "center.offline": N_("The center %(center)s does not answer. %(detail)s"),
    "center.online": N_("The center %(center)s answers."),
    "deployment.founded": N_("This deployment began on %(host)s."),
    "desktop.adopted": N_("%(desktop)s was found in the cloud after its making was in doubt."),
    "desktop.assigned": N_("%(desktop)s was given to its user."),
    "desktop.build_failed": N_("%(desktop)s could not be made."),
    "desktop.delete_ordered": N_("%(desktop)s is to be deleted."),
    "desktop.deleted": N_("%(desktop)s was deleted."),
    "desktop.deleted_outside": N_("%(desktop)s was deleted in the cloud, not by Portico."),
    "desktop.found": N_("%(desktop)s was found in %(center)s."),
    "desktop.healed": N_("%(desktop)s has restarted and may be offered again."),
    "desktop.made_available": N_("%(desktop)s may be offered."),
    "desktop.made_unavailable": N_("%(desktop)s is not offered any more."),
    "desktop.power_ordered": N_("Power of %(desktop)s: %(action)s"),
    "desktop.power_refused": N_("The cloud would not do “%(action)s” with %(desktop)s. %(detail)s"),
    "desktop.quarantined": N_("%(desktop)s is held back until it is sure that its last user has left."),
    "desktop.ready": N_("%(desktop)s is ready after %(seconds)s s."),
    "gateway.enrolled": N_("The gateway %(gateway)s has enrolled."),
    "job.cancelled": N_("A job was cancelled: %(kind)s"),
    "job.failed": N_("A job failed for good: %(kind)s. %(error)s"),
    "job.retried": N_("A job is tried again: %(kind)s"),
    "login.ok": N_("Logged in from %(address)s."),
    "login.refused": N_("A log-in from %(address)s was refused."),
    "machine.unknown": N_("The machine %(machine)s in %(center)s carries our tag, and no desktop is its own."),
    "pool.building": N_("%(pool)s makes %(number)s desktops."),
    "pool.quota": N_("%(pool)s waits: the quota of its center is used up. %(detail)s"),
    "pool.refill_asked": N_("The limits of the pool are looked at."),
    "pool.rule_misses_builds": N_(
        "%(desktop)s does not match the rule of the pool that made it, so the pool has stopped."
    ),
    "pool.stopped_by_errors": N_("%(pool)s has stopped after %(failures)s failed builds in a row."),
    "session.ended": N_("Logged out."),
    "user.password_changed": N_("The password was changed."),
    "user.sessions_ended": N_("Logged out everywhere; sessions: %(count)s"),
    "user.unlocked": N_("The lock-out was lifted."),
}
UNKNOWN_EVENT = "%(code)s"
