"""Types of ASGI, and functions that read the headers and the client address from the scope of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# The maximum length of an address. The limit is large enough for an IPv6 address with a zone.
_MAX_ADDRESS_LENGTH = 64
# The prefix length of an IPv6 network. The rate limiter and other limits treat all addresses of such a network as one
# client. A provider assigns a network of this size or larger to each customer (RFC 6177).
_IPV6_CLIENT_PREFIX = 64


def header_values(scope: Scope, name: bytes) -> list[str]:
    """Return all values of a header, in the order of the request. `name` must be lower case."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def first_header_value(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header, or None if the header is missing. `name` must be lower case."""
    # Use a loop, because it is faster than a generator, and each request runs this function several times.
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def client_address(scope: Scope) -> str:
    """Return the client's address as text, or "" for a Unix socket.

    For a request from a trusted proxy, `TrustedProxies.resolve_client` has set the address that the proxy reported.
    """
    client = scope.get("client")
    return client[0] if client else ""


def client_network(scope: Scope) -> str:
    """Return the IPv4 address or the IPv6 network by which the server counts the client, or "" for a Unix socket.

    Each IPv4 address counts separately, even if the socket reports it as an IPv4-mapped IPv6 address. All IPv6
    addresses of a /64 network count as one client, because one client usually owns the whole network.
    """
    text = client_address(scope)
    return text if len(text) > _MAX_ADDRESS_LENGTH else _network_cached(text)


# Cache the results, which saves about 25 us for each request.
@lru_cache(maxsize=1024)
def _network_cached(text: str) -> str:
    address = parse_address(text)
    if address is None:
        return text
    # All hosts on a link share the link-local network, so each link-local address counts separately.
    if isinstance(address, IPv4Address) or address.is_link_local:
        return str(address)
    return str(IPv6Network((int(address), _IPV6_CLIENT_PREFIX), strict=False))


def is_loopback(text: str) -> bool:
    """Return whether a text is an address of the loopback interface."""
    return len(text) <= _MAX_ADDRESS_LENGTH and _is_loopback_cached(text)


@lru_cache(maxsize=1024)
def _is_loopback_cached(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address in a text, or None if the text is not an IP address.

    A dual-stack socket reports an IPv4 client as an IPv4-mapped IPv6 address (RFC 4291, section 2.5.5.2). Return such
    an address as an IPv4 address.
    """
    return None if len(text) > _MAX_ADDRESS_LENGTH else _parse_cached(text)


# Cache the results, because most requests come from a few addresses.
@lru_cache(maxsize=1024)
def _parse_cached(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return address if address.version == 4 else address.ipv4_mapped or address


def path_below_mount(scope: Scope) -> str:
    """Return the path of the request without the prefix under which an outer application mounts this application."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
