"""What the application is made of, besides the API and the doors."""

from collections.abc import Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portico.errors import PorticoError
from portico.web.problems import plain_page

# The routers of portal and console.
PAGES: tuple[APIRouter, ...] = ()

# How trouble looks where a person is.
PROBLEM_PAGE: Callable[[Request, PorticoError], Response] = plain_page
