"""Logging in to Keystone: the plugin for each kind of credential, and what its failures mean."""

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from keystoneauth1 import exceptions
from keystoneauth1.identity import v3
from keystoneauth1.identity.base import BaseIdentityPlugin

from portico.clouds.openstack_settings import (
    APPLICATION_CREDENTIAL,
    OIDC_CLIENT,
    OIDC_PASSWORD,
    OpenStackSettings,
    keystone_url,
)
from portico.errors import CloudError, CloudLoginRefused, CloudRefused

_URL = re.compile(r"https?://[^\s'\"]+")
_ID = re.compile(r"[0-9a-f]{32}(?:[0-9a-f]{32})?")


def plugin(settings: OpenStackSettings, auth_url: str, *, scoped: bool = True) -> BaseIdentityPlugin:
    """Build the plugin that logs in as the settings say, at Keystone's address `auth_url` (…/v3)."""
    if settings.auth_type == APPLICATION_CREDENTIAL:
        return v3.ApplicationCredential(
            auth_url,
            application_credential_id=settings.application_credential_id,
            application_credential_secret=settings.application_credential_secret,
        )
    project = _project(settings) if scoped else {}
    if settings.auth_type in (OIDC_PASSWORD, OIDC_CLIENT):
        provider: dict[str, Any] = {
            "identity_provider": settings.identity_provider,
            "protocol": settings.oidc_protocol,
            "client_id": settings.client_id,
            "client_secret": settings.client_secret,
            "discovery_endpoint": settings.discovery_endpoint,
        }
        if settings.auth_type == OIDC_CLIENT:
            return v3.OidcClientCredentials(auth_url, **provider, **project)
        return v3.OidcPassword(
            auth_url, **provider, username=settings.username, password=settings.password, **project
        )  # fmt: skip
    user: dict[str, Any] = {"user_id": settings.username} if _ID.fullmatch(settings.username) else _user(settings)
    return v3.Password(auth_url, password=settings.password, **user, **project)


def find_keystone(http: requests.Session, auth_url: str) -> str:
    """Return the address of version 3, asking a bare one which versions it has. Raises CloudError with a sentence."""
    text, named = keystone_url(auth_url)
    if named:
        return text
    try:
        response = http.get(text + "/", headers={"Accept": "application/json"})
        body = response.json()
        values = (body.get("versions") or {}).get("values") or [body.get("version")]
        offered = {str(one.get("id", "")): one for one in values if isinstance(one, dict)}
    except requests.RequestException as problem:
        raise not_reached(text, problem) from problem
    except (ValueError, AttributeError) as problem:
        raise CloudRefused(
            "There is no Keystone at the Auth URL. Give the address that ends with /v3.", f"GET {text}: no versions"
        ) from problem
    mine = next((one for name, one in sorted(offered.items(), reverse=True) if name.startswith("v3")), None)
    if mine is None:
        names = ", ".join(sorted(filter(None, offered))) or "none"
        raise CloudRefused(
            f"Keystone at the Auth URL does not speak version 3, which Portico needs. It offers {names}.",
            f"GET {text}: versions {names}",
        )
    links = [link.get("href", "") for link in mine.get("links", ()) if link.get("rel") == "self"]
    # Behind a balancer Keystone often names an inner host: the path is taken from its answer, the host is the typed one.
    path = urlsplit(links[0]).path.rstrip("/") if links else ""
    return urljoin(text, path) if path.endswith("/v3") else f"{text}/v3"


def trouble(problem: Exception, where: str) -> CloudError:
    """Turn what keystoneauth or requests raised, at Keystone or on the way to a service, into an error of ours."""
    if isinstance(problem, exceptions.Unauthorized):
        return CloudLoginRefused(
            "Keystone does not accept the center's log-in. Check the user name, the password, the domain and the project.",
            f"{where}: {problem}",
            status=401,
        )
    if isinstance(problem, exceptions.NotFound):
        return CloudRefused(
            "There is no Keystone of version 3 at the Auth URL, or it does not know the identity provider.",
            f"{where}: {problem}",
            status=404,
        )
    if isinstance(problem, exceptions.HttpError):
        if problem.http_status < 500 and problem.http_status != 429:
            return CloudRefused(f"Keystone refuses the log-in: {problem.message}", f"{where}: {problem}")
        return CloudError(f"Keystone failed: {problem.message}", f"{where}: {problem}", 15.0)
    if isinstance(problem, exceptions.EndpointNotFound | exceptions.MissingAuthPlugin | exceptions.EmptyCatalog):
        return CloudRefused(f"The cloud's catalogue has no such service: {problem}", where)
    if isinstance(problem, exceptions.InvalidResponse | exceptions.DiscoveryFailure):
        return CloudRefused("There is no Keystone of version 3 at the Auth URL.", f"{where}: {problem}")
    return not_reached(where, problem)


def not_reached(where: str, problem: Exception) -> CloudError:
    """Return the error for a service that could not be spoken to, by what stood in the way."""
    cause = str(problem)
    url = _URL.search(cause) or _URL.search(where)
    host = urlsplit(url[0]).netloc if url else where
    if isinstance(problem, exceptions.SSLError | requests.exceptions.SSLError):
        return CloudError(
            f"The certificate of {host} cannot be verified ({_tls_words(cause)}). "
            "Paste the cloud's CA into “CA certificates”, or renew the cloud's certificate.",
            f"{where}: {cause}",
            60.0,
        )
    if isinstance(problem, exceptions.ConnectTimeout | requests.exceptions.Timeout):
        return CloudError(f"{host} did not answer in time.", f"{where}: {cause}", 15.0, outcome="unknown", late=True)
    return CloudError(
        f"{host} cannot be reached. Check its address, and that it runs.", f"{where}: {cause}", 15.0, outcome="unknown"
    )


def _tls_words(text: str) -> str:
    for words in ("certificate has expired", "self-signed certificate", "unable to get local issuer certificate",
                  "Hostname mismatch", "doesn't match", "wrong version number"):  # fmt: skip
        if words in text:
            return words
    return "TLS failed"


def _user(settings: OpenStackSettings) -> dict[str, Any]:
    return {"username": settings.username} | _domain("user", settings.domain)


def _project(settings: OpenStackSettings) -> dict[str, Any]:
    if not settings.project:
        return {}
    if _ID.fullmatch(settings.project):
        return {"project_id": settings.project}
    return {"project_name": settings.project} | _domain("project", settings.project_domain or settings.domain)


def _domain(whose: str, text: str) -> dict[str, Any]:
    # "default" is the id of the domain that is called Default.
    is_id = text == "default" or _ID.fullmatch(text)
    return {f"{whose}_domain_id": text} if is_id else {f"{whose}_domain_name": text}
