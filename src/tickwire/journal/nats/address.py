"""What a journal on NATS is called, where it is, and how one gets in there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tickwire.errors import InputError
from tickwire.journal.nats.credentials import Credentials

DEFAULT_PORT = 4222
SCHEMES = ("nats", "tls")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_OPEN = Credentials()
_FORM = "nats://HOST[:PORT][,HOST...][/NAME]"


class Address(NamedTuple):
    """`servers` are URLs of one cluster, without secrets; `name` is the journal's."""

    servers: tuple[str, ...]
    name: str
    credentials: Credentials = _OPEN

    @property
    def shown(self) -> str:
        """The servers, for messages."""
        return ", ".join(server.removeprefix("nats://") for server in self.servers)

    def subject(self, *tokens: str) -> str:
        """A subject of this journal's own."""
        return ".".join((self.name, *tokens))


def parse_address(spec: str, name: str, credentials: Credentials = _OPEN) -> Address:
    """The address that `spec` spells; `name` is the journal's where it names none. InputError for what is none.

    A user and password, or a token, may stand before the hosts, percent-encoded; they join `credentials`.
    """
    parts = urlsplit(spec)
    name = parts.path.strip("/") or name
    if not parts.netloc or parts.query or parts.fragment:
        shown = f"{parts.scheme}://{spec.rpartition('@')[2].removeprefix(f'{parts.scheme}://')}"  # without its secrets
        raise InputError(f"{shown!r} is no address of a journal: expected {_FORM}", field="journal")
    if not _NAME.fullmatch(name):
        message = f"{name!r} cannot name a journal on NATS: 1 to 48 letters, digits, _ or -"
        raise InputError(message, field="journal", hint=f"name another one: {_FORM}")
    secret, _, hosts = parts.netloc.rpartition("@")
    servers = tuple(_server(parts.scheme, host) for host in hosts.split(","))
    return Address(servers, name, _with_secret(credentials, secret))


def _with_secret(credentials: Credentials, secret: str) -> Credentials:
    first, colon, second = secret.partition(":")
    if colon:
        return replace(credentials, user=unquote(first), password=unquote(second))
    return replace(credentials, token=unquote(first)) if first else credentials


def _server(scheme: str, host: str) -> str:
    if not host.rpartition("]")[2].count(":"):
        host = f"{host}:{DEFAULT_PORT}"
    return f"{scheme}://{host}"
