"""What each reason says to a person, and what to do about it: message ids for gettext, with named placeholders.

Each code has (sentence, remedy); the remedy is "" where there is nothing to do.
"""

from collections.abc import Mapping


def N_(message: str) -> str:
    """Mark a message for translation, which the web layer does."""
    return message


WAIT = N_("It comes by itself; you can wait here.")
HELP_DESK = N_("Give the details to your help desk.")
ADMINISTRATOR = N_("Ask an administrator to look at the desktop.")
TRY_AGAIN = N_("Try again in a minute.")

PEOPLE: Mapping[str, tuple[str, str]] = {
    "login.wrong": (
        N_("The name or the password is not right."),
        N_("Check both and try again; capital letters count in the password."),
    ),
    "login.locked": (
        N_("Too many tries. The account is locked for %(seconds)s s."),
        N_("Wait until then, or ask an administrator for a new password."),
    ),
    "login.rate_limited": (N_("Too many tries come from your address."), N_("Wait %(seconds)s s.")),
    "login.disabled": (N_("This account is switched off."), N_("Ask your administrator.")),
    "login.unknown": (N_("Nobody has this name."), ""),
    "login.expired": (N_("Your password has expired."), N_("Change it where your account lives, then log in again.")),
    "login.account_expired": (N_("Your account has expired."), N_("Ask your administrator.")),
    "login.hours": (N_("Your account may not be used at this time of day."), N_("Ask your administrator when it may.")),
    "login.workstation": (N_("Your account may not be used from here."), N_("Ask your administrator.")),
    "login.second_factor_there": (
        N_("Your account wants a second factor in %(directory)s, which cannot be given here."),
        N_("Ask your administrator."),
    ),
    "login.no_role": (N_("No rule of %(directory)s lets you in."), N_("Ask your administrator.")),
    "login.directory_down": (
        N_("The directory that knows you does not answer at the moment."),
        N_("Try again in a few seconds; your password is not the reason."),
    ),
    "login.too_long": (
        N_("Your log-in has waited for two minutes, and that is the limit."),
        N_("Try again in a moment."),
    ),
    "rule.won": (N_("Rule %(rule)s of %(directory)s (%(said)s) gives role and policy."), ""),
    "rule.default": (N_("No rule of %(directory)s holds, so its defaults do."), ""),
    "rule.last_log_in": (
        N_("%(directory)s tells who somebody is only while they log in. This is what the log-in of %(at)s gave."),
        "",
    ),
    "rule.not_met": (N_("Rule %(rule)s (%(said)s) does not hold."), ""),
    "rule.elsewhere": (N_("Rule %(rule)s (%(said)s) is for another location."), ""),
    "login.setup_due": (
        N_("A second factor is demanded of you, and you have none yet."),
        N_("Log in to the portal once and set it up."),
    ),
    "login.passkey_wrong": (
        N_("This passkey does not let you in."),
        N_("Try again, or log in with your password."),
    ),
    "login.passkey_off": (
        N_("Your policy does not let a passkey replace the password."),
        N_("Log in with your password."),
    ),
    "login.denied": (N_("Somebody said no in the browser."), ""),
    "login.not_provisioned": (N_("%(directory)s has not named you to us."), N_("Ask your administrator.")),
    "user.barred": (N_("Your directory does not let you in any more."), N_("Ask your administrator.")),
    "user.service": (N_("A service account has no desktops."), N_("Log in as a person.")),
    "login.not_allowed": (N_("Your role does not allow you to log in here."), N_("Ask your administrator.")),
    "password.wrong": (N_("The password is not right."), N_("Type the password that you use now.")),
    "password.short": (
        N_("The password is too short."),
        N_("Use %(minimum)s characters or more; a few words in a row do well."),
    ),
    "password.one_character": (
        N_("The password is one character over and over."),
        N_("Use a few words that do not belong together."),
    ),
    "password.contains_name": (N_("The password contains the log-in name."), N_("Leave the name out.")),
    "policy.max_desktops": (
        N_("The limit on desktops that you can have at a time is %(maximum)s."),
        N_("Release one that you no longer need."),
    ),
}

