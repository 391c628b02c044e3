"""Recordings as answers to requests of console and API."""

from starlette.responses import Response, StreamingResponse

from portico.services.recordings import Plain


def plain(found: Plain) -> Response:
    """Return the content of a recording as an answer."""
    is_cast = found.format == "asciicast"
    name = f"{found.row.created_at:%Y%m%d-%H%M%S}-{found.row.id[:8]}.{'cast' if is_cast else 'frames'}"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    media = "application/x-asciicast" if is_cast else "application/octet-stream"
    return StreamingResponse(found.pieces, media_type=media, headers=headers)
