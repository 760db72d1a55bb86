"""How a token travels: in a header, a cookie, or where neither can be set, in the query of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from tickwire.errors import InputError
from tickwire.server.asgi import Scope
from tickwire.server.refusal import Unauthorized

TICKET, ACCESS_TOKEN = "ticket", "access_token"  # names of parameters
IN_QUERY = (TICKET, ACCESS_TOKEN)


class Credential(NamedTuple):
    """A token and the way it came."""

    way: Literal["header", "cookie", "ticket", "access_token"]
    token: str


def credential(scope: Scope, *, cookie: str, query: bool) -> Credential | None:
    """The token of a request; None where there is none. A token in the query is looked for only if `query`.

    A header counts before a cookie, which browsers send by themselves. Two tokens that somebody put there on purpose
    are refused: one proxy might look at the first, and another at the second.
    """
    given = [Credential("header", _bearer(value)) for value in _headers(scope, b"authorization")]
    if query:
        given += _in_query(scope["query_string"])
    if not given and cookie:
        given = [Credential("cookie", value) for value in _cookies(scope, cookie)]
    if len(given) > 1:
        raise InputError("more than one token was given: send one", field=given[-1].way)
    return given[0] if given else None


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _bearer(value: str) -> str:
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("authorization: only 'Bearer <token>' is understood", field="authorization")
    return token.strip()


def _in_query(query: bytes) -> Sequence[Credential]:
    if not any(mark in query for mark in (b"ticket", b"access_token", b"%")):
        return []
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=50)
    except ValueError:
        return []  # whoever reads the rest of the query says what is wrong with it
    return [Credential(name, value) for name, value in pairs if name in IN_QUERY]  # type: ignore[arg-type]


def _cookies(scope: Scope, name: str) -> list[str]:
    pairs = (pair.strip().partition("=") for text in _headers(scope, b"cookie") for pair in text.split(";"))
    return [value for key, _, value in pairs if key == name]
