"""Trusted reverse proxies, and the client address that these proxies report."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from tickwire.errors import SettingsError
from tickwire.server.transport.asgi import Scope, client_address, header_values, parse_address

_FORWARDED_FOR = b"x-forwarded-for"


class TrustedProxies:
    """The networks whose proxies the server trusts.

    `networks` is a comma-separated list such as `10.0.0.0/8, 127.0.0.1`. The constructor raises SettingsError if a part
    of the list is not a network.
    """

    def __init__(self, networks: str) -> None:
        self._networks = [_parse_network(text.strip()) for text in networks.split(",") if text.strip()]

    def resolve_client(self, scope: Scope) -> None:
        """Replace the proxy's address in the scope of a request by the client address that trusted proxies report.

        The header X-Forwarded-For is a list of addresses. Each proxy appends the address from which it received the
        request. This method reads the list from the end, and stops at the first address that is not a trusted proxy.
        That address is the client's address. The method ignores the preceding addresses, because the client may have
        forged them.
        """
        if not self._networks or not self._trusts(client_address(scope)):
            return
        scope["state"]["proxied"] = True
        hops = ",".join(header_values(scope, _FORWARDED_FOR)).split(",")
        for address in reversed([hop.strip() for hop in hops if hop.strip()]):
            if parse_address(address) is None:
                return
            scope["client"] = (address, 0)
            if not self._trusts(address):
                return

    def is_forwarded(self, scope: Scope) -> bool:
        """Return True if a trusted proxy sent this request. Call `resolve_client` first."""
        return bool(scope["state"].get("proxied"))

    def _trusts(self, text: str) -> bool:
        address = parse_address(text)
        return address is not None and any(address in network for network in self._networks)


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingsError(f"--trusted-proxies {text!r} is not a network: {error}", field="trusted_proxies") from None
