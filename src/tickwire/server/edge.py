"""The HTTP edge: streams and publishing by themselves, everything else through FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from tickwire.errors import InputError, JournalError
from tickwire.server import (
    candles,
    clients,
    health,
    instruments,
    messages,
    metrics,
    quotes,
    screens,
    simulator,
    subscriptions,
)
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.openapi import document
from tickwire.server.problem import input_problem, journal_problem, problem
from tickwire.server.publish import PublishEndpoint
from tickwire.server.service import Service
from tickwire.server.stream import StreamEndpoint

STREAM_PATH = "/v1/stream"
PUBLISH_PATH = "/v1/quotes"


class Edge:
    """The ASGI callable in front of one running server."""

    def __init__(self, service: Service) -> None:
        self._stream = StreamEndpoint(service)
        self._publish = PublishEndpoint(service)
        self._rest = _rest(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._endpoint(scope)(scope, receive, send)

    def _endpoint(self, scope: Scope) -> StreamEndpoint | PublishEndpoint | FastAPI:
        if scope["type"] == "http":
            path = _path(scope)
            if path == STREAM_PATH:
                return self._stream
            if path == PUBLISH_PATH and scope["method"] == "POST":
                return self._publish
        return self._rest


def _path(scope: Scope) -> str:
    """The path below where this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _rest(service: Service) -> FastAPI:
    app = FastAPI(title="Tickwire", docs_url=None, redoc_url=None, summary="Market data as Server-Sent Events")
    app.state.service = service
    parts = (quotes, candles, instruments, screens, subscriptions, messages, clients, simulator, health, metrics)
    for part in parts:
        app.include_router(part.routes)
    for path, name in (("/", "page.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _page(name), include_in_schema=False)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(JournalError, _on_journal_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    document(app, stream=STREAM_PATH, publish=PUBLISH_PATH)
    return app


def _page(name: str) -> Callable[[], Awaitable[FileResponse]]:
    path = str(files("tickwire.server").joinpath("pages", name))

    async def page() -> FileResponse:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})

    return page


async def _on_input_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)  # noqa: S101  # registered for nothing else
    return input_problem(error)


async def _on_journal_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, JournalError)  # noqa: S101  # registered for nothing else
    return journal_problem(error)


async def _on_validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
    first: dict[str, Any] = error.errors()[0]
    field = str(first["loc"][-1])
    return problem(400, f"{field}: {first['msg']}", field=field)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
    standard = HTTPStatus(error.status_code).phrase
    detail = error.detail
    if detail == standard:
        detail = f"{request.method} {request.url.path}: {standard.lower()}; /docs lists what there is"
    return problem(error.status_code, detail, headers=dict(error.headers or {}))