POOLS: Mapping[str, tuple[str, str]] = {
    "pool.empty": (N_("There are no desktops in %(pool)s yet."), HELP_DESK),
    "pool.full": (
        N_("No desktop of %(pool)s is free right now (%(total)s in all)."),
        N_("Try again when somebody has logged out."),
    ),
    "pool.none_usable": (N_("No desktop of %(pool)s can be used right now (%(total)s in all)."), HELP_DESK),
    "pool.short": (N_("%(pool)s has fewer free desktops than you may have (%(offered)s of %(wanted)s)."), ""),
    "pool.refilling": (N_("A new desktop of %(pool)s is being made."), WAIT),
    "pool.lost": (N_("Somebody else was given the last free desktop of %(pool)s a moment ago."), TRY_AGAIN),
    "pool.off": (N_("%(pool)s makes no desktops by itself."), N_("Set both limits of the pool above zero.")),
    "pool.off_by_time": (N_("%(pool)s makes no desktops at this time of the week."), ""),
    "pool.above_limit": (
        N_("%(pool)s has %(number)s desktops above its limit of %(stop_at)s that nobody has: they are deleted."),
        "",
    ),
    "pool.no_center": (N_("%(pool)s has no center to make desktops in."), N_("Choose a center in the pool's form.")),
    "pool.no_image": (N_("%(pool)s has no image to make desktops from."), N_("Choose an image in the pool's form.")),
    "pool.image_deleted": (
        N_("%(pool)s makes desktops from %(image)s, an image that was deleted in the cloud."),
        N_("Choose another image in the pool's form."),
    ),
    "pool.no_network": (
        N_("%(pool)s has no network, and neither has its center."),
        N_("Choose a network in the pool's form, or a default one in the center's."),
    ),
    "pool.quota": (
        N_("The quota of the center is used up: %(detail)s"),
        N_("Raise the quota or delete something. The pool goes on by itself then."),
    ),
    "pool.stopped_by_errors": (
        N_("%(pool)s has stopped after %(failures)s failed builds in a row."),
        N_("Look at the last failure, then switch the pool on again."),
    ),
    "pool.waiting_after_failure": (N_("%(pool)s waits %(seconds)s s after a failed build."), ""),
    "pool.rule_misses_builds": (
        N_("Desktops made by %(pool)s do not match its own rule, so it has stopped."),
        N_("Change the rule or the name template so that they match."),
    ),
    "pool.below_threshold": (
        N_("%(pool)s has %(unassigned)s unassigned desktops, below its %(start_below)s: it makes %(build)s."),
        "",
    ),
    "pool.enough": (N_("%(pool)s has %(unassigned)s unassigned desktops and wants %(start_below)s."), ""),
    "pool.at_maximum": (
        N_("%(pool)s has %(total)s desktops in all, and its limit is %(stop_at)s."),
        N_("Raise the limit if more are needed."),
    ),
}

