"""A clouds.yaml as settings: the entry that is meant, turned into the fields of the form."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from portico.clouds.openstack_settings import (
    APPLICATION_CREDENTIAL,
    CLOUDS_YAML,
    OIDC_CLIENT,
    OIDC_PASSWORD,
    PASSWORD,
    OpenStackSettings,
)
from portico.errors import Invalid

_TYPES = {
    "password": PASSWORD, "v3password": PASSWORD,
    "v3applicationcredential": APPLICATION_CREDENTIAL,
    "v3oidcpassword": OIDC_PASSWORD, "v3oidcclientcredentials": OIDC_CLIENT,
}  # fmt: skip
# a field of ours → the keys of an entry's `auth` that may hold it, the first that is there
_AUTH: dict[str, tuple[str, ...]] = {
    "auth_url": ("auth_url",),
    "username": ("username", "user_id"),
    "password": ("password",),
    "project": ("project_id", "project_name", "tenant_id", "tenant_name"),
    "domain": ("user_domain_id", "user_domain_name", "domain_id", "domain_name"),
    "project_domain": ("project_domain_id", "project_domain_name"),
    "application_credential_id": ("application_credential_id",),
    "application_credential_secret": ("application_credential_secret",),
    "identity_provider": ("identity_provider",),
    "oidc_protocol": ("protocol",),
    "discovery_endpoint": ("discovery_endpoint",),
    "client_id": ("client_id",),
    "client_secret": ("client_secret",),
}
_LONGEST = 256 * 1024  # characters; a file for a handful of clouds has some hundreds


def effective(settings: OpenStackSettings) -> OpenStackSettings:
    """Return the settings with the entry of clouds.yaml filled in, where that is the way. Raises Invalid naming the field."""
    if settings.auth_type != CLOUDS_YAML:
        return settings
    entry = _entry(settings)
    auth = entry.get("auth")
    if not isinstance(auth, Mapping):
        raise _wrong("The entry has no `auth`. Paste a complete clouds.yaml.")
    if entry.get("verify") is False or entry.get("insecure"):
        raise _wrong("The entry switches the check of certificates off. Paste the cloud's CA into “CA certificates”.")
    if entry.get("cacert") and not settings.ca_certificates.strip():
        sentence = "The entry names a file of certificates. Paste its text here."
        raise Invalid(sentence, {"ca_certificates": sentence})
    named = str(entry.get("auth_type") or ("v3applicationcredential" if "application_credential_id" in auth else ""))
    kind = _TYPES.get(named or "password")
    if kind is None:
        raise _wrong(f"Portico does not know the auth_type {named}. It knows {', '.join(sorted(_TYPES))}.")
    values = {
        ours: str(next((auth[key] for key in keys if auth.get(key) not in (None, "")), ""))
        for ours, keys in _AUTH.items()
    }
    found = {name: value for name, value in values.items() if value}
    region = settings.region or str(entry.get("region_name") or "")
    interface = str(entry.get("interface") or settings.interface)
    try:
        return replace(
            settings, auth_type=kind, clouds_yaml="", region=region,
            interface=interface.removesuffix("URL"), **found,  # type: ignore[arg-type]
        )  # fmt: skip
    except Invalid as problem:
        words = "; ".join(f"{name}: {sentence}" for name, sentence in problem.fields.items())
        raise _wrong(f"The entry lacks something. {words}") from problem


def _entry(settings: OpenStackSettings) -> Mapping[str, Any]:
    if len(settings.clouds_yaml) > _LONGEST:
        raise _wrong("This text is too long for a clouds.yaml. Paste the one entry that is meant.")
    try:
        read = yaml.safe_load(settings.clouds_yaml)
    except (yaml.YAMLError, RecursionError) as problem:
        raise _wrong("This is not YAML. Paste the text of a clouds.yaml as it is.") from problem
    clouds = read.get("clouds") if isinstance(read, Mapping) else None
    if not isinstance(clouds, Mapping) or not clouds:
        raise _wrong("There is no `clouds:` with an entry below it. Paste the text of a clouds.yaml as it is.")
    names = ", ".join(sorted(str(name) for name in clouds))
    if not settings.cloud_name and len(clouds) > 1:
        raise Invalid("Choose one of the clouds.", {"cloud_name": f"Choose one of {names}."})
    entry = clouds.get(settings.cloud_name) if settings.cloud_name else next(iter(clouds.values()))
    if not isinstance(entry, Mapping):
        sentence = f"There is no cloud of this name in clouds.yaml. Choose one of {names}."
        raise Invalid(sentence, {"cloud_name": sentence})
    return entry


def _wrong(sentence: str) -> Invalid:
    return Invalid(sentence, {"clouds_yaml": sentence})
