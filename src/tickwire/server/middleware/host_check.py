"""Protect servers on the loopback interface against DNS rebinding.

In this attack, the host name of the attacker's web page resolves to 127.0.0.1. The browser then treats the local server
as the origin of the page, so CORS and the Origin header do not prevent the attack. Only the Host header reveals the
attack, because it contains the attacker's host name. A request whose Host header contains an IP address cannot come
from such a page.
"""

from __future__ import annotations

from tickwire.errors import SettingsError
from tickwire.server.http_errors import Forbidden
from tickwire.server.transport.asgi import Scope, first_header_value, is_loopback, parse_address

ANY_HOST = "*"
# localhost and all its subdomains always resolve to loopback (RFC 6761, section 6.3).
_LOCALHOST = "localhost"


class HostCheck:
    """Checks the Host header of requests on the loopback interface. Localhost and all IP addresses are allowed.

    `allowed_names` is a comma-separated list of further host names; `*` allows any host name. If `enabled` is False,
    the check accepts every request.
    """

    def __init__(self, allowed_names: str = "", *, enabled: bool = False) -> None:
        self._allowed_names = {_parse_host_name(text.strip()) for text in allowed_names.split(",") if text.strip()}
        self._enabled = enabled and ANY_HOST not in self._allowed_names

    def check(self, scope: Scope) -> None:
        """Raise Forbidden if a request arrived on the loopback interface under a foreign host name.

        If Tickwire is mounted in another application, the check accepts every request, because the outer application
        must check host names.
        """
        if not self._enabled or scope.get("root_path") or not _arrived_on_loopback(scope):
            return
        name = _strip_port(first_header_value(scope, b"host") or "").lower().rstrip(".")
        if name and not (parse_address(name) or f".{name}".endswith(f".{_LOCALHOST}") or name in self._allowed_names):
            raise Forbidden(
                f"{name[:100]!r} is not a host name of this server", field="host", hint="list the name in --hosts"
            )


def _arrived_on_loopback(scope: Scope) -> bool:
    server: tuple[str, int | None] | None = scope.get("server")
    return server is not None and is_loopback(server[0])


def _strip_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _parse_host_name(text: str) -> str:
    if set(text) & set("/:@ ") or (ANY_HOST in text and text != ANY_HOST):
        raise SettingsError(
            f"--hosts {text!r} is not a host name: expected a name such as ticks.example.org, or *", field="hosts"
        )
    return text.lower()
