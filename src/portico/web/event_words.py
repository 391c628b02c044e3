"""What each event says: message ids for gettext, filled with links to what they speak of.

Placeholders: `actor` who did it, `user`, `desktop`, `pool`, `center`, `name` (the object that was written) and the event's own params.
A key `CODE:WORD` is the sentence of an event whose `action` is that word.
"""

from collections.abc import Mapping
from typing import Any

from portico.web.words import N_

WRITTEN: Mapping[str, str] = {
    "center.created": N_("%(actor)s connected the center %(name)s."),
    "center.changed": N_("%(actor)s changed the center %(name)s."),
    "center.deleted": N_("%(actor)s deleted the center %(name)s."),
    "center.restored": N_("%(actor)s restored the center %(name)s."),
    "pool.created": N_("%(actor)s created the pool %(name)s."),
    "pool.changed": N_("%(actor)s changed the pool %(name)s."),
    "pool.deleted": N_("%(actor)s deleted the pool %(name)s."),
    "pool.restored": N_("%(actor)s restored the pool %(name)s."),
    "policy.created": N_("%(actor)s created the policy %(name)s."),
    "policy.changed": N_("%(actor)s changed the policy %(name)s."),
    "policy.deleted": N_("%(actor)s deleted the policy %(name)s."),
    "policy.restored": N_("%(actor)s restored the policy %(name)s."),
    "protocol-plan.created": N_("%(actor)s created the protocol plan %(name)s."),
    "protocol-plan.changed": N_("%(actor)s changed the protocol plan %(name)s."),
    "protocol-plan.deleted": N_("%(actor)s deleted the protocol plan %(name)s."),
    "protocol-plan.restored": N_("%(actor)s restored the protocol plan %(name)s."),
    "power-plan.created": N_("%(actor)s created the power plan %(name)s."),
    "power-plan.changed": N_("%(actor)s changed the power plan %(name)s."),
    "power-plan.deleted": N_("%(actor)s deleted the power plan %(name)s."),
    "power-plan.restored": N_("%(actor)s restored the power plan %(name)s."),
    "release-plan.created": N_("%(actor)s created the release plan %(name)s."),
    "release-plan.changed": N_("%(actor)s changed the release plan %(name)s."),
    "release-plan.deleted": N_("%(actor)s deleted the release plan %(name)s."),
    "release-plan.restored": N_("%(actor)s restored the release plan %(name)s."),
    "role.created": N_("%(actor)s created the role %(name)s."),
    "role.changed": N_("%(actor)s changed the role %(name)s."),
    "role.deleted": N_("%(actor)s deleted the role %(name)s."),
    "role.restored": N_("%(actor)s restored the role %(name)s."),
    "user.created": N_("%(actor)s added the user %(name)s."),
    "user.changed": N_("%(actor)s changed the user %(name)s."),
    "user.deleted": N_("%(actor)s deleted the user %(name)s."),
    "user.restored": N_("%(actor)s restored the user %(name)s."),
    "tenant.created": N_("%(actor)s created the tenant %(name)s."),
    "tenant.changed": N_("%(actor)s changed the tenant %(name)s."),
    "tenant.deleted": N_("%(actor)s deleted the tenant %(name)s."),
    "desktop.changed": N_("%(actor)s changed the desktop %(name)s."),
    "gateway.changed": N_("%(actor)s changed the gateway %(name)s."),
    "gateway.deleted": N_("%(actor)s removed the gateway %(name)s."),
    "directory.created": N_("%(actor)s connected the directory %(name)s."),
    "directory.changed": N_("%(actor)s changed the directory %(name)s."),
    "directory.deleted": N_("%(actor)s deleted the directory %(name)s."),
    "radius-server.created": N_("%(actor)s added the RADIUS servers %(name)s."),
    "radius-server.changed": N_("%(actor)s changed the RADIUS servers %(name)s."),
    "radius-server.deleted": N_("%(actor)s deleted the RADIUS servers %(name)s."),
    "radius-server.restored": N_("%(actor)s restored the RADIUS servers %(name)s."),
    "directory.restored": N_("%(actor)s restored the directory %(name)s."),
    "client.changed": N_("%(actor)s changed the client %(name)s."),
    "client.deleted": N_("%(actor)s let the client %(name)s be forgotten."),
    "location.created": N_("%(actor)s created the location %(name)s."),
    "location.changed": N_("%(actor)s changed the location %(name)s."),
    "location.deleted": N_("%(actor)s deleted the location %(name)s."),
    "location.restored": N_("%(actor)s restored the location %(name)s."),
    "gateway-group.created": N_("%(actor)s created the gateway group %(name)s."),
    "gateway-group.changed": N_("%(actor)s changed the gateway group %(name)s."),
    "gateway-group.deleted": N_("%(actor)s deleted the gateway group %(name)s."),
    "join-key.created": N_("%(actor)s made the join key %(name)s."),
    "join-key.deleted": N_("%(actor)s revoked the join key %(name)s."),
    "token.created": N_("%(actor)s made the API token %(name)s."),
    "token.rotated": N_(
        "%(actor)s gave the API token %(name)s a new secret; the one before is good for %(hours)s more hours."
    ),
    "token.deleted": N_("%(actor)s revoked the API token %(name)s."),
    "setting.changed": N_("%(actor)s changed the setting %(name)s."),
}

