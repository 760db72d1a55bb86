"""The HTTP application. Raw ASGI endpoints answer stream and publish requests. FastAPI answers all other requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from tickwire.core.codec import encode_json
from tickwire.errors import InputError, JournalError
from tickwire.server.asyncapi import asyncapi_document
from tickwire.server.auth.access import request_rights, unknown_route_response
from tickwire.server.auth.rules import HEALTH_PATHS, STREAM_PATH, allowed_methods
from tickwire.server.http_errors import QUERY_MEDIA_TYPE
from tickwire.server.middleware.guard import Exchange, Guard, ResponseSender
from tickwire.server.middleware.request_check import find_rejection
from tickwire.server.middleware.security_headers import content_security_policy
from tickwire.server.openapi import extend_openapi
from tickwire.server.problem import input_problem, journal_problem, problem
from tickwire.server.routes import (
    candles,
    clients,
    corrections,
    halts,
    health,
    instruments,
    messages,
    metrics,
    operations,
    quotes,
    received_request,
    screens,
    simulator,
    subscriptions,
    tickets,
    uploads,
    whoami,
)
from tickwire.server.routes.dashboard import add_dashboard
from tickwire.server.routes.direct_publish import DirectPublishing
from tickwire.server.routes.direct_stream import DirectStreams
from tickwire.server.routes.publish import PUBLISH_PATH, PublishEndpoint
from tickwire.server.routes.stream import StreamEndpoint
from tickwire.server.service import Service
from tickwire.server.transport.asgi import Receive, Scope, Send, path_below_mount


class HttpApp:
    """The ASGI application of one running server.

    `HttpApp` checks each request with function calls instead of ASGI middleware. A middleware would stay on the call
    stack until the stream ends, and so add about 0.5 KB to the memory of each reader.
    """

    def __init__(self, service: Service, guard: Guard) -> None:
        self._guard = guard
        self._stream_endpoint = StreamEndpoint(service)
        self.direct_streams = DirectStreams(guard, self._stream_endpoint)
        self._publish_endpoint = PublishEndpoint(service)
        self.direct_publishing = DirectPublishing(guard, self._publish_endpoint)
        self.rest_api = _build_rest_api(service, guard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, and pass it to the endpoint for its path."""
        if scope["type"] != "http":
            await self.rest_api(scope, receive, send)
            return
        # Copy the dict `state` of the scope, because an outer application may pass the same dict with all requests.
        scope["state"] = {**scope.get("state", {})}
        exchange = Exchange(self._guard, scope, path_below_mount(scope))
        exchange.activate()
        rejection = await find_rejection(self._guard, scope, exchange)
        endpoint = rejection or self._select_endpoint(scope, exchange.path)
        if endpoint is self.rest_api and _is_answered_like_get(scope["method"], exchange.path):
            scope = {**scope, "method": "GET"}
        await endpoint(scope, receive, ResponseSender(exchange, scope, send))

    def _select_endpoint(self, scope: Scope, path: str) -> StreamEndpoint | PublishEndpoint | FastAPI | Response:
        if scope["method"] == "OPTIONS" and path not in HEALTH_PATHS:
            return _options_response(scope, path)
        if path == STREAM_PATH:
            return self._stream_endpoint
        if path == PUBLISH_PATH and scope["method"] == "POST":
            return self._publish_endpoint
        return self.rest_api


def _is_answered_like_get(method: str, path: str) -> bool:
    """Return True if the server answers the request in the same way as GET.

    Load balancers use GET, HEAD or OPTIONS for health checks, so the server answers each of these methods with the same
    status. For HEAD, the ASGI server removes the body.
    """
    return method == "HEAD" or (method == "OPTIONS" and path in HEALTH_PATHS)


def _options_response(scope: Scope, path: str) -> Response:
    """Return the methods of a path. HAProxy's default health check is `OPTIONS /`."""
    methods = allowed_methods("/" if path == "*" else path)
    headers = {"accept-query": QUERY_MEDIA_TYPE} if "QUERY" in methods else {}
    return (
        Response(status_code=204, headers={"allow": ", ".join(methods), **headers})
        if methods
        else unknown_route_response(scope, path)
    )


def _build_rest_api(service: Service, guard: Guard) -> FastAPI:
    app = FastAPI(
        title="Tickwire",
        summary="Market data as Server-Sent Events",
        docs_url=None,
        redoc_url=None,
        # Answer 404 to a path with an extra slash, as to any other unknown path.
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.tickets = guard.tickets
    app.state.audit = guard.audit_log
    app.state.request_limiter = guard.request_limiter
    app.state.denied = guard.denied_by_status
    app.state.request_metrics = guard.request_metrics
    app.state.unlogged = guard.unlogged_by_call
    app.state.upload_dedup = subscriptions.UploadDedup()
    app.state.quote_copies = quotes.QuoteCopies()
    market = (quotes, uploads, corrections, halts, candles, instruments, screens)
    readers = (subscriptions, tickets, whoami, messages, clients)
    others = (simulator, health, received_request, metrics, operations)
    routers = [module.routes for module in (*market, *readers, *others)]
    # Add the same route objects to the application of each server. `include_router` would copy them, which takes 10 ms.
    for router in routers:
        app.router.routes.extend(router.routes)
    app.add_api_route("/docs", _html_page_endpoint("docs.html"), include_in_schema=False)
    app.add_api_route("/asyncapi.json", _read_asyncapi, include_in_schema=False)
    add_dashboard(app)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(JournalError, _on_journal_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    extend_openapi(app, routes, stream_path=STREAM_PATH, publish_path=PUBLISH_PATH)
    return app


def _html_page_endpoint(name: str) -> Callable[[], Awaitable[Response]]:
    page = files("tickwire.server").joinpath("pages", name).read_text(encoding="utf-8")
    headers = {"cache-control": "no-cache", "content-security-policy": content_security_policy(page)}

    async def answer() -> Response:
        return HTMLResponse(page, headers=headers)

    return answer


async def _read_asyncapi() -> Response:
    return Response(encode_json(asyncapi_document(STREAM_PATH)), media_type="application/json")


async def _on_input_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)  # noqa: S101  # registered for this type only
    return input_problem(error)


async def _on_journal_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, JournalError)  # noqa: S101  # registered for this type only
    return journal_problem(error, request_rights(request.scope))


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this type only
    first: dict[str, Any] = error.errors()[0]
    field = str(first["loc"][-1])
    return problem(400, f"{field}: {first['msg']}", field=field)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this type only
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail
    if detail == phrase:
        detail = f"{request.method} {request.url.path}: {phrase.lower()}; /docs lists the API"
    return problem(error.status_code, detail, headers=dict(error.headers or {}))
