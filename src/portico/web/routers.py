"""What the application is made of, besides the API and the doors."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from portico.errors import PorticoError
from portico.web import pages, problem_pages

# The routes of portal and console: what everybody asks for stands first.
PAGES: Sequence[BaseRoute] = (*pages.PORTAL, *pages.CONSOLE)

# How trouble looks where a person is.
PROBLEM_PAGE: Callable[[Request, PorticoError], Response] = problem_pages.problem_page
