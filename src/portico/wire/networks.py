"""Networks in CIDR notation (RFC 4632, RFC 4291), and whether an address lies in one."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Read networks, or single addresses. Raises ValueError whose text is the first that is none."""
    found = []
    for text in texts:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError as problem:
            raise ValueError(text) from problem
    return tuple(found)


def is_within(host: str, among: Iterable[Network]) -> bool:
    """Tell whether an address lies in one of the networks; a name lies in none, since it may lead anywhere."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain.version == network.version and plain in network for network in among)


def may_reach(host: str, among: tuple[Network, ...]) -> bool:
    """Tell whether a gateway may connect to a host: within its networks; without any, everywhere but link-local (metadata services)."""
    return is_within(host, among) if among else not is_within(host, LINK_LOCAL)


LINK_LOCAL = networks(("169.254.0.0/16", "fe80::/10"))
