"""Proxies in front that are believed when they say for whom they ask."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from tickwire.errors import SettingsError
from tickwire.server.address import read_address
from tickwire.server.asgi import Scope

_FORWARDED_FOR = b"x-forwarded-for"


class Proxies:
    """Networks, as a comma list such as `10.0.0.0/8, 127.0.0.1`; SettingsError for one that is none."""

    def __init__(self, networks: str) -> None:
        self._networks = [_network(text.strip()) for text in networks.split(",") if text.strip()]

    def resolve(self, scope: Scope) -> None:
        """Let the request's `client` be who sent it to the outermost trusted proxy; note that one came through.

        X-Forwarded-For grows at its end, and what is left of the first address that is not trusted may be made up.
        """
        if not self._networks or not self._trusts(_client(scope)):
            return
        scope["state"]["proxied"] = True
        given = b",".join(value for name, value in scope["headers"] if name == _FORWARDED_FOR).decode("latin-1")
        for address in reversed([part.strip() for part in given.split(",") if part.strip()]):
            if read_address(address) is None:
                return
            scope["client"] = (address, 0)
            if not self._trusts(address):
                return

    def sent(self, scope: Scope) -> bool:
        """Whether a trusted proxy sent this request."""
        return bool(scope["state"].get("proxied"))

    def _trusts(self, address: str) -> bool:
        known = read_address(address)
        return known is not None and any(known in network for network in self._networks)


def _client(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise SettingsError(f"--trusted-proxies {text!r}: {error}", field="trusted_proxies") from None
