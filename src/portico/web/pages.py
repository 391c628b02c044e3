"""All pages of the portal and of the console, for the application to include."""

from portico.web import live
from portico.web.admin import (
    actions,
    browse,
    desktop_sessions,
    edit,
    overview,
    palette,
    preview,
    recordings,
    replaying,
    shadows,
    show,
    tokens,
)
from portico.web.portal import account, connections, desktops, device, log_in, passkeys, saml, second_factor, sign_on
from portico.web.sections import flat

PORTAL = flat(
    log_in.router,
    sign_on.router,
    saml.router,
    second_factor.router,
    passkeys.router,
    device.router,
    desktops.router,
    connections.router,
    account.router,
    live.router,
)
# The order matters: what has a fixed name stands before what takes any noun.
CONSOLE = flat(
    overview.router,
    palette.router,
    desktop_sessions.router,
    recordings.router,
    shadows.router,
    replaying.router,
    tokens.router,
    preview.router,
    actions.router,
    edit.router,
    browse.router,
    show.router,
)
