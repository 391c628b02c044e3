"""The REST interface: everything under /api/v1."""

from portico.web.api import actions, connections, crud, device, operations, replaying, session, shadows, waiting
from portico.web.sections import Section

router = Section(prefix="/api/v1")
# Actions come first: `/gateways/tokens` is no gateway's id.
for part in (
    session.router,
    device.router,
    connections.router,
    actions.router,
    operations.router,
    waiting.router,
    shadows.router,
    replaying.router,
    *crud.ROUTERS,
):
    router.include_router(part)
