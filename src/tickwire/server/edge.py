"""The HTTP edge: the stream by itself, everything else through FastAPI."""

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
from tickwire.server import clients, health, instruments, messages, quotes, simulator
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.openapi import document_stream
from tickwire.server.problem import input_problem, problem
from tickwire.server.service import Service
from tickwire.server.stream import StreamEndpoint

STREAM_PATH = "/v1/stream"


class Edge:
    """The ASGI callable in front of one running server."""

    def __init__(self, service: Service) -> None:
        self._stream = StreamEndpoint(service)
        self._rest = _rest(service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and _path(scope) == STREAM_PATH:
            await self._stream(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _path(scope: Scope) -> str:
    """The path below where this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _rest(service: Service) -> FastAPI:
    app = FastAPI(title="Tickwire", docs_url=None, redoc_url=None, summary="Market data as Server-Sent Events")
    app.state.service = service
    for module in (quotes, instruments, messages, clients, simulator, health):
        app.include_router(module.routes)
    for path, name in (("/", "page.html"), ("/docs", "docs.html")):
        app.add_api_route(path, _page(name), include_in_schema=False)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(JournalError, _on_journal_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    document_stream(app, STREAM_PATH)
    return app


def _page(name: str) -> Callable[[], Awaitable[FileResponse]]:
    path = str(files("tickwire.server").joinpath("pages", name))

    async def page() -> FileResponse:
        return FileResponse(path, media_type="text/html; charset=utf-8", headers={"cache-control": "no-cache"})

    return page


async def _on_input_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)  # noqa: S101  # registered for nothing else
    return input_problem(error, getattr(error, "status", 400))


async def _on_journal_error(_: Request, error: Exception) -> Response:
    return problem(503, str(error), headers={"retry-after": "2"})


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
