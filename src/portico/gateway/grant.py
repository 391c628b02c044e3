"""What a redeemed ticket grants (wire.gateway, GRANT), read and checked. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portico.gateway.moments import unix_seconds


class BadGrant(Exception):
    """The broker's grant cannot be read: it speaks another version than we do. Names the field."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the desktop; never leaves the gateway and never shows in a log."""

    username: str
    domain: str
    password: str = field(repr=False)
    ssh_key: str = field(repr=False)
    ssh_certificate: str
    ssh_host_keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """What the person may do within the session. `expires_at` is Unix seconds."""

    clipboard_in: bool
    clipboard_out: bool
    files_in: bool
    files_out: bool
    drives: bool
    printers: bool
    usb: bool
    view_only: bool
    idle_seconds: int | None
    expires_at: float | None
    watermark: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it forbids nothing that only somebody who reads along could hold back."""
        clipboard, files = self.clipboard_in and self.clipboard_out, self.files_in and self.files_out
        return clipboard and files and self.drives and self.printers and self.usb and not self.view_only

    def told(self) -> dict[str, object]:
        """Return what the page must know of it."""
        return {
            "clipboard_in": self.clipboard_in,
            "clipboard_out": self.clipboard_out,
            "files_in": self.files_in,
            "files_out": self.files_out,
            "view_only": self.view_only,
            "idle_seconds": self.idle_seconds,
            "expires_at": self.expires_at,
            "watermark": self.watermark,
        }


@dataclass(frozen=True, slots=True)
class Recording:
    """That the session is to be recorded: under which id, and sealed for whom."""

    id: str
    required: bool
    key: str
    public: bytes  # raw X25519


@dataclass(frozen=True, slots=True)
class Grant:
    """One session: where, as whom, under which policy."""

    connection: str
    user: str
    protocol: str
    host: str
    port: int
    realm: str
    credentials: Credentials
    policy: SessionPolicy
    certificates: tuple[str, ...] = ()  # SHA-256 in hex of the certificates that the desktop may show; none: any
    recording: Recording | None = None
    entry: str = ""  # what the broker calls this coming in
    shadowed: bool = False  # somebody may join this session
    deep_colour: bool = True  # ask an RDP desktop for 32 bits a pixel whatever the browser asks


def parse_grant(fields: Mapping[str, Any]) -> Grant:
    """Read a GRANT. Raises BadGrant."""
    target = _get(fields, "target", Mapping)
    credentials = _get(fields, "credentials", Mapping)
    policy = _get(fields, "policy", Mapping)
    port = _get(target, "port", int)
    if not 0 < port < 65536:
        raise BadGrant("target.port")
    return Grant(
        connection=_get(fields, "connection", str),
        user=_get(fields, "user", str),
        protocol=_get(fields, "protocol", str),
        host=_get(target, "host", str),
        port=port,
        realm=_get(target, "realm", str),
        credentials=Credentials(
            username=_get(credentials, "username", str, ""),
            domain=_get(credentials, "domain", str, ""),
            password=_get(credentials, "password", str, ""),
            ssh_key=_get(credentials, "ssh_key", str, ""),
            ssh_certificate=_get(credentials, "ssh_certificate", str, ""),
            ssh_host_keys=_texts(credentials, "ssh_host_keys"),
        ),
        policy=SessionPolicy(
            # A switch that is missing is off: a policy that cannot be read must not open anything.
            clipboard_in=_get(policy, "clipboard_in", bool, False),
            clipboard_out=_get(policy, "clipboard_out", bool, False),
            files_in=_get(policy, "files_in", bool, False),
            files_out=_get(policy, "files_out", bool, False),
            drives=_get(policy, "drives", bool, False),
            printers=_get(policy, "printers", bool, False),
            usb=_get(policy, "usb", bool, False),
            view_only=_get(policy, "view_only", bool, False),
            idle_seconds=_get(policy, "idle_seconds", int, None),
            expires_at=_moment(policy.get("expires_at")),
            watermark=_get(policy, "watermark", str, ""),
        ),
        certificates=_texts(target, "certificates"),
        recording=_recording(fields.get("recording")),
        entry=_get(fields, "entry", str, ""),
        shadowed=_get(fields, "shadowed", bool, False),
        deep_colour=_get(target, "deep_colour", bool, True),
    )


@dataclass(frozen=True, slots=True)
class Visit:
    """What a helper's ticket grants: to join the session of a connection, until `expires_at` (Unix seconds)."""

    id: str
    connection: str
    protocol: str
    realm: str
    who: str
    control: bool
    expires_at: float


def parse_visit(fields: Mapping[str, Any]) -> Visit:
    """Read the GRANT of a shadow ticket. Raises BadGrant."""
    shadow = _get(fields, "shadow", Mapping)
    until = _moment(shadow.get("expires_at"))
    if until is None:
        raise BadGrant("shadow.expires_at")
    return Visit(
        id=_get(shadow, "id", str),
        connection=_get(fields, "connection", str),
        protocol=_get(fields, "protocol", str),
        realm=_get(fields, "realm", str),
        who=_get(shadow, "who", str),
        control=_get(shadow, "mode", str) == "control",
        expires_at=until,
    )


def _recording(fields: object) -> Recording | None:
    if fields is None:
        return None
    if not isinstance(fields, Mapping):
        raise BadGrant("recording")
    name = _get(fields, "id", str)
    if not name or not all(character.isalnum() or character == "-" for character in name) or len(name) > 40:
        raise BadGrant("recording.id")  # it becomes the name of a file
    try:
        public = bytes.fromhex(_get(fields, "public", str))
    except ValueError as problem:
        raise BadGrant("recording.public") from problem
    if len(public) != 32:
        raise BadGrant("recording.public")
    return Recording(name, _get(fields, "mode", str) != "on", _get(fields, "key", str), public)


_REQUIRED: Any = object()


def _get(fields: Mapping[str, Any], name: str, kind: type[Any], default: Any = _REQUIRED) -> Any:
    value = fields.get(name)
    if value is None and default is not _REQUIRED:
        return default
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadGrant(name)
    return value


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadGrant(name)
    return tuple(value)


def _moment(value: object) -> float | None:
    try:
        return unix_seconds(value)
    except ValueError as problem:
        raise BadGrant("expires_at") from problem
