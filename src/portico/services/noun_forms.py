"""What may be written of the nouns that are no configuration records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CenterForm:
    """What may be written of a center; `settings` are checked against its driver."""

    name: str
    kind: str
    notes: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    active: bool = True
    offer_desktops: bool = True
    new_as_deletable: bool = False
    start_unavailable: bool = False
    realm: str = ""
    scan_seconds: int = 60
    fast_scan_seconds: int = 5
    full_pass_seconds: int = 900


@dataclass(frozen=True, slots=True)
class UserForm:
    """What may be written of a local user."""

    login_name: str
    role_id: str
    display_name: str = ""
    email: str = ""
    password: str | None = None
    policy_id: str | None = None
    disabled: bool = False
    must_change_password: bool = False
    service: bool = False


@dataclass(frozen=True, slots=True)
class DesktopForm:
    """What may be changed of a desktop by hand."""

    display_name: str = ""
    notes: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    status: str = "available"
    maintenance: bool = False
    deletable: bool = False
    max_sessions: int = 1


@dataclass(frozen=True, slots=True)
class ClientForm:
    """What may be changed of a device by hand."""

    name: str
    notes: str = ""


@dataclass(frozen=True, slots=True)
class GatewayForm:
    """What may be changed of a gateway."""

    name: str
    group_id: str | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True)
class TenantForm:
    """What may be written of a tenant."""

    name: str
    path: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RadiusForm:
    """What may be written of RADIUS servers."""

    name: str
    servers: tuple[str, ...]
    secret: str | None = None
    timeout_seconds: int = 5
    send_name: str = "login_name"
    push: bool = False
    message_authenticator: bool = True
    nas_identifier: str = "portico"


@dataclass(frozen=True, slots=True)
class TokenForm:
    """What may be said of a new API token."""

    name: str
    days: int | None = 90
    scopes: Mapping[str, str] | None = None
    networks: tuple[str, ...] = ()
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class JoinKeyForm:
    """What may be said of a new join key."""

    name: str
    center_id: str | None = None
    days: int | None = 365


@dataclass(frozen=True, slots=True)
class SettingForm:
    """The new value of a setting."""

    value: int | str
