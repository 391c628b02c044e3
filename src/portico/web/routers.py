"""What the application is made of, besides the API and the doors."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portico.errors import PorticoError
from portico.web import pages, problem_pages

# The routers of portal and console.
PAGES: tuple[APIRouter, ...] = (pages.router,)

# How trouble looks where a person is.
PROBLEM_PAGE: Callable[[Request, PorticoError], Response] = problem_pages.problem_page
