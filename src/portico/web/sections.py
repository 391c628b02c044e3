"""Routes in a shape that costs a request little: FastAPI asks each router that was included, twice, for every request."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.routing import BaseRoute, Match
from starlette.types import Scope


class Section(APIRouter):
    """A router that is only asked for paths below its prefix, which must be the whole beginning of them."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell by one comparison that another section is wanted."""
        return super().matches(scope) if scope.get("path", "").startswith(self.prefix) else (Match.NONE, {})


def flat(*routers: APIRouter) -> Sequence[BaseRoute]:
    """Return the routes of routers that include no others, to stand in the application's own list: no router is asked at all."""
    return [route for router in routers for route in router.routes]
