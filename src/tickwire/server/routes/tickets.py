"""Issue tickets over HTTP."""

from __future__ import annotations

import msgspec
from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import request_rights
from tickwire.server.auth.tickets import TICKET_LIFETIME_S, Tickets
from tickwire.server.problem import problem

routes = create_router("tickets")


class IssuedTicket(msgspec.Struct, frozen=True):
    """A new ticket. `url` is the URL of a stream that the ticket opens. `expires_in` is in seconds."""

    ticket: str
    url: str
    expires_in: int


@routes.post("/v1/tickets", response_class=Response)
async def issue_ticket(request: Request) -> Response:
    """Return a ticket for the client's token. The ticket opens one stream.

    Tickets are for clients that cannot set request headers, such as EventSource in a browser.
    """
    tickets: Tickets | None = request.app.state.tickets
    if tickets is None:
        return problem(409, "this server runs without authentication: open the stream without a ticket")
    ticket = tickets.issue(request_rights(request.scope))
    answer = IssuedTicket(ticket, f"/v1/stream?ticket={ticket}", TICKET_LIFETIME_S)
    return Response(encode_json(answer), 201, {"cache-control": "no-store"}, media_type="application/json")
