"""Who asks, and what that one may: so that a page need not offer what would be refused."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode
from tickwire.hub.rights import SCOPES, Rights
from tickwire.server.access import rights_of

routes = APIRouter(tags=["tokens"])


class Whoami(msgspec.Struct, frozen=True):
    """One's rights. `symbols` are names and patterns, `events` null is every kind, `interval` in ms, `delay` in s.

    `expires` is in microseconds since the Unix epoch, null where nothing expires.
    """

    user: str | None
    scopes: list[str]
    symbols: tuple[str, ...]
    events: tuple[str, ...] | None
    interval: int
    delay: int
    expires: int | None

    @classmethod
    def of(cls, rights: Rights) -> Whoami:
        """The answer for these rights."""
        return cls(
            user=rights.user,
            scopes=[scope for scope in SCOPES if rights.may(scope)],
            symbols=rights.symbols.all,
            events=rights.events,
            interval=rights.interval,
            delay=rights.delay,
            expires=None if rights.expires is None else round(rights.expires * 1e6),
        )


@routes.get("/v1/whoami", response_class=Response)
async def whoami(request: Request) -> Response:
    """Who the token says one is, and what it allows; everything, where no tokens are asked for."""
    return Response(encode(Whoami.of(rights_of(request.scope))), media_type="application/json")