PEOPLE: Mapping[str, str] = {
    "user.replaced": N_(
        "%(name)s of %(directory)s is somebody else now; who had the name before is called %(renamed)s and stays out."
    ),
    "desktop.right_not_given": N_(
        "The desktop %(desktop)s has not given the session's account all its rights: %(rights)s. Its agent is too old, or the group is missing."
    ),
    "desktop.not_locked": N_("The desktop %(desktop)s could not be locked."),
    "user.barred": N_("%(directory)s does not let %(user)s in any more."),
    "user.unbarred": N_("%(directory)s lets %(user)s in again."),
    "login.passkey_refused": N_("A log-in by a passkey from %(address)s was refused."),
    "login.radius_down": N_("The RADIUS servers %(name)s did not answer when %(actor)s logged in."),
    "user.paper_codes_made": N_("%(actor)s made new codes for paper."),
    "login.code_refused": N_("A code of %(actor)s at the log-in was not right."),
    "user.passkey_added": N_("%(actor)s added a passkey."),
    "user.passkey_removed": N_("%(actor)s removed a passkey."),
    "user.second_factor_set": N_("%(actor)s set up a second factor."),
    "user.second_factor_removed": N_("%(actor)s removed the second factor."),
    "user.second_factor_reset": N_("%(actor)s reset the second factor of %(user)s."),
    "user.recovery_code_used": N_("%(actor)s logged in by a code from paper."),
    "login.program_let_in": N_("%(actor)s let the program %(program)s at %(address)s in."),
    "login.program_kept_out": N_("%(actor)s kept the program %(program)s at %(address)s out."),
    "login.ok": N_("%(actor)s logged in from %(address)s."),
    "login.refused": N_("A log-in as %(actor)s from %(address)s was refused."),
    "session.ended": N_("%(actor)s ended the portal session of %(user)s."),
    "user.password_changed": N_("%(actor)s chose a new password."),
    "user.unlocked": N_("%(actor)s let %(user)s log in again."),
    "user.sessions_ended": N_("%(actor)s logged %(user)s out everywhere."),
}

