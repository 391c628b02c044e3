"""The one place where an answer of OpenStack that is no success becomes an error of ours, in the cloud's own words."""

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from portico.errors import CloudError, CloudLoginRefused, CloudNotFound, CloudRefused, QuotaExceeded

NAMES = {
    "compute": "Nova", "image": "Glance", "network": "Neutron", "volume": "Cinder", "identity": "Keystone",
    "placement": "Placement", "baremetal": "Ironic",
}  # fmt: skip
_LONGEST = 400  # characters of the cloud's own sentence
# Nova tells a used-up quota from a missing right by its sentence alone: both are 403.
_QUOTA = re.compile(r"quota exceeded|quota has been met|is over a? ?limit|VolumeLimitExceeded|exceeds allowed", re.I)
_TAGS = re.compile(r"<(title|h1)>.*?</\1>|<[^>]*>", re.I | re.S)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service answered. `body` is the JSON read, {} where there was none; `text` the raw text of other answers."""

    service: str
    method: str
    path: str
    status: int
    body: Any
    text: str = ""
    request_id: str = ""
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the service did what it was asked, or accepted to."""
        return 200 <= self.status < 300

    @property
    def detail(self) -> str:
        """For the log: what was asked of whom, the status, and the cloud's id of the request."""
        return f"{self.service} {self.method} {self.path}: {self.status}, request {self.request_id or 'without id'}"


def error_of(answer: Answer) -> CloudError:
    """Return the error that an answer stands for; its `params` hold `status` and `request_id`."""
    name = NAMES.get(answer.service, answer.service)
    words = sentence_of(answer)
    about: dict[str, Any] = {"status": answer.status, "request_id": answer.request_id}
    detail = f"{answer.detail}: {words}"
    if answer.status == 401:
        return CloudLoginRefused(f"{name} does not accept the center's log-in: {words}", detail, **about)
    if is_quota(answer):
        return QuotaExceeded(f"The project's quota does not allow another one. {name} says: {words}", detail, **about)
    if answer.status == 403:
        return CloudRefused(f"The center's user has no right to do this. {name} says: {words}", detail, **about)
    if answer.status == 404:
        return CloudNotFound(f"{name} does not know it (any more): {words}", detail, **about)
    if answer.status == 429:
        wait = answer.retry_after or 30.0
        return CloudError(f"{name} has had too many requests; it is asked again later.", detail, wait, **about)
    if answer.status in (400, 405, 406, 409, 410, 413, 415, 422, 501):
        return CloudRefused(f"{name} refuses: {words}", detail, **about)
    if 300 <= answer.status < 400:
        words = "Its address in the settings or in the catalogue leads elsewhere; redirects are not followed."
        return CloudError(f"{name} answers with a redirect. {words}", detail, **about)
    return CloudError(f"{name} failed: {words}", detail, answer.retry_after or 5.0, **about)


def is_quota(answer: Answer) -> bool:
    """Whether the answer says that the project's quota is used up."""
    if answer.status == 413:
        return True
    error = answer.body.get("NeutronError") if isinstance(answer.body, dict) else None
    if isinstance(error, dict):
        return error.get("type") == "OverQuota"
    return answer.status in (403, 409) and _QUOTA.search(sentence_of(answer)) is not None


def sentence_of(answer: Answer) -> str:
    """Find the cloud's own sentence in an answer, wherever this service puts it."""
    found = " ".join(_TAGS.sub(" ", _words(answer.body) or answer.text).split()) or f"status {answer.status}"
    return found if len(found) <= _LONGEST else found[: _LONGEST - 1] + "…"


def retry_after(text: str | None, now: float) -> float | None:
    """Read a Retry-After header, seconds or a date; None when there is none that can be read."""
    if not text:
        return None
    try:
        return (
            max(0.0, float(text)) if text.strip().isdigit() else max(0.0, parsedate_to_datetime(text).timestamp() - now)
        )
    except (TypeError, ValueError):
        return None


def _words(body: Any) -> str:
    if isinstance(body, str):
        try:
            inner = json.loads(body)
        except ValueError:
            return " ".join(body.split())
        return _words(inner) if isinstance(inner, dict) else body
    if not isinstance(body, dict):
        return ""
    for key in ("message", "faultstring", "detail", "title"):
        if isinstance(body.get(key), str) and body[key]:
            return " ".join(str(body[key]).split())
    for (
        value
    ) in body.values():  # {"badRequest": {…}}, {"NeutronError": {…}}, {"error_message": "{…}"}, {"errors": [{…}]}
        inner = _words(value[0] if isinstance(value, list) and value else value)
        if inner:
            return inner
    return ""
