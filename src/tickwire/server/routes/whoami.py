"""Return the rights of the requesting client, so that a web page can offer only the operations that are allowed."""

from __future__ import annotations

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.sessions.rights import SCOPES, Rights

routes = create_router("tokens")


class Whoami(msgspec.Struct, frozen=True):
    """The rights of a client.

    `symbols` lists the allowed symbols and patterns. The client may read a symbol only while it matches `filter` (null:
    always). `events` lists the allowed event kinds; null allows all kinds. `interval` is the minimum time between
    updates in milliseconds. `delay` is the delay of market data in seconds. `expires` is in microseconds since the Unix
    epoch, or null if the rights do not expire.
    """

    user: str | None
    scopes: list[str]
    symbols: tuple[str, ...]
    filter: str | None
    events: tuple[str, ...] | None
    interval: int
    delay: int
    expires: int | None

    @classmethod
    def from_rights(cls, rights: Rights) -> Whoami:
        return cls(
            user=rights.user,
            scopes=[scope for scope in SCOPES if rights.has_scope(scope)],
            symbols=rights.symbols.symbols_and_patterns,
            filter=None if rights.filter is None else str(rights.filter),
            events=rights.event_kinds,
            interval=rights.interval,
            delay=rights.delay,
            expires=None if rights.expires is None else round(rights.expires * 1e6),
        )


@routes.get("/v1/whoami", response_class=Response)
async def whoami(request: Request) -> Response:
    """Return the user and the rights of the request's token. Without authentication, the client has all rights."""
    return Response(encode_json(Whoami.from_rights(request_rights(request.scope))), media_type="application/json")