DESKTOPS: Mapping[str, str] = {
    "recording.kept": N_("A session of %(user)s on %(desktop)s was recorded."),
    "recording.cut_off": N_("The recording of a session of %(user)s on %(desktop)s breaks off."),
    "recording.watched": N_("%(actor)s read the recording of a session of %(user)s on %(desktop)s."),
    "recording.deleted": N_("%(actor)s deleted a recording of %(name)s."),
    "shadow.asked_view": N_("%(actor)s asked %(user)s to be shown the session on %(desktop)s."),
    "shadow.asked_control": N_("%(actor)s asked %(user)s for a hand in the session on %(desktop)s."),
    "shadow.agreed": N_("%(user)s let %(helper)s join the session on %(desktop)s."),
    "shadow.declined": N_("%(user)s did not let %(helper)s join the session on %(desktop)s."),
    "shadow.opened": N_("%(actor)s joined the session of %(user)s on %(desktop)s."),
    "shadow.ended": N_("%(actor)s is no longer in the session of %(user)s on %(desktop)s."),
    "desktop.file_in": N_("%(user)s sent the file %(file)s to %(desktop)s (%(bytes)s bytes)."),
    "desktop.file_out": N_("%(user)s took the file %(file)s from %(desktop)s (%(bytes)s bytes)."),
    "desktop.password_shown": N_("%(user)s was shown a one-time password of %(desktop)s (%(protocol)s)."),
    "desktop.assigned": N_("%(user)s was given %(desktop)s (%(pool)s)."),
    "assignment.assigned": N_("%(user)s was given %(desktop)s."),
    "assignment.connected": N_("%(user)s is at work on %(desktop)s."),
    "assignment.disconnected": N_("%(user)s left %(desktop)s without logging out."),
    "assignment.logged_out": N_("%(user)s logged out of %(desktop)s."),
    "assignment.releasing": N_("%(desktop)s is being taken back from %(user)s."),
    "assignment.released": N_("%(desktop)s was taken back from %(user)s."),
    "assignment.disconnect_ordered": N_("%(actor)s closed the connections of %(user)s to %(desktop)s."),
    "assignment.log_out_ordered": N_("%(actor)s logged %(user)s out of %(desktop)s."),
    "desktop.found": N_("%(desktop)s was found in %(center)s."),
    "desktop.adopted": N_("The machine of %(desktop)s was found again in %(center)s."),
    "desktop.ready": N_("%(desktop)s is ready after %(seconds)s s."),
    "desktop.build_failed": N_("%(desktop)s could not be made."),
    "desktop.quarantined": N_("%(desktop)s is held back: nobody can say whether its last user has left."),
    "desktop.healed": N_("%(desktop)s started anew and may be offered again."),
    "desktop.deleted": N_("%(desktop)s was deleted."),
    "desktop.deleted_outside": N_("%(desktop)s was deleted in the cloud, not by Portico."),
    "desktop.rebuilt_outside": N_("%(desktop)s was made anew in the cloud, not by Portico."),
    "desktop.duplicate": N_(
        "%(desktop)s in %(center)s is the same machine as one of another center; it is offered there alone."
    ),
    "desktop.counts_again": N_("%(desktop)s in %(center)s is no duplicate any more and may be offered."),
    "desktop.delete_ordered": N_("%(actor)s asked to delete %(desktop)s."),
    "desktop.made_available": N_("%(actor)s set %(desktop)s available."),
    "desktop.made_unavailable": N_("%(actor)s set %(desktop)s unavailable."),
    "desktop.power_ordered": N_("%(actor)s asked for “%(action)s” of %(desktop)s."),
    "desktop.power_ordered:start": N_("%(actor)s asked to start %(desktop)s."),
    "desktop.power_ordered:shutdown": N_("%(actor)s asked to shut %(desktop)s down."),
    "desktop.power_ordered:stop": N_("%(actor)s asked to cut the power of %(desktop)s."),
    "desktop.power_ordered:reboot": N_("%(actor)s asked to reboot %(desktop)s."),
    "desktop.power_ordered:reset": N_("%(actor)s asked to reset %(desktop)s."),
    "desktop.power_ordered:suspend": N_("%(actor)s asked to suspend %(desktop)s."),
    "desktop.power_ordered:resume": N_("%(actor)s asked to resume %(desktop)s."),
    "desktop.power_ordered:rebuild": N_("%(actor)s asked to rebuild %(desktop)s from its image."),
    "desktop.power_refused": N_("%(center)s refused “%(action)s” for %(desktop)s: %(detail)s"),
    "agent.enrolled": N_("The agent of %(desktop)s was admitted."),
    "agent.admitted": N_("The waiting agent of %(desktop)s was admitted."),
    "agent.admitted:address": N_(
        "The waiting agent of %(desktop)s was admitted: its center lists the machine at this address."
    ),
    "agent.admitted:join key": N_("The waiting agent of %(desktop)s was admitted by a join key."),
    "agent.admitted:administrator": N_("%(actor)s admitted the waiting agent of %(desktop)s."),
    "agent.refused": N_("%(actor)s refused the waiting agent of %(machine)s."),
    "agent.waiting": N_("An agent of %(desktop)s waits to be admitted."),
    "agent.revoked": N_("The agent of %(desktop)s lost its credential: it was on another machine, %(machine)s."),
    "agent.no_metadata": N_("%(desktop)s does not reach the metadata service of its cloud."),
}

