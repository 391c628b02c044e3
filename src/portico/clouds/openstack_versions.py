"""Where a cloud's services are, and which version and microversion to speak with each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from keystoneauth1 import exceptions
from keystoneauth1.session import Session

from portico.clouds.openstack_errors import NAMES
from portico.clouds.openstack_settings import OpenStackSettings
from portico.errors import CloudError, CloudRefused

# our name of a service → its types in catalogues, the path of the version that we speak, the newest microversion that we know
_SERVICES: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "compute": (("compute",), "/v2.1", "2.100"),
    "image": (("image",), "/v2", ""),
    "network": (("network",), "/v2.0", ""),
    "volume": (("block-storage", "volumev3", "block-store", "volume"), "/v3", "3.71"),
    "placement": (("placement",), "", "1.39"),
    "baremetal": (("baremetal", "bare-metal"), "/v1", "1.95"),
    "identity": (("identity",), "/v3", ""),
}
_VERSION = re.compile(r"/v\d+(?:\.\d+)?(?=/|$)")


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its address, and the microversions that it and we know ("" where it has none)."""

    name: str
    url: str
    least: str = ""
    most: str = ""  # the newest that both know

    def headers(self, microversion: str | None) -> dict[str, str]:
        """Return the headers that ask for a microversion, the newest by default. Raises CloudRefused for one it lacks."""
        wanted = self.most if microversion is None else microversion
        if not wanted or not self.most:
            return {}
        if not number(self.least) <= number(wanted) <= number(self.most):
            raise CloudRefused(
                f"This cloud's {NAMES[self.name]} is too old or too new for this: it knows {self.least} to {self.most}, "
                f"and {wanted} is needed."
            )
        if self.name == "baremetal":
            return {"X-OpenStack-Ironic-API-Version": wanted}
        return {"OpenStack-API-Version": f"{self.name} {wanted}"}

    def knows(self, microversion: str) -> bool:
        """Whether the service knows a microversion, such as "2.93"."""
        return bool(self.most) and number(self.least) <= number(microversion) <= number(self.most)


def number(version: str) -> tuple[int, int]:
    """Read "2.96" so that it can be compared; (0, 0) for what is none."""
    major, _, minor = version.partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)


def endpoint(access: Any, name: str, settings: OpenStackSettings) -> str:
    """Find a service's address in the catalogue of a token. Raises CloudRefused naming what the catalogue has instead."""
    types = _SERVICES[name][0]
    catalog = access.service_catalog
    for kind in types:
        try:
            url = catalog.url_for(
                service_type=kind, interface=settings.interface, region_name=settings.region or None
            )  # fmt: skip
        except exceptions.CatalogException:
            continue
        if url:
            return str(url).rstrip("/")
    known = regions(access)
    if settings.region and settings.region not in known:
        raise CloudRefused(
            f"The cloud has no region “{settings.region}”. Choose one of {', '.join(known) or 'none'}.", name
        )
    raise CloudRefused(
        f"The cloud's catalogue has no {settings.interface} address of {NAMES[name]}"
        f"{f' in the region {settings.region}' if settings.region else ''}.",
        name,
    )


def regions(access: Any) -> list[str]:
    """Name the regions of a token's catalogue."""
    found = {
        str(entry.get("region_id") or entry.get("region") or "")
        for service in access.service_catalog.catalog
        for entry in service.get("endpoints", ())
    }
    return sorted(found - {""})


def discover(session: Session, name: str, url: str) -> Service:
    """Ask a service which versions it has; the host is always the catalogue's, whatever the service calls itself."""
    _, path, newest = _SERVICES[name]
    base = url if not path or _VERSION.search(urlsplit(url).path) else url + path
    if not newest:
        return Service(name, base)
    cut = _VERSION.search(urlsplit(base).path)
    root = base if cut is None else base[: base.rindex(cut[0]) + len(cut[0])]
    response = session.get(root + "/", raise_exc=False, headers={"Accept": "application/json"})
    if response.status_code >= 500 or response.status_code == 429:
        raise CloudError(
            f"{NAMES[name]} failed when it was asked for its versions.", f"GET {root}/: {response.status_code}"
        )
    try:
        least, most = _range(name, response)
    except (ValueError, AttributeError, TypeError):
        least, most = "", ""
    return Service(name, base, least, min(most, newest, key=number) if most else "")


def _range(name: str, response: Any) -> tuple[str, str]:
    if name == "baremetal":
        key = "X-OpenStack-Ironic-API-{}-Version"
        return response.headers.get(key.format("Minimum"), ""), response.headers.get(key.format("Maximum"), "")
    body = response.json()
    found = body.get("version") or body.get("versions") or {}
    entries = found if isinstance(found, list) else [found]
    for entry in entries:
        most = str(entry.get("version") or entry.get("max_version") or "")
        if most:
            return str(entry.get("min_version") or ""), most
    return "", ""
