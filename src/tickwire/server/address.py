"""Addresses as they are, however they are written."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

_LONGEST = 64  # with the zone that an address of IPv6 may have


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address, None for what is none; one of IPv4 as such, also where a socket for both kinds maps it into IPv6."""
    return None if len(text) > _LONGEST else _read(text)


@lru_cache(maxsize=1024)  # the same few come with every request
def _read(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found if found.version == 4 else found.ipv4_mapped or found  # see RFC 4291, section 2.5.5.2
