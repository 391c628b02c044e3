"""All pages of the portal and of the console, for the application to include."""

from fastapi import APIRouter

from portico.web import live
from portico.web.portal import account, connections, desktops, log_in

router = APIRouter(include_in_schema=False)
for part in (log_in, desktops, connections, account, live):
    router.include_router(part.router)
