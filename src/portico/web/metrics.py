"""Prometheus text (exposition format 0.0.4) at /metrics."""

import threading
import time
from collections.abc import Iterable
from ipaddress import ip_address

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from portico.domain.access import may
from portico.errors import Denied
from portico.services.broker import Broker
from portico.services.measures import Measure, measure
from portico.web.caller import broker_of, signed_in

KEEP_SECONDS = 5.0

router = APIRouter(include_in_schema=False)


class Cache:
    """Keeps the last text for some seconds, so that scrapers cost the database nothing."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._text = ""
        self._until = 0.0

    def get(self, broker: Broker) -> str:
        """Return the metrics, at most `KEEP_SECONDS` old."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._text = exposition(measure(broker))
                self._until = time.monotonic() + KEEP_SECONDS
            return self._text


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """Answer the metrics to this host itself, or to whoever may view the settings."""
    if not _is_local(request) and not may(signed_in(request).actor, "settings"):
        raise Denied("Your role does not let you see the metrics.")
    text = request.app.state.metrics.get(broker_of(request))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def exposition(measures: Iterable[Measure]) -> str:
    """Write measures as Prometheus text, those of one name together under their help and type."""
    by_name: dict[str, list[Measure]] = {}
    for one in measures:
        by_name.setdefault(one.name, []).append(one)
    lines: list[str] = []
    for name, family in by_name.items():
        lines += [f"# HELP {name} {family[0].help}", f"# TYPE {name} {family[0].kind}"]
        for one in family:
            labels = ",".join(f'{key}="{_escaped(value)}"' for key, value in one.labels.items())
            lines.append(f"{name}{{{labels}}} {one.value!r}" if labels else f"{name} {one.value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _is_local(request: Request) -> bool:
    if getattr(request.state, "forwarded", False) or request.client is None:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False
