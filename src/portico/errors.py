"""Trouble, as a tree of classes with stable codes; an everyday "no" is a value instead (domain.explain.Reason).

PorticoError
├── Invalid       what was sent cannot be used; names the fields
├── Denied        who asks may not do that
├── Unauthenticated  nobody, or nobody any more, is logged in
├── NotFound      there is no such thing (or not for this tenant)
├── Conflict      it is in use, or was already done ── Stale (somebody changed it meanwhile)
├── RateLimited   too many tries; carries seconds to wait
└── Unavailable   something that we need does not answer; worth trying again
    ├── CloudError ── QuotaExceeded, CloudRefused, CloudNotFound
    ├── DirectoryError ── DirectoryRefused
    └── AgentUnreachable
"""

from collections.abc import Mapping


class PorticoError(Exception):
    """Base of all trouble. `code` is stable; `sentence` is for the user; `detail` is for the log."""

    code = "error"

    def __init__(self, sentence: str, detail: str = "", **params: object) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail = detail
        self.params = params


class Invalid(PorticoError):
    """What was sent cannot be used. `fields` maps a field's name to a sentence with its remedy."""

    code = "invalid"

    def __init__(self, sentence: str, fields: Mapping[str, str] | None = None, detail: str = "") -> None:
        super().__init__(sentence, detail)
        self.fields = dict(fields or {})


class Unauthenticated(PorticoError):
    """Nobody is logged in, or the session has ended."""

    code = "unauthenticated"


class Denied(PorticoError):
    """The role of whoever asks does not allow this."""

    code = "denied"


class NotFound(PorticoError):
    """There is no such thing, or not for this tenant."""

    code = "not_found"


class Conflict(PorticoError):
    """It was changed meanwhile, is in use, or was already done."""

    code = "conflict"


class Stale(Conflict):
    """What is to be changed is no longer at the version that was read."""

    code = "conflict.version"


class Unavailable(PorticoError):
    """Something that we need does not answer. Worth trying again after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, sentence: str, detail: str = "", retry_after: float = 5.0, **params: object) -> None:
        super().__init__(sentence, detail, **params)
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """Too many tries."""

    code = "rate_limited"


class CloudError(Unavailable):
    """A cloud failed to do what we asked, and might do it later."""

    code = "cloud.failed"


class QuotaExceeded(CloudError):
    """The project's quota does not allow another one. Not a failure: provisioning pauses until the quota changes."""

    code = "cloud.quota"


class CloudRefused(CloudError):
    """The cloud will not do this however often we ask (bad image, no right, unsupported action)."""

    code = "cloud.refused"


class CloudLoginRefused(CloudRefused):
    """The cloud does not accept the center's log-in: whatever was asked, it is nothing that the thing asked for did wrong."""

    code = "cloud.login_refused"


class CloudNotFound(CloudError):
    """The cloud does not know this machine (any more)."""

    code = "cloud.not_found"


class AgentUnreachable(Unavailable):
    """The agent of a desktop does not answer."""

    code = "agent.unreachable"


class DirectoryError(Unavailable):
    """A directory does not answer, or not as it should."""

    code = "directory.failed"


class DirectoryRefused(DirectoryError):
    """A directory will not do this however often we ask, such as taking a password that is too short."""

    code = "directory.refused"
