"""Find the credential of a request in a header, in a cookie, or in the query string of a stream request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from tickwire.errors import InputError
from tickwire.server.http_errors import Unauthorized
from tickwire.server.transport.asgi import Scope, header_values

TICKET_PARAMETER, ACCESS_TOKEN_PARAMETER = "ticket", "access_token"
CREDENTIAL_PARAMETERS = (TICKET_PARAMETER, ACCESS_TOKEN_PARAMETER)


class Credential(NamedTuple):
    """A token or ticket. `source` names the part of the request in which the client sent it."""

    source: Literal["header", "cookie", "ticket", "access_token"]
    token: str


def find_credential(scope: Scope, *, cookie_name: str, allow_query: bool) -> Credential | None:
    """Return the credential of a request, or None if the request has no credential.

    If `allow_query` is False, ignore the query string. A header or a query parameter takes precedence over a cookie,
    because browsers send cookies automatically.

    Raise InputError if the request has several tokens in the same place, or one token in the header and another in the
    query string. Otherwise, a proxy in front of this server might check one of the tokens, while this server checks the
    other token.
    """
    credentials = [Credential("header", _parse_bearer(value)) for value in header_values(scope, b"authorization")]
    if allow_query:
        credentials += _query_credentials(scope["query_string"])
    if not credentials and cookie_name:
        credentials = [Credential("cookie", value) for value in _cookie_values(scope, cookie_name)]
    if len(credentials) > 1:
        raise InputError(f"the request has {len(credentials)} tokens: send one", field=credentials[-1].source)
    return credentials[0] if credentials else None


def _parse_bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("invalid authorization header: send 'Bearer <token>'", field="authorization")
    return token.strip()


def _query_credentials(query: bytes) -> Sequence[Credential]:
    if not any(text in query for text in (b"ticket", b"access_token", b"%")):
        return []
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    # Ignore an invalid query string here. The parser of the stream request reports it.
    except ValueError:
        return []
    return [Credential(name, value) for name, value in pairs if name in CREDENTIAL_PARAMETERS]  # type: ignore[arg-type]


def _cookie_values(scope: Scope, name: str) -> list[str]:
    pairs = (pair.strip().partition("=") for text in header_values(scope, b"cookie") for pair in text.split(";"))
    return [value for key, _, value in pairs if key == name]