DESKTOPS: Mapping[str, tuple[str, str]] = {
    "desktop.unavailable": (N_("The desktop is set to unavailable."), ADMINISTRATOR),
    "desktop.taken": (N_("The desktop is somebody's already."), ""),
    "desktop.in_use": (N_("Somebody is logged in there directly."), ""),
    "desktop.session_unknown": (N_("It is not known whether somebody is still logged in there."), ADMINISTRATOR),
    "desktop.deleted": (N_("The desktop was deleted."), N_("Open another one from the portal.")),
    "desktop.deleted_outside": (
        N_("The desktop was deleted in the cloud, not by Portico."),
        N_("Open another one from the portal."),
    ),
    "desktop.rebuilt_outside": (
        N_("The desktop was made anew in the cloud, not by Portico."),
        N_("What was open on it is gone. Open it again from the portal."),
    ),
    "desktop.vanished": (
        N_("The desktop is not found in its cloud any more."),
        N_("Open another one from the portal."),
    ),
    "desktop.deleting": (N_("The desktop is being deleted."), N_("Open another one from the portal.")),
    "desktop.quarantined_named": (
        N_("%(desktop)s is held back until it is sure that its last user has left."),
        N_("Restart or rebuild it, or set it free by hand."),
    ),
    "desktop.quarantined": (
        N_("The desktop is held back until it is sure that its last user has left."),
        N_("Restart or rebuild it, or set it free by hand."),
    ),
    "desktop.failed": (N_("The desktop could not be made. %(detail)s"), HELP_DESK),
    "desktop.maintenance": (N_("The desktop is in maintenance."), N_("Try again later, or ask your help desk.")),
    "desktop.building": (N_("The desktop is being made."), WAIT),
    "desktop.preparing": (N_("The desktop is made and gets ready."), WAIT),
    "desktop.late": (N_("The desktop takes longer to get ready than it should."), HELP_DESK),
    "desktop.error": (N_("The cloud reports an error of the desktop."), HELP_DESK),
    "desktop.stopped": (N_("The desktop is switched off."), N_("Start it.")),
    "desktop.suspended": (N_("The desktop sleeps."), N_("Wake it.")),
    "desktop.paused": (N_("The desktop was paused."), N_("Let it go on.")),
    "desktop.shelved": (N_("The desktop is put away and takes some minutes to come back."), N_("Start it.")),
    "desktop.starting": (N_("The desktop is starting."), WAIT),
    "desktop.stopping": (N_("The desktop is stopping."), TRY_AGAIN),
    "desktop.no_agent": (N_("The desktop has no agent."), N_("Install the agent in its image.")),
    "desktop.agent_unreachable": (N_("The desktop does not answer yet."), WAIT),
    "desktop.agent_waiting": (N_("The desktop's agent waits to be admitted."), ADMINISTRATOR),
    "desktop.no_address": (N_("The desktop has no network address."), HELP_DESK),
    "desktop.no_protocol": (N_("The desktop offers no display protocol."), HELP_DESK),
    "build.step_refused": (
        N_("The cloud refused “%(action)s” after the build: %(detail)s"),
        N_("Look at the desktop, then set it available by hand or change what the pool does after a build."),
    ),
    "build.error": (N_("The cloud could not make the desktop: %(detail)s"), ADMINISTRATOR),
    "build.refused": (N_("The cloud refused to make the desktop: %(detail)s"), ADMINISTRATOR),
    "build.unwanted": (N_("The desktop was not made any more, since nothing asks for it now."), ""),
    "center.deleted": (N_("The center that it came from was deleted."), ""),
    "build.again": (N_("The desktop was surely never made, so it is asked for again."), ""),
    "build.deadline": (N_("The cloud did not finish the desktop in time."), N_("Look at the machine in the cloud.")),
    "build.never_answered": (
        N_("The desktop was made, but its agent never answered."),
        N_("Check that the image has the agent and can reach the broker."),
    ),
    "center.offline": (
        N_("The center %(center)s does not answer: %(detail)s"),
        N_("Look at the center; its desktops are not changed until it answers again."),
    ),
    "machine.no_row": (
        N_("The machine %(machine)s carries our tag, and no desktop knows it."),
        N_("Look at it, then adopt or delete it in the list of leaks."),
    ),
    "machine.duplicate": (
        N_("The machine %(machine)s is a second one for the same desktop."),
        N_("Look at it, then delete it in the list of leaks."),
    ),
    "leak.loose": (
        N_("The %(kind)s %(name)s carries our tag, and hangs on nothing that a desktop needs."),
        N_("Delete it in the list of leaks, or keep it there if you use it."),
    ),
    "leak.elsewhere": (
        N_("The %(kind)s %(name)s carries our tag, and hangs on the machine %(machine)s, which is not ours."),
        N_("Keep it if that is meant; deleting it takes it from that machine."),
    ),
    "leaks.open": (
        N_("%(center)s holds things that no desktop needs (%(count)s)."),
        N_("Look at each in the list of leaks: delete it, adopt it, or keep it."),
    ),
    "machine.returned": (
        N_("The machine %(machine)s is back after it counted as deleted."),
        N_("Look at it, then adopt or delete it in the list of leaks."),
    ),
}

