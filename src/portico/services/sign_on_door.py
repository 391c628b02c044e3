"""What a provider must know of us and what it sends by itself: our description, its own starts, its notices of log-outs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from portico.domain.access import Actor, Level
from portico.domain.directories import DirectoryRecord
from portico.errors import NotFound
from portico.ports.sign_on import Ended
from portico.services import sign_on
from portico.services.broker import Broker
from portico.services.directories import answer_of, by_redirect, gate_of, own_url
from portico.services.guards import require

LOGOUT_PATH = "/login/saml/{}/logout"


@dataclass(frozen=True, slots=True)
class Door:
    """What a provider's administrator enters there.

    `answers`: where log-ins come back to, and `logouts`: where it tells of log-outs, the usual address first. `entity_id` and
    `metadata_url` are empty where a provider gives us a name itself.
    """

    entity_id: str
    metadata_url: str
    answers: tuple[str, ...]
    logouts: tuple[str, ...]


def is_described(broker: Broker, directory: DirectoryRecord) -> bool:
    """Tell whether a provider must know us before anybody can be sent there."""
    return hasattr(broker.directory_drivers.get(directory.kind), "describe_us")


def door(broker: Broker, actor: Actor, directory_id: str) -> Door | None:
    """Return what to enter at a directory's provider; None for a directory without one. Raises NotFound, Denied."""
    require(actor, "directories", Level.VIEW)
    directory = broker.snapshots.get(fresh=True).directories.get(directory_id)
    if directory is None or directory.tenant_id != actor.tenant_id:
        raise NotFound("There is no such directory.")
    return _door(broker, directory) if by_redirect(broker, directory) else None


def description(broker: Broker, directory_id: str) -> bytes:
    """Return our description for a provider, which anybody may read. Raises NotFound, DirectoryError."""
    directory = _described(broker, directory_id)
    ours = _door(broker, directory)
    described: bytes = gate_of(broker, directory).driver.describe_us(ours.answers, ours.logouts)
    return described


def is_unasked(broker: Broker, directory_id: str, answer: Mapping[str, str]) -> bool:
    """Tell whether an answer is one to no request at all. Raises NotFound, DirectoryRefused for what is no answer."""
    gate = gate_of(broker, _described(broker, directory_id))
    return answer_of(gate.submit(lambda: bool(gate.driver.is_unasked(answer))))


def logged_out(broker: Broker, directory_id: str, here: str, told: Mapping[str, str]) -> str:
    """End the sessions that a provider's notice names; returns where the browser that brought it goes, "" for nowhere.

    Raises NotFound, DirectoryRefused for a forged notice, DirectoryError.
    """
    directory = _described(broker, directory_id)
    gate = gate_of(broker, directory)
    notice: Ended = answer_of(gate.submit(partial(gate.driver.ended, here, told)))
    sign_on.end(broker, directory, notice)
    return notice.answer


def _described(broker: Broker, directory_id: str) -> DirectoryRecord:
    directory = sign_on.provider(broker, directory_id)
    if not is_described(broker, directory):
        raise NotFound("There is no such way to log in.")
    return directory


def _door(broker: Broker, directory: DirectoryRecord) -> Door:
    config = broker.config
    tenant = broker.snapshots.get().tenants.get(directory.tenant_id)
    port = urlsplit(config.public_url).port
    hosts = [
        f"https://{host}{f':{port}' if port not in (None, 443) else ''}" for host in (tenant.hosts if tenant else ())
    ]
    origins = [url.rstrip("/") for url in (config.public_url, *config.other_urls, *hosts)]
    if is_described(broker, directory):
        back, logout = sign_on.POST_PATH.format(directory.id), LOGOUT_PATH.format(directory.id)
        described = own_url(broker, directory.id)
    else:
        back, logout, described = sign_on.RETURN_PATH, sign_on.ENDED_PATH, ""
    return Door(
        described, described, tuple(dict.fromkeys(origin + back for origin in origins)),
        tuple(dict.fromkeys(origin + logout for origin in origins)),
    )  # fmt: skip
