"""Return a request as the server received it, so that a client can find out what a proxy has changed."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.server.auth.access import is_anonymous
from tickwire.server.auth.rules import STREAM_PATH
from tickwire.server.service import Service
from tickwire.server.transport.asgi import Scope, client_address, first_header_value, header_values

routes = APIRouter(tags=["health"])

# The headers that matter for a stream, and that proxies add or remove.
_REPORTED_HEADERS = ("accept-encoding", "authorization", "last-event-id", "origin", "via", "x-forwarded-for")


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request as the server received it.

    `address` is the client's address, to which the rate limits apply. `address` is null if the server requires a token
    and the request has no valid token, because the address of an untrusted proxy is an internal address.

    `from_trusted_proxy` is true if a proxy in --trusted-proxies sent the request. `forwarded_hops` is the number of
    addresses in the header X-Forwarded-For. `headers` lists the received headers that matter for a stream.
    `compresses` is true if the server compresses streams for clients that accept it. `time` is the server's clock in
    microseconds since the Unix epoch.
    """

    http_version: str
    address: str | None
    from_trusted_proxy: bool
    forwarded_hops: int
    headers: list[str]
    accept_encoding: str | None
    via: str | None
    compresses: bool
    time: int

    @classmethod
    def from_scope(cls, scope: Scope, *, compresses: bool, time: int) -> ReceivedRequest:
        arrived = {name.decode("latin-1") for name, _ in scope["headers"]}
        forwarded = ",".join(header_values(scope, b"x-forwarded-for"))
        return cls(
            http_version=scope["http_version"],
            address=None if is_anonymous(scope) else client_address(scope),
            from_trusted_proxy=bool(scope["state"].get("proxied")),
            forwarded_hops=sum(bool(hop.strip()) for hop in forwarded.split(",")),
            headers=[name for name in _REPORTED_HEADERS if name in arrived],
            accept_encoding=first_header_value(scope, b"accept-encoding"),
            via=first_header_value(scope, b"via"),
            compresses=compresses,
            time=time,
        )


# The path is below the path of streams, so that the rules of a proxy for streams also apply to this request.
@routes.get(f"{STREAM_PATH}/request", response_class=Response)
async def received_request(request: Request) -> Response:
    """Return the HTTP version, the client's address and the headers with which this request arrived."""
    service: Service = request.app.state.service
    received = ReceivedRequest.from_scope(
        request.scope, compresses=service.compression_enabled, time=service.clock.now() // 1000
    )
    return Response(encode_json(received), media_type="application/json")
