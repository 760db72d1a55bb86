"""Tickets: good once and for half a minute, so that a token that is good for longer need not stand in a URL.

A ticket is itself a signed token with the rights of who asked for it, so that issuing one costs no storage and every
node that has the key can redeem it. That it is used once is the journal's doing: an entry with a ticket's name as its
key is appended only once, whoever tries, on whichever node.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.clock import Clock
from tickwire.core.codec import encode
from tickwire.core.event import Entry, Span
from tickwire.errors import InputError
from tickwire.hub.control import Spend, control_entry
from tickwire.hub.rights import Rights
from tickwire.server.claims import claims_of, rights_in
from tickwire.server.problem import problem
from tickwire.server.refusal import Unauthorized

routes = APIRouter(tags=["tickets"])
TICKET_SECONDS = 30
_SOURCE = "ticket"
_ALGORITHM = "HS256"


class Issued(msgspec.Struct, frozen=True):
    """A ticket, where to use it, and for how many seconds."""

    ticket: str
    url: str
    expires_in: int


class Tickets:
    """Issues and redeems tickets. Nodes that are to redeem each other's have the same `secret` and journal."""

    def __init__(self, secret: str, publish: Callable[[Entry], Awaitable[Span]], clock: Clock) -> None:
        self._key = _derived(secret) if secret else secrets.token_bytes(32)
        self._publish = publish
        self._clock = clock

    def issue(self, rights: Rights) -> str:
        """A ticket for the rights."""
        import jwt  # see Tokens

        until = int(self._clock.now() / 1e9) + TICKET_SECONDS
        claims = {"ticket": secrets.token_urlsafe(16), "until": until, "rights": claims_of(rights)}
        return jwt.encode(claims, self._key, _ALGORITHM)

    async def redeem(self, ticket: str) -> Rights:
        """The rights that the ticket stands for; Unauthorized where it is none, is too old, or was used before."""
        import jwt  # see Tokens

        try:
            claims = jwt.decode(ticket, self._key, [_ALGORITHM])
            name, until, rights = claims["ticket"], claims["until"], rights_in(claims["rights"])
        except (jwt.PyJWTError, InputError, ValueError, TypeError, KeyError, RecursionError):
            raise Unauthorized("the ticket is none of this server's", field="ticket") from None
        now = self._clock.now() / 1e9
        if now >= until or (rights.expires is not None and now >= rights.expires):
            raise Unauthorized(f"the ticket has expired: it is good for {TICKET_SECONDS} s", field="ticket")
        spent = control_entry(Spend())._replace(source=_SOURCE, key=name)
        if not (await self._publish(spent)).fresh:
            raise Unauthorized("the ticket was used before: it is good once", field="ticket")
        return rights


@routes.post("/v1/tickets", response_class=Response)
async def issue_ticket(request: Request) -> Response:
    """Turn the request's token into a ticket for one stream, for clients that cannot set a header."""
    tickets: Tickets | None = request.app.state.tickets
    if tickets is None:
        return problem(409, "this server asks for no tokens, so it has no tickets either")
    ticket = tickets.issue(request.scope["state"]["rights"])
    answer = Issued(ticket, f"/v1/stream?ticket={ticket}", TICKET_SECONDS)
    return Response(encode(answer), 201, {"cache-control": "no-store"}, media_type="application/json")


def _derived(secret: str) -> bytes:
    """A key of its own: no ticket can pass for a token that was signed with the same secret, nor the reverse."""
    return hmac.digest(secret.encode(), b"tickwire ticket", hashlib.sha256)
