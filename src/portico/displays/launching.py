"""Launches that all protocols share."""

from typing import Any
from urllib.parse import quote

from portico.domain.connect import NATIVE
from portico.ports.display import LaunchContext


def in_browser(context: LaunchContext) -> bool:
    """Tell whether the client of the context shows its sessions in a browser."""
    return context.client.kind not in NATIVE


def viewer(context: LaunchContext) -> dict[str, Any]:
    """Return the launch description of the viewer page of a connection."""
    return {"kind": "browser", "url": f"/connections/{quote(context.connection_id, safe='')}"}
