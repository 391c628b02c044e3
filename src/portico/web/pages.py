"""All pages of the portal and of the console, for the application to include."""

from fastapi import APIRouter

from portico.web import live
from portico.web.admin import actions, browse, desktop_sessions, edit, overview, palette, preview, show
from portico.web.portal import account, connections, desktops, log_in

router = APIRouter(include_in_schema=False)
# The order matters in the console: what has a fixed name stands before what takes any noun.
for part in (
    log_in,
    desktops,
    connections,
    account,
    live,
    overview,
    palette,
    desktop_sessions,
    preview,
    actions,
    edit,
    browse,
    show,
):
    router.include_router(part.router)
