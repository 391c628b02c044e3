"""What is asked of Keystone (Identity API v3), and what its answers mean."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from portico.directories.keystone_wire import Answer, NotWhole, Talk
from portico.errors import DirectoryError, DirectoryRefused
from portico.ports.directory import Standing

MAX_TEXT = 300  # characters of Keystone's own sentence
CREATED, BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TOO_MANY = 201, 400, 401, 403, 404, 429
# Keystone says these only to who has typed the right password, but for the second, which it hides since 2021
# (CVE-2021-38155). Which user is meant is at the end.
_TOLD = (
    (re.compile(r"password is expired.*?: (\S+?)\.?$"), Standing.EXPIRED),
    (re.compile(r"account is locked.*?: (\S+?)\.?$"), Standing.LOCKED),
    (re.compile(r"account is disabled.*?: (\S+?)\.?$"), Standing.DISABLED),
)


_TROUBLE = {
    UNAUTHORIZED: "Keystone does not take the token that it gave. Try again.",
    FORBIDDEN: "Keystone does not let the account read this. Give it the role reader on the domain.",
    BAD_REQUEST: "Keystone does not take what was asked.",
    NOT_FOUND: "There is no Keystone of version 3 at the Auth URL.",
    TOO_MANY: "Keystone has had too many requests.",
}


class TokenRefused(DirectoryError):
    """A token has run out, or was taken back."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a password. `token` is there when it was right and nothing else is wrong."""

    standing: Standing
    user_id: str = ""
    name: str = ""  # as Keystone writes it
    domain_id: str = ""
    token: str = ""
    detail: str = ""


def by_password(user: Mapping[str, Any], password: str, scope: Any = "unscoped") -> dict[str, Any]:
    """Write the body of a log-in by password. `user`: {"id": …} or {"name": …, "domain": …}."""
    identity = {"methods": ["password"], "password": {"user": {**user, "password": password}}}
    return {"auth": {"identity": identity, "scope": scope}}


def by_application_credential(id: str, secret: str) -> dict[str, Any]:
    """Write the body of a log-in by an application credential, whose scope is its own."""
    given = {"id": id, "secret": secret}
    return {"auth": {"identity": {"methods": ["application_credential"], "application_credential": given}}}


def log_in(talk: Talk, body: Mapping[str, Any]) -> tuple[Answer, Tried]:
    """Ask for a token; returns the answer and what it means. Raises DirectoryError, DirectoryRefused."""
    answer = talk.ask("POST", "/auth/tokens", body=body)
    if answer.status == CREATED:
        token = answer.headers.get("x-subject-token", "")
        user = record(record(answer.body, "token"), "user")
        if not token or not text(user, "id"):
            raise strange(answer)
        domain = text(record(user, "domain"), "id")
        return answer, Tried(Standing.OK, text(user, "id"), text(user, "name"), domain, token)
    if answer.status != UNAUTHORIZED:
        raise trouble(answer)
    if "openstack-auth-receipt" in answer.headers:  # the password was right, and more is wanted
        user = record(record(answer.body, "receipt"), "user")
        return answer, Tried(Standing.SECOND_FACTOR, text(user, "id"), text(user, "name"))
    said = sentence(answer)
    for form, standing in _TOLD:
        if found := form.search(said):
            return answer, Tried(standing, found[1], detail=said)
    return answer, Tried(Standing.WRONG, detail=said)


def revoke(talk: Talk, token: str) -> None:
    """Make a token worthless. Raises DirectoryError."""
    answer = talk.ask("DELETE", "/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": token})
    if not answer.is_success and answer.status not in (UNAUTHORIZED, NOT_FOUND):
        raise trouble(answer)


def read(talk: Talk, token: str, path: str, **query: str) -> Any:
    """GET something with a token; None for what is not there. Raises DirectoryError, DirectoryRefused."""
    answer = talk.ask("GET", f"{path}?{urlencode(query)}" if query else path, headers={"X-Auth-Token": token})
    if answer.status == NOT_FOUND:
        return None
    if not answer.is_success:
        raise trouble(answer)
    return answer.body


def listed(talk: Talk, token: str, path: str, key: str, **query: str) -> list[dict[str, Any]]:
    """Return a whole list. Raises DirectoryError, also when Keystone gives a part of it only."""
    body = read(talk, token, path, **query)
    found = record(body).get(key)
    if not isinstance(found, list):
        raise DirectoryError("The directory's server answers with an error, or not at all.", f"{path}: no {key}")
    if record(body).get("truncated"):
        raise NotWhole(
            "Keystone answers with fewer entries than there are. Raise its list_limit.", f"{path}: truncated"
        )
    return [one for one in found if isinstance(one, dict)]


def trouble(answer: Answer) -> DirectoryError:
    """Return the error for an answer that is no success."""
    said = f"{answer.status} {sentence(answer)}"
    words = _TROUBLE.get(answer.status, "")
    if answer.status == UNAUTHORIZED:
        return TokenRefused(words, said)
    if answer.status in (FORBIDDEN, BAD_REQUEST):  # whoever typed it, nobody else is kept from logging in
        return DirectoryRefused(words, said)
    return DirectoryError(words, said) if words else strange(answer)


def strange(answer: Answer) -> DirectoryError:
    """Return the error for an answer that makes no sense."""
    return DirectoryError(
        "The directory's server answers with an error, or not at all.", f"{answer.status} {sentence(answer)}"
    )


def sentence(answer: Answer) -> str:
    """Return Keystone's own words in an answer."""
    said = record(record(answer.body), "error").get("message")
    return " ".join(said.split())[:MAX_TEXT] if isinstance(said, str) else ""


def record(value: Any, name: str = "") -> dict[str, Any]:
    """Return a value, or what it holds by a name, if that is a record; else an empty one."""
    if name:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: Mapping[str, Any], name: str) -> str:
    """Return a text of a record, "" without one."""
    found = value.get(name)
    return found if isinstance(found, str) else ""
