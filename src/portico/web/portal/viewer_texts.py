"""What the viewer's script says, by the keys that it asks for (static/viewer/texts.js); the page translates them."""

from portico.web.rendering import N_

PLAYER = {
    "player.play": N_("Play"),
    "player.pause": N_("Pause"),
    "player.position": N_("Position"),
    "player.speed": N_("Speed"),
    "player.failed": N_("The recording could not be loaded."),
    "player.empty": N_("Nothing was shown in this session."),
}
TEXTS = {
    "connecting": N_("Connecting to {desktop}"),
    "connecting.slow": N_("This takes longer than usual. It goes on by itself."),
    "connected": N_("Connected"),
    "lost.title": N_("The connection was lost"),
    "lost.text": N_("Your programs go on running. We connect you again as soon as we can."),
    "lost.draining": N_("The gateway is being restarted. Your programs go on running."),
    "lost.broker": N_("The service is not reachable at the moment. We try again until it is."),
    "lost.desktop": N_("The desktop does not answer yet. We try again until it does."),
    "lost.again": N_("Next try in {seconds} s"),
    "lost.now": N_("Connecting…"),
    "try_now": N_("Try now"),
    "back": N_("Back to your desktops"),
    "reconnect": N_("Connect again"),
    "use_here": N_("Use it here"),
    "ended.title": N_("The session has ended"),
    "ended.session.ended": N_("The session on this desktop is over."),
    "ended.desktop.closed": N_("The desktop has closed the session."),
    "ended.exit": N_("The shell has ended with status {status}."),
    "ended.ticket.invalid": N_("This link to the desktop is no longer valid. Connect again to get a new one."),
    "ended.ticket.used": N_("This link to the desktop was used already. Connect again to get a new one."),
    "ended.desktop.unreachable": N_("The desktop does not answer."),
    "ended.desktop.changed": N_(
        "The desktop shows another certificate than the one it reported to us, so we did not connect. Tell your administrator."
    ),
    "ended.desktop.refused": N_(
        "The desktop did not accept the connection. Connect again, or restart the desktop if that does not help."
    ),
    "ended.closed.by_administrator": N_("An administrator has closed the session."),
    "ended.closed.elsewhere": N_("You have opened this desktop in another window or on another device."),
    "ended.broker.unreachable": N_("The service is not reachable at the moment."),
    "ended.draining": N_("The gateway was restarted."),
    "ended.signed_out": N_("You are no longer logged in. Log in again to go on; your programs are still running."),
    "ended.failed": N_("This browser could not show the desktop."),
    "log_in.title": N_("Log in to {desktop}"),
    "log_in.text": N_("This desktop asks for its own user name and password. They go to the desktop and are not kept."),
    "log_in.refused": N_("The desktop did not accept this user name and password."),
    "log_in.username": N_("User name"),
    "log_in.password": N_("Password"),
    "log_in.connect": N_("Connect"),
    "ended.recording.failed": N_(
        "The session must be recorded, which is not possible at the moment. Connect again in a while, or tell your administrator."
    ),
    "recorded": N_("This session is recorded"),
    "ended.idle": N_(
        "The session was ended because nobody used it. Your programs go on running for as long as the plans of this desktop allow."
    ),
    "ended.time.up": N_("The session has lasted as long as it may. Connect again to go on."),
    "countdown.idle": N_("Still there? Without input the session ends in {time}."),
    "countdown.time": N_("The session ends in {time}."),
    "toolbar": N_("Session"),
    "toolbar.grip": N_("Session toolbar: drag it aside, or move it with Shift and the arrow keys"),
    "toolbar.show": N_("Show the session toolbar (Ctrl + Alt + Shift)"),
    "toolbar.clipboard": N_("Clipboard"),
    "toolbar.keys": N_("Keys"),
    "toolbar.keyboard": N_("On-screen keyboard"),
    "toolbar.fit": N_("Fit to the window"),
    "toolbar.actual": N_("Actual size"),
    "toolbar.full_screen": N_("Full screen"),
    "toolbar.window": N_("Leave full screen"),
    "toolbar.disconnect": N_("Disconnect: programs go on running"),
    "toolbar.log_out": N_("Log out of the desktop: programs are closed"),
    "toolbar.log_out.short": N_("Log out"),
    "toolbar.disconnect.short": N_("Disconnect"),
    "quality.unknown": N_("Connection: not measured yet"),
    "quality.good": N_("Connection: good, {ms} ms"),
    "quality.fair": N_("Connection: fair, {ms} ms"),
    "quality.poor": N_("Connection: slow, {ms} ms"),
    "view_only": N_("View only"),
    "clipboard.title": N_("Clipboard"),
    "clipboard.help": N_(
        "Text copied on the desktop appears here. Text that you write here can be pasted on the desktop."
    ),
    "clipboard.help.in": N_(
        "Text that you write here can be pasted on the desktop. Copying from the desktop is not allowed."
    ),
    "clipboard.help.out": N_("Text copied on the desktop appears here. Pasting to the desktop is not allowed."),
    "clipboard.text": N_("Text"),
    "clipboard.send": N_("Send to the desktop"),
    "clipboard.copy": N_("Copy to this device"),
    "clipboard.read": N_("Paste from this device"),
    "clipboard.sent": N_("Sent. Paste it on the desktop."),
    "clipboard.copied": N_("Copied."),
    "clipboard.denied": N_("The browser does not allow this. Use the keyboard to copy or paste in the box."),
    "keys.title": N_("Send keys"),
    "close": N_("Close"),
}
