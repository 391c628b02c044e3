"""Which second factors count for somebody, and RADIUS servers as an administrator configures them. Pure."""

from dataclasses import dataclass

from portico.domain.model import Policy, Role


@dataclass(frozen=True, slots=True)
class RadiusServers:
    """RADIUS servers that check codes and stand in for one another; without their shared secret, which is sealed."""

    id: str
    tenant_id: str
    name: str
    servers: tuple[str, ...] = ()  # host, host:port; asked in this order
    timeout_seconds: int = 5  # that one of them may take
    send_name: str = "login_name"  # login_name | email | with_domain
    push: bool = False  # whether the code may be left empty, so that a phone is asked
    message_authenticator: bool = True  # answers without one are not believed
    nas_identifier: str = "portico"
    version: int = 1


@dataclass(frozen=True, slots=True)
class Factors:
    """What counts: the codes of these RADIUS servers, and whether an app or a passkey that was set up here does."""

    radius_id: str | None
    own: bool


def factors_of(role: Role, policy: Policy) -> Factors:
    """Return what counts by role and policy. The role's servers come first; the strictest of both decides on one's own factors."""
    naming = [one for one in (role, policy) if one.radius_id]
    return Factors(naming[0].radius_id if naming else None, all(one.radius_or_own for one in naming))