_ROUTE = N_(
    "On Linux: ip route add 169.254.169.254/32 via %(gateway)s. "
    "On Windows: route -p add 169.254.169.254 mask 255.255.255.255 %(gateway)s metric 6. Or give it a config drive."
)
_SERVICE = N_(
    "Have the cloud's operators look whether the metadata service runs on this network, and whether a firewall of the machine "
    "stops it. Or give it a config drive."
)
AGENTS: Mapping[str, tuple[str, str]] = {
    "waiting.no_uuid": (
        N_("The agent does not know the UUID of its machine."),
        N_("Run portico agent diagnose on the machine, or admit the agent to a desktop over the API."),
    ),
    "waiting.no_machine": (
        N_("No center lists a machine with the UUID %(machine)s."),
        N_("Scan the center, or connect the center that the machine lives in."),
    ),
    "waiting.several": (
        N_("Several desktops have the machine with the UUID %(machine)s."),
        N_("Admit the agent to one of them over the API."),
    ),
    "waiting.has_agent": (
        N_("Another agent speaks for %(desktop)s."),
        N_("Admit this one if the machine was made anew: the other one loses its credential."),
    ),
    "waiting.address": (
        N_("The request comes from %(address)s, and no center knows this address of %(desktop)s."),
        N_("Admit it if you know the machine, or put a join key into its image."),
    ),
    "agents.waiting": (
        N_("Agents that wait to be admitted: %(number)s."),
        N_("Look at what each says of itself, and admit or refuse it."),
    ),
    "metadata.no_route": (N_("There is no route to the metadata service, 169.254.169.254."), _ROUTE),
    "metadata.no_gateway": (
        N_("The machine looks for 169.254.169.254 on its own network, since no route leads to it by way of a gateway."),
        _ROUTE,
    ),
    "metadata.no_answer": (N_("There is a way to 169.254.169.254 through %(gateway)s, and nothing answers."), _SERVICE),
    "metadata.refused": (N_("The metadata service, 169.254.169.254, gives no metadata."), _SERVICE),
}

SESSIONS: Mapping[str, tuple[str, str]] = {
    "assignment.ended": (N_("This desktop is no longer yours."), N_("Open another one from the portal.")),
    "offer.unknown": (N_("This desktop is no longer offered to you."), N_("Go back to the portal and choose again.")),
    "protocol.none": (N_("There is no way to open %(desktop)s from this device."), HELP_DESK),
    "protocol.not_in_plan": (N_("Your policy does not allow %(protocol)s."), N_("Choose another way to open it.")),
    "protocol.not_on_desktop": (N_("The desktop does not offer %(protocol)s."), ""),
    "protocol.not_in_browser": (
        N_("%(protocol)s cannot be shown in the browser."),
        N_("Choose another way to open it."),
    ),
    "protocol.not_for_client": (N_("This client (%(client)s) does not speak %(protocol)s."), ""),
    "protocol.not_view_only": (
        N_("You may only watch, and %(protocol)s cannot hold to that on this client."),
        N_("Open it in the browser."),
    ),
    "protocol.not_recorded": (
        N_("Your sessions are recorded, which is not possible with %(protocol)s in a program of the device."),
        N_("Open it in the browser."),
    ),
    "protocol.not_held": (
        N_("Your policy forbids something that nobody can hold back with %(protocol)s."),
        N_("Open it in the browser."),
    ),
    "forward.opening": (N_("The gateway opens the way."), ""),
    "forward.no_answer": (N_("The gateway did not open a way in time."), N_("Try again in a moment.")),
    "forward.no_port": (N_("The gateway has no port left for you."), HELP_DESK),
    "forward.port_taken": (
        N_("Somebody else at your address uses the port that this client needs."),
        N_("Close the other session, or open the desktop in another way."),
    ),
    "forward.no_address": (N_("The gateway cannot reach the desktop."), HELP_DESK),
    "forward.too_many": (N_("The gateway carries as many sessions as it can."), N_("Try again in a moment.")),
    "forward.off": (N_("This gateway opens no ports for clients of a device."), HELP_DESK),
    "forward.closed": (N_("The way to the desktop was closed."), N_("Open it again from your desktops.")),
    "gateway.none_alive": (
        N_("No gateway answers, so no session can be opened."),
        N_("Start one, or look at the log of the one that should run."),
    ),
    "gateway.none": (N_("No gateway is running that could carry your session."), HELP_DESK),
    "gateway.none_in_group": (N_("No gateway of the group %(group)s is running."), HELP_DESK),
    "gateway.none_reaches": (N_("No gateway leads to %(address)s, where the desktop is."), HELP_DESK),
    "assignment.by_policy": (N_("The policy %(policy)s gives it (%(order)s)."), ""),
    "release.asked": (N_("It was given back."), ""),
    "release.logged_out": (N_("You logged out."), ""),
    "release.log_out_without_agent": (
        N_("You logged out, and no agent could say whether your programs were closed."),
        "",
    ),
    "release.by_user": (N_("You gave it back."), ""),
    "release.by_administrator": (N_("An administrator took it back."), ""),
    "release.never_connected": (N_("It was never opened within %(minutes)s min."), ""),
    "release.after_disconnect": (N_("You were disconnected for %(minutes)s min."), ""),
    "release.log_out_after_disconnect": (
        N_("You were disconnected for %(minutes)s min, so you are logged out."),
        "",
    ),
    "release.after_log_out": (N_("You logged out (%(minutes)s min ago)."), ""),
    "release.max_duration": (N_("It was yours for %(minutes)s min, the longest that your policy allows."), ""),
    "release.delete": (N_("It is deleted after use."), ""),
    "release.clean": (N_("Its last user has left."), ""),
    "release.log_out_first": (N_("Its last user is logged out first."), ""),
    "release.reboot_first": (N_("It restarts, since nobody can say whether its last user has left."), ""),
    "release.no_evidence": (
        N_("Nobody can say whether its last user has left."),
        N_("Look at the desktop, then restart it or set it free by hand."),
    ),
    "power.on_disconnect": (N_("The power plan wants “%(action)s” when the user disconnects."), ""),
    "power.on_log_out": (N_("The power plan wants “%(action)s” when the user logs out."), ""),
    "release.lock_after_idle": (N_("You did not use it for %(minutes)s min, so the screen is locked."), ""),
    "release.disconnect_after_idle": (N_("You did not use it for %(minutes)s min, so you are disconnected."), ""),
    "release.log_out_after_idle": (N_("You did not use it for %(minutes)s min, so you are logged out."), ""),
    "power.on_idle": (N_("The power plan wants “%(action)s” when nobody uses the desktop."), ""),
    "power.on_release": (N_("The power plan wants “%(action)s” when the desktop is released."), ""),
}

