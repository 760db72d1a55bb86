"""The address of a journal on NATS: the servers, the name of the journal, and the credentials."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from tickwire.errors import InputError
from tickwire.journal.nats.credentials import NatsCredentials
from tickwire.journal.registry import EMBEDDED_NATS
from tickwire.redaction import redact_address

DEFAULT_PORT = 4222
_JOURNAL_NAME = re.compile(r"[A-Za-z0-9_-]{1,48}", re.ASCII)
_NO_CREDENTIALS = NatsCredentials()
_URL_FORMAT = "nats://HOST[:PORT][,HOST...][/NAME]"


class NatsAddress(NamedTuple):
    """The address of a journal on NATS.

    `servers` are the URLs of one or more servers in the same NATS cluster. The URLs contain no secrets. `journal_name`
    is also the name of the JetStream stream.
    """

    servers: tuple[str, ...]
    journal_name: str
    credentials: NatsCredentials = _NO_CREDENTIALS

    @property
    def display_servers(self) -> str:
        """The URLs of the servers, separated by commas, for log and error messages."""
        return ", ".join(redact_address(server).removeprefix("nats://") for server in self.servers)

    @property
    def inbox_prefix(self) -> str:
        """The prefix of all subjects that deliver messages to one process only, such as replies to its requests."""
        return self.subject("inbox")

    def subject(self, *tokens: str) -> str:
        """Return the NATS subject that consists of the journal's name and `tokens`."""
        return ".".join((self.journal_name, *tokens))


def parse_nats_address(spec: str, default_name: str, credentials: NatsCredentials = _NO_CREDENTIALS) -> NatsAddress:
    """Parse a URL such as `nats://HOST/NAME`. Raise InputError if the URL is invalid.

    The URL may contain a user and a password, or a token, before the hosts. These secrets are percent-encoded. In the
    result, the secrets replace the corresponding fields of `credentials`. The other fields stay unchanged.
    """
    if spec == EMBEDDED_NATS:
        # `tickwire serve` starts a NATS server, and replaces this address with the URL of the NATS server before it
        # opens the journal. So the caller is another command.
        raise InputError(
            f"{spec} is not the address of a NATS server: only tickwire serve starts a NATS server by itself",
            field="journal",
            hint=f"start `nats-server -js`, and write its address as {_URL_FORMAT}",
        )
    try:
        parts = urlsplit(spec)
    except ValueError:
        raise _invalid_address(spec) from None
    name = parts.path.strip("/") or default_name
    if not parts.netloc or parts.query or parts.fragment:
        raise _invalid_address(spec)
    if not _JOURNAL_NAME.fullmatch(name):
        message = f"invalid journal name {redact_address(name)!r}: use 1 to 48 letters, digits, _ or -"
        raise InputError(message, field="journal", hint=f"write the address as {_URL_FORMAT}")
    secret, _, hosts = parts.netloc.rpartition("@")
    servers = tuple(_server_url(parts.scheme, host) for host in hosts.split(","))
    return NatsAddress(servers, name, _with_secret(credentials, secret))


def _invalid_address(spec: str) -> InputError:
    message = f"invalid journal address {redact_address(spec)!r}"
    return InputError(message, field="journal", hint=f"write the address as {_URL_FORMAT}")


def _with_secret(credentials: NatsCredentials, secret: str) -> NatsCredentials:
    first, colon, second = secret.partition(":")
    if colon:
        return replace(credentials, user=unquote(first), password=unquote(second))
    return replace(credentials, token=unquote(first)) if first else credentials


def _server_url(scheme: str, host: str) -> str:
    # Ignore colons inside brackets, which belong to an IPv6 address, not to a port.
    if not host.rpartition("]")[2].count(":"):
        host = f"{host}:{DEFAULT_PORT}"
    return f"{scheme}://{host}"
