"""Return a request as the server received it, so that a client can find out what a proxy has changed."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from tickwire.core.codec import encode_json
from tickwire.core.received_request import ReceivedRequest
from tickwire.server.api_router import create_router
from tickwire.server.auth.access import is_anonymous
from tickwire.server.auth.rules import STREAM_PATH
from tickwire.server.service import Service
from tickwire.server.transport.asgi import client_address, first_header_value, header_values

routes = create_router("health")

# The headers that matter for a stream, and that proxies add or remove.
_REPORTED_HEADERS = ("accept-encoding", "authorization", "last-event-id", "origin", "via", "x-forwarded-for")


# The path is below the path of streams, so that the rules of a proxy for streams also apply to this request.
@routes.get(f"{STREAM_PATH}/request", response_class=Response)
async def received_request(request: Request) -> Response:
    """Return the HTTP version, the client's address and the headers with which this request arrived."""
    service: Service = request.app.state.service
    scope = request.scope
    arrived = {name.decode("latin-1") for name, _ in scope["headers"]}
    forwarded = ",".join(header_values(scope, b"x-forwarded-for"))
    received = ReceivedRequest(
        http_version=scope["http_version"],
        address=None if is_anonymous(scope) else client_address(scope),
        from_trusted_proxy=bool(scope["state"].get("proxied")),
        forwarded_hops=sum(bool(hop.strip()) for hop in forwarded.split(",")),
        headers=[name for name in _REPORTED_HEADERS if name in arrived],
        accept_encoding=first_header_value(scope, b"accept-encoding"),
        via=first_header_value(scope, b"via"),
        compresses=service.compression_enabled,
        time=service.clock.now() // 1000,
    )
    return Response(encode_json(received), media_type="application/json")
