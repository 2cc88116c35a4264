"""Which hosts and addresses pictures may come from: what a host is called, and whether it lies on the open internet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

BAD_PORTS = frozenset(
    [1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110]
    + [111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531]
    + [532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060]
    + [5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080]
)
"""Ports that browsers ask for no picture either (WHATWG Fetch, "bad port")."""

_METADATA = frozenset({"168.63.129.16"})  # of a cloud's own services, on a public address

_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        *("::/96", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001:db8::/32", "2620:4f:8000::/48"),
        *("3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)
"""What the registries of special addresses hold: no pictures are there, whatever this version of Python thinks."""


def is_public(address: str) -> bool:
    """Whether an address is on the open internet: not private, loopback, link-local, multicast or reserved."""
    try:
        ip: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in ipaddress.ip_network("64:ff9b::/96"):
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if embedded is not None:
            return is_public(str(embedded))
    if str(ip) in _METADATA or any(ip in network for network in _SPECIAL if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


def plain_host(host: str) -> str:
    """A host in lower case and ASCII, without the last dot; `ValueError` if it has no such form."""
    host = host.rstrip(".").lower()
    if host.isascii():
        return host
    import idna

    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError:
        return host.encode("idna").decode("ascii").lower()  # older names, such as those with emoji


def host_places(hosts: Iterable[str]) -> set[tuple[str, int | None]]:
    """(host, port or None) of ``host``, ``host:port``, ``[v6]:port`` and ``v6``."""
    places: set[tuple[str, int | None]] = set()
    for place in hosts:
        place = place.strip()
        try:
            places.add((str(ipaddress.ip_address(place)), None))
        except ValueError:
            parts = urlsplit(f"//{place}")
            places.add((plain_host(parts.hostname or ""), parts.port))
    return places
