"""What a journal on NATS is called, and where it is."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from tickwire.errors import InputError

DEFAULT_PORT = 4222
SCHEMES = ("nats", "tls")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_FORM = "nats://HOST[:PORT][,HOST...][/NAME]"


class Address(NamedTuple):
    """`servers` are URLs of one cluster, with whatever user and password were given; `name` is the journal's."""

    servers: tuple[str, ...]
    name: str

    @property
    def shown(self) -> str:
        """The servers without secrets, for messages."""
        return ", ".join(server.rpartition("@")[2].removeprefix("nats://") for server in self.servers)

    def subject(self, *tokens: str) -> str:
        """A subject of this journal's own."""
        return ".".join((self.name, *tokens))


def parse_address(spec: str, name: str) -> Address:
    """The address that `spec` spells; `name` is the journal's where it names none. InputError for what is none."""
    parts = urlsplit(spec)
    name = parts.path.strip("/") or name
    if not parts.netloc or parts.query or parts.fragment:
        shown = f"{parts.scheme}://{spec.rpartition('@')[2].removeprefix(f'{parts.scheme}://')}"  # without its secrets
        raise InputError(f"{shown!r} is no address of a journal: expected {_FORM}", field="journal")
    if not _NAME.fullmatch(name):
        message = f"{name!r} cannot name a journal on NATS: 1 to 48 letters, digits, _ or -"
        raise InputError(message, field="journal", hint=f"name another one: {_FORM}")
    secret, _, hosts = parts.netloc.rpartition("@")
    return Address(tuple(_server(parts.scheme, secret, host) for host in hosts.split(",")), name)


def _server(scheme: str, secret: str, host: str) -> str:
    if not host.rpartition("]")[2].count(":"):
        host = f"{host}:{DEFAULT_PORT}"
    return f"{scheme}://{secret}@{host}" if secret else f"{scheme}://{host}"
