"""The application: pages, API and doors behind one chain of middleware."""

from pathlib import Path

import anyio
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from portico import __version__
from portico.services.broker import Broker
from portico.web import health, metrics, routers, scim
from portico.web.api import routes
from portico.web.api.schemas import describe_api
from portico.web.doors import agents, gateways
from portico.web.doors.polling import THREADS
from portico.web.middleware import BodyLimit, Canonical, ClientAddress, PostLimit, SecurityHeaders
from portico.web.problems import HANDLERS
from portico.web.sections import flat

STATIC = Path(__file__).parent / "static"


class Static(StaticFiles):
    """Static files; those asked for with a version in the query may be kept for a year, for they never change."""

    def file_response(self, full_path, stat_result, scope: Scope, status_code: int = 200):  # type: ignore[no-untyped-def]
        """Answer a file with how long it may be kept."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        versioned = b"v=" in scope.get("query_string", b"")
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return answer


def create_app(broker: Broker) -> FastAPI:
    """Build the application around a broker."""
    app = FastAPI(
        title="Portico",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers=dict(HANDLERS),
        middleware=[
            Middleware(ClientAddress, trusted=broker.config.trusted_proxies),
            Middleware(SecurityHeaders),
            Middleware(Canonical),
            Middleware(PostLimit),
            Middleware(BodyLimit),
        ],
    )
    app.state.broker = broker
    app.state.problem_page = routers.PROBLEM_PAGE
    app.state.look_limiter = anyio.CapacityLimiter(THREADS)
    app.state.metrics = metrics.Cache()
    app.add_api_route("/api/v1/openapi.json", lambda: JSONResponse(describe_api(app)), include_in_schema=False)
    app.router.routes.extend(
        [*flat(agents.router, gateways.router, health.router, metrics.router, scim.router), *routers.PAGES]
    )
    app.include_router(routes.router)
    STATIC.mkdir(exist_ok=True)
    app.mount("/static", Static(directory=STATIC), name="static")
    return app