# For reasons that stand for several desktops at once (their params hold a `count`): labels, so that no plural is needed.
COUNTED: Mapping[str, str] = {
    "desktop.unavailable": N_("Set to unavailable: %(count)s"),
    "desktop.taken": N_("In use: %(count)s"),
    "desktop.in_use": N_("Used by somebody logged in directly: %(count)s"),
    "desktop.session_unknown": N_("Perhaps still in use: %(count)s"),
    "desktop.deleted": N_("Deleted: %(count)s"),
    "desktop.deleting": N_("Being deleted: %(count)s"),
    "desktop.quarantined": N_("Held back: %(count)s"),
    "desktop.failed": N_("Failed: %(count)s"),
    "desktop.maintenance": N_("In maintenance: %(count)s"),
    "desktop.building": N_("Being made: %(count)s"),
    "desktop.preparing": N_("Getting ready: %(count)s"),
    "desktop.late": N_("Late: %(count)s"),
    "desktop.error": N_("In error: %(count)s"),
    "desktop.stopped": N_("Switched off: %(count)s"),
    "desktop.suspended": N_("Asleep: %(count)s"),
    "desktop.paused": N_("Paused: %(count)s"),
    "desktop.shelved": N_("Put away: %(count)s"),
    "desktop.stopping": N_("Stopping: %(count)s"),
    "desktop.no_agent": N_("Without an agent: %(count)s"),
    "desktop.agent_unreachable": N_("Not answering: %(count)s"),
    "desktop.agent_waiting": N_("Waiting to be admitted: %(count)s"),
    "desktop.no_address": N_("Without a network address: %(count)s"),
    "desktop.no_protocol": N_("Without a display protocol: %(count)s"),
}

UNKNOWN = (N_("This is not possible right now (%(code)s)."), HELP_DESK)

SENTENCES: Mapping[str, tuple[str, str]] = {**PEOPLE, **POOLS, **DESKTOPS, **AGENTS, **SESSIONS}
