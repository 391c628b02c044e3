"""The least portal that the viewer needs: its page, its scripts, tickets, and the way out."""

import json
import mimetypes
import subprocess
from pathlib import Path

from doubles.broker import BrokerDouble, Handler
from portico.web.portal.connections import VIEWER_CSP
from portico.wire.tickets import SHADOW

STATIC = Path(__file__).parents[2] / "src" / "portico" / "web" / "static"
PACKAGES = (
    "@devolutions/iron-remote-desktop-rdp@0.7.0",
    "@novnc/novnc@1.7.0",
    "@xterm/xterm@6.0.0",
    "@xterm/addon-fit@0.11.0",
)
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>desk-01</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,"></head>
<body><script type="application/json" id="texts">{texts}</script>
<main id="viewer" data-connection="{name}" data-protocol="{protocol}" data-desktop="desk-01" data-ticket-url="/connections/{name}/ticket"
 data-disconnect-url="/connections/{name}/disconnect" data-log-out-url="/connections/{name}/log-out" data-portal-url="/" data-csrf="csrf-1">
</main><script type="module" src="/static/viewer/viewer.js"></script></body></html>"""

JOINED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>desk-01</title><link rel="icon" href="data:,"></head>
<body><script type="application/json" id="texts">{texts}</script>
<main id="viewer" data-protocol="{protocol}" data-desktop="desk-01" data-joined="{mode}" data-user="ada" data-ticket-url="/connections/{name}/visit"
 data-disconnect-url="/connections/{name}/end" data-portal-url="/" data-csrf="csrf-1">
</main><script type="module" src="/static/viewer/viewer.js"></script></body></html>"""

REPLAY = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>desk-01</title></head>
<body><script type="application/json" id="texts">{texts}</script>
<main id="viewer" data-protocol="{protocol}" data-format="frames" data-content-url="/content/{name}"><a class="player-back" href="/">Back</a></main>
<script type="module" src="/static/viewer/player.js"></script></body></html>"""


def vendor(folder: Path) -> Path:
    """Return the folder of the front-end packages: those of the set-up, else fetched by npm into `folder`."""
    ready = STATIC / "vendor"
    if (ready / "@novnc" / "novnc" / "core" / "rfb.js").exists():
        return ready
    subprocess.run(
        ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), *PACKAGES],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return folder / "node_modules"


class Portal:
    """Adds its routes to a broker double. `posts` remembers what the viewer asked for."""

    def __init__(self, broker: BrokerDouble, packages: Path) -> None:
        self._broker = broker
        self._packages = packages
        self.posts: list[str] = []
        self.answers: list[tuple[str, str]] = []  # to questions of helpers
        self.texts: dict[str, str] = {}
        self.protocols: dict[str, str] = {}
        self.recordings: dict[str, bytes] = {}
        broker.routes["/"] = lambda on: on.reply(200, b"<title>Portal</title><h1>Your desktops</h1>", "text/html")
        broker.prefixes["/view/"] = self._page
        broker.prefixes["/replay/"] = self._replay
        broker.prefixes["/join/"] = self._joined
        broker.prefixes["/content/"] = lambda on: on.reply(
            200, self.recordings[on.path.rpartition("/")[2]], "application/octet-stream"
        )
        broker.prefixes["/connections/"] = self._action
        broker.prefixes["/static/"] = self._static

    def _page(self, on: Handler) -> None:
        name = on.path.rpartition("/")[2]
        page = PAGE.format(name=name, protocol=self.protocols[name], texts=json.dumps(self.texts))
        on.reply(
            200,
            page.encode(),
            "text/html; charset=utf-8",
            Content_Security_Policy=VIEWER_CSP,
            Set_Cookie="session=top; Path=/; Secure",
        )

    def _joined(self, on: Handler) -> None:
        name = on.path.rpartition("/")[2]
        mode = self._broker.visits[name]["shadow"]["mode"]
        page = JOINED.format(name=name, mode=mode, protocol=self.protocols[name], texts=json.dumps(self.texts))
        on.reply(200, page.encode(), "text/html; charset=utf-8", Content_Security_Policy=VIEWER_CSP)

    def _replay(self, on: Handler) -> None:
        name = on.path.rpartition("/")[2]
        page = REPLAY.format(name=name, protocol=self.protocols[name], texts=json.dumps(self.texts))
        on.reply(200, page.encode(), "text/html; charset=utf-8", Content_Security_Policy=VIEWER_CSP)

    def _action(self, on: Handler) -> None:
        _, _, name, action, *more = on.path.split("/")
        body = on.body().decode()
        if action == "shadows":
            self.answers.append((more[0], body))
            on.reply(204, b"", "text/plain")
            return
        self.posts.append(f"{action} {name} {on.headers.get('X-CSRF-Token')}")
        if action in ("ticket", "visit"):
            use = {"use": SHADOW} if action == "visit" else {}
            ticket = self._broker.ticket(name, self.protocols[name], **use)
            on.json(200, {"ticket": ticket, "url": f"/gw/{self.protocols[name]}"})
        else:
            on.reply(303, b"", "text/plain", Location="/")

    def _static(self, on: Handler) -> None:
        path = on.path.partition("?")[0].removeprefix("/static/")
        file = self._packages / path.removeprefix("vendor/") if path.startswith("vendor/") else STATIC / path
        if ".." in path or not file.is_file():
            on.json(404, {})
            return
        kind = (
            "text/javascript" if file.suffix in (".js", ".mjs") else mimetypes.guess_type(file.name)[0] or "text/plain"
        )
        on.reply(200, file.read_bytes(), kind)
