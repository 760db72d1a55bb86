"""By which names a server may be called that only its own machine reaches.

A page of any site can have its own name resolve to 127.0.0.1 (DNS rebinding). To the browser it then is the same origin
as a server there, so neither CORS nor `Origin` helps; only the name that it calls the server by, in `Host`, is not the
server's. A request for an address instead of a name cannot be of that kind.
"""

from __future__ import annotations

from tickwire.errors import SettingsError
from tickwire.server.address import read_address
from tickwire.server.asgi import Scope
from tickwire.server.refusal import Forbidden

ANY = "*"
_LOCAL = "localhost"  # and what ends with it: never anything but loopback (RFC 6761, section 6.3)


class Hosts:
    """`names` may be called too, as a comma list; `*` is any. Unless it is `on`, nothing is looked at."""

    def __init__(self, names: str = "", *, on: bool = False) -> None:
        self._names = {_name(text.strip()) for text in names.split(",") if text.strip()}
        self._on = on and ANY not in self._names

    def check(self, scope: Scope) -> None:
        """Forbidden for a request that came in by loopback under a name that is not this machine's.

        Mounted in another application, that one's server decides by which names it may be called.
        """
        if not self._on or scope.get("root_path") or not _by_loopback(scope):
            return
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        name = _without_port(host).lower().rstrip(".")
        if name and not (read_address(name) or f".{name}".endswith(f".{_LOCAL}") or name in self._names):
            raise Forbidden(
                f"{name[:100]} is no name of this server", field="host", hint="--hosts lists those that it may have"
            )


def _by_loopback(scope: Scope) -> bool:
    server: tuple[str, int | None] | None = scope.get("server")
    address = None if server is None else read_address(server[0])
    return address is not None and address.is_loopback


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _name(text: str) -> str:
    if set(text) & set("/:@ ") or (ANY in text and text != ANY):
        raise SettingsError(f"--hosts {text!r} is no name: expected such as ticks.example.org, or *", field="hosts")
    return text.lower()
