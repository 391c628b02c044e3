"""Why the gateway turns a browser away or ends its session: one code of wire.gateway.CLOSE and its sentence."""

from portico.wire.gateway import CLOSE

SENTENCES = {
    "ticket.invalid": "This link to the desktop is no longer valid. Open the desktop again.",
    "ticket.used": "This link to the desktop was used already. Open the desktop again.",
    "session.ended": "The session has ended.",
    "desktop.unreachable": "The desktop does not answer.",
    "desktop.refused": "The desktop did not accept the connection.",
    "credentials.wanted": "The desktop asks for a user name and a password.",
    "desktop.changed": "The desktop shows another certificate than the one it reported. An administrator must look into it.",
    "recording.failed": "The session must be recorded, and that is not possible now.",
    "shadow.waiting": "The session is being opened again.",
    "shadow.ended": "The visit to this session is over.",
    "idle": "The session ended because nobody used it.",
    "time.up": "The session's time is up.",
    "closed.by_administrator": "An administrator closed the session.",
    "closed.elsewhere": "The desktop was opened on another device.",
    "broker.unreachable": "The broker does not answer, so no new session can be opened. Running sessions go on.",
    "draining": "This gateway is being restarted. Try again in a moment.",
}

# For an RDP client, which knows HTTP's status codes only.
STATUS = {
    "credentials.wanted": 401,
    "ticket.invalid": 401,
    "ticket.used": 401,
    "session.ended": 410,
    "desktop.refused": 403,
    "desktop.changed": 403,
}


class Refused(Exception):
    """The browser may not come in, or not now. `code` is a name of CLOSE, `detail` is for the log, `told` for the page."""

    def __init__(self, code: str, detail: str = "", **told: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code if code in CLOSE else "session.ended"
        self.detail = detail
        self.told = told

    @property
    def sentence(self) -> str:
        """What the person is told, in English; the page has its own words for each code."""
        return SENTENCES[self.code]

    @property
    def status(self) -> int:
        """The HTTP status that says the same, more or less."""
        return STATUS.get(self.code, 503)