FLEET: Mapping[str, str] = {
    "pool.building": N_("%(names)s is being made for %(pool)s."),
    "desktop.step_done": N_("“%(action)s” was done with the new desktop %(desktop)s."),
    "desktop.step_done:start": N_("%(desktop)s was started after its build."),
    "desktop.step_done:poweroff": N_("%(desktop)s was switched off after its build."),
    "desktop.step_done:snapshot": N_("An image of %(desktop)s was ordered after its build."),
    "desktop.step_done:set_available": N_("%(desktop)s was set available after its build."),
    "desktop.step_done:set_unavailable": N_("%(desktop)s was set unavailable after its build."),
    "desktop.step_refused": N_("“%(action)s” was refused for the new desktop %(desktop)s: %(detail)s"),
    "pool.retiring": N_("%(number)s desktops of %(pool)s above its limit of %(stop_at)s are deleted."),
    "pool.quota": N_("Building for %(pool)s pauses, the quota of %(center)s is used up: %(detail)s"),
    "pool.stopped_by_errors": N_("Building for %(pool)s has stopped after %(failures)s failures in a row."),
    "pool.waiting_after_failure": N_("Building for %(pool)s waits after a failure."),
    "pool.rule_misses_builds": N_("Building for %(pool)s has stopped: %(desktop)s does not match its rule."),
    "pool.refill_asked": N_("%(actor)s asked to build for %(pool)s now."),
    "center.online": N_("The center %(center)s answers."),
    "center.offline": N_("The center %(center)s does not answer. %(detail)s"),
    "image.deleted_in_use": N_("The image %(image)s was deleted in %(center)s, and %(pool)s makes desktops from it."),
    "center.mended": N_("%(actor)s had the center %(center)s mended: %(fix)s."),
    "machine.unknown": N_("%(machine)s in %(center)s carries our tag, and no desktop knows it."),
    "leak.found": N_("%(kind)s %(thing)s in %(center)s carries our tag, and no desktop needs it."),
    "leak.remove_ordered": N_("%(actor)s asked to delete what was left over in %(center)s: %(kind)s %(thing)s."),
    "leak.removed": N_("What was left over in %(center)s is deleted: %(kind)s %(thing)s."),
    "leak.remove_refused": N_("%(center)s refused to delete what was left over: %(kind)s %(thing)s. %(detail)s"),
    "leak.kept": N_("%(actor)s keeps what was left over in %(center)s: %(kind)s %(thing)s."),
    "leak.adopted": N_("%(actor)s made the machine %(thing)s a desktop again: %(desktop)s."),
    "gateway.enrolled": N_("The gateway %(gateway)s was admitted."),
    "job.failed": N_("A job was given up: %(job)s. %(error)s"),
    "job.cancelled": N_("%(actor)s cancelled a job: %(job)s."),
    "job.retried": N_("%(actor)s had a job run again: %(job)s."),
    "deployment.founded": N_("Portico was set up on %(host)s."),
}

EVENTS: Mapping[str, str] = {**WRITTEN, **PEOPLE, **DESKTOPS, **FLEET}
# What everybody calls the broker when it acts by itself.
BROKER = N_("Portico")
OWN = {"session.ended": N_("%(user)s logged out of the portal.")}
UNKNOWN = N_("%(code)s: %(params)s")


def message_of(code: str, actor: str, user: str, params: Mapping[str, Any]) -> str:
    """Return the message id of an event; one of a newer broker shows its code and params."""
    if actor == user and code in OWN:
        return OWN[code]
    return EVENTS.get(f"{code}:{params.get('action', '')}") or EVENTS.get(code, UNKNOWN)
