"""What the viewer's script says, by the keys that it asks for; the page translates them."""

from portico.web.rendering import N_

TEXTS: dict[str, str] = {}
