"""What an administrator tells of an OpenStack project: the form of a center, checked before anything is sent."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Annotated

from portico.egress import read_url
from portico.errors import Invalid
from portico.ports.cloud import Meta

PASSWORD = "password"  # noqa: S105 - the name of a kind
APPLICATION_CREDENTIAL = "application credential"
CLOUDS_YAML = "clouds.yaml"
OIDC_PASSWORD = "OpenID Connect password"  # noqa: S105 - the name of a kind
OIDC_CLIENT = "OpenID Connect client credentials"
AUTH_TYPES = (PASSWORD, APPLICATION_CREDENTIAL, CLOUDS_YAML, OIDC_PASSWORD, OIDC_CLIENT)

_VERSION = re.compile(r"/v(\d+)(?:\.(\d+))?/*$", re.IGNORECASE)

# kind → the fields that it needs, with the remedy for each that is empty
_NEEDED: dict[str, dict[str, str]] = {
    PASSWORD: {
        "auth_url": "Give the address of Keystone, such as https://cloud.example:5000/v3.",
        "project": "Give the project's name or id.",
        "username": "Give the user's name.",
        "password": "Give the user's password.",
    },
    APPLICATION_CREDENTIAL: {
        "auth_url": "Give the address of Keystone, such as https://cloud.example:5000/v3.",
        "application_credential_id": "Give the application credential's id.",
        "application_credential_secret": "Give the application credential's secret.",
    },
    CLOUDS_YAML: {"clouds_yaml": "Paste the text of a clouds.yaml, passwords included."},
    OIDC_PASSWORD: {
        "auth_url": "Give the address of Keystone, such as https://cloud.example:5000/v3.",
        "project": "Give the project's name or id.",
        "username": "Give the user's name.",
        "password": "Give the user's password.",
        "identity_provider": "Give the identity provider's name in Keystone.",
        "discovery_endpoint": "Give the provider's address that ends with /.well-known/openid-configuration.",
        "client_id": "Give the id that the provider knows this client by.",
    },
    OIDC_CLIENT: {
        "auth_url": "Give the address of Keystone, such as https://cloud.example:5000/v3.",
        "project": "Give the project's name or id.",
        "identity_provider": "Give the identity provider's name in Keystone.",
        "discovery_endpoint": "Give the provider's address that ends with /.well-known/openid-configuration.",
        "client_id": "Give the id that the provider knows this client by.",
        "client_secret": "Give the client's secret.",
    },
}


@dataclass(frozen=True, slots=True)
class OpenStackSettings:
    """How to reach one project of an OpenStack cloud, and as whom."""

    auth_type: Annotated[str, Meta("Log in with", "What Keystone is shown.", choices=AUTH_TYPES)] = PASSWORD
    auth_url: Annotated[
        str, Meta("Auth URL", "Keystone's address, version 3, such as https://cloud.example:5000/v3.")
    ] = ""
    domain: Annotated[str, Meta("Domain", "The user's, by name or id; the project's too, unless given below.")] = (
        "Default"
    )
    project: Annotated[str, Meta("Project", "By name or id. A center serves one project.")] = ""
    username: Annotated[str, Meta("Username")] = ""
    password: Annotated[str, Meta("Password", secret=True)] = field(default="", repr=False)
    region: Annotated[str, Meta("Region", "Empty: the only one, or the first of the catalogue.")] = ""
    ca_certificates: Annotated[
        str,
        Meta(
            "CA certificates",
            "In PEM form, where the cloud's own are not signed by a public authority.",
            multiline=True,
        ),
    ] = ""
    network: Annotated[
        str, Meta("Network UUID", "For new desktops whose pool chooses none. Empty: a pool must choose one.")
    ] = ""
    application_credential_id: Annotated[str, Meta("Application credential's id")] = ""
    application_credential_secret: Annotated[str, Meta("Application credential's secret", secret=True)] = field(
        default="", repr=False
    )
    clouds_yaml: Annotated[
        str,
        Meta(
            "clouds.yaml", "The text of the file; it takes the place of the fields above.", secret=True, multiline=True
        ),
    ] = field(default="", repr=False)
    cloud_name: Annotated[str, Meta("Cloud's name in clouds.yaml", "May be empty where there is only one.")] = ""
    project_domain: Annotated[str, Meta("Domain of the project", "Empty: the user's domain.", advanced=True)] = ""
    interface: Annotated[
        str,
        Meta("Interface", "Which addresses of the catalogue to use.", choices=("public", "internal", "admin"),
             advanced=True),
    ] = "public"  # fmt: skip
    identity_provider: Annotated[str, Meta("Identity provider", "Its name in Keystone.", advanced=True)] = ""
    oidc_protocol: Annotated[str, Meta("Federation protocol", "Its name in Keystone.", advanced=True)] = "openid"
    discovery_endpoint: Annotated[
        str, Meta("Discovery address", "The provider's .well-known/openid-configuration.", advanced=True)
    ] = ""
    client_id: Annotated[str, Meta("Client id", "At the identity provider.", advanced=True)] = ""
    client_secret: Annotated[str, Meta("Client secret", "At the identity provider.", secret=True, advanced=True)] = (
        field(default="", repr=False)
    )
    access_from: Annotated[
        str,
        Meta(
            "Brokers and gateways come from",
            "Networks such as 192.0.2.0/24, for the rules that Portico adds to the default security group. Empty: everywhere.",
            advanced=True,
        ),
    ] = ""
    create_parallelism: Annotated[
        int, Meta("Creates at a time", "More rarely make a cloud faster.", unit="requests", advanced=True)
    ] = 3
    read_seconds: Annotated[
        int, Meta("Answer within", "How long a service may take for an answer.", unit="s", advanced=True)
    ] = 60
    page_size: Annotated[int, Meta("Page size", "How many things one call may list.", advanced=True)] = 1000

    def __post_init__(self) -> None:
        """Check what can be checked without the cloud. Raises Invalid with a sentence for each wrong field."""
        wrong = {}
        if self.auth_type in AUTH_TYPES:
            needed = _NEEDED[self.auth_type]
            wrong = {name: remedy for name, remedy in needed.items() if not getattr(self, name).strip()}
        for name in ("auth_url", "discovery_endpoint"):
            if getattr(self, name).strip() and name not in wrong:
                wrong |= _wrong_url(name, getattr(self, name))
        for name, least, most in (("create_parallelism", 1, 50), ("read_seconds", 5, 600), ("page_size", 1, 10_000)):
            if not least <= getattr(self, name) <= most:
                wrong[name] = f"Give a number from {least} to {most}."
        try:
            for text in self.access_from.replace(",", " ").split():
                ipaddress.ip_network(text)
        except ValueError:
            wrong["access_from"] = "Give networks such as 192.0.2.0/24, separated by spaces."
        if wrong:
            raise Invalid(" ".join(wrong.values()), wrong)


def keystone_url(auth_url: str) -> tuple[str, bool]:
    """Return Keystone's address without a trailing slash, and whether it names version 3 (else it is to be discovered)."""
    text = auth_url.strip().rstrip("/")
    found = _VERSION.search(text)
    return (text[: found.start()] + "/v3", True) if found else (text, False)


def _wrong_url(name: str, text: str) -> dict[str, str]:
    try:
        url = read_url(text, name)
    except Invalid as problem:
        return problem.fields
    found = _VERSION.search(url.path)
    if name == "auth_url" and found and (found[1], found[2] or "0") != ("3", "0"):
        return {name: f"Portico speaks version 3 of Keystone, not {found[0].strip('/')}: let the address end with /v3."}
    return {}
