"""The HTTP edge: streams and publishing by themselves, everything else through FastAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import Depends, FastAPI, Request
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
    operations,
    quotes,
    screens,
    simulator,
    subscriptions,
    tickets,
    whoami,
)
from tickwire.server.access import STREAM_PATH, no_rule
from tickwire.server.admission import address_of
from tickwire.server.asgi import Receive, Scope, Send
from tickwire.server.dashboard import add_dashboard
from tickwire.server.guard import Answer, Guard
from tickwire.server.hardening import page_policy
from tickwire.server.openapi import document
from tickwire.server.problem import input_problem, journal_problem, problem
from tickwire.server.publish import PublishEndpoint
from tickwire.server.request import parse_query
from tickwire.server.rules import PUBLIC, rule_for
from tickwire.server.service import Service
from tickwire.server.stream import StreamEndpoint

PUBLISH_PATH = "/v1/quotes"


class Edge:
    """The ASGI callable in front of one running server.

    What stands before the endpoints is a row of calls, not of wrappers: each wrapper would keep a frame alive for as
    long as a stream, some 0.5 KB for each reader.
    """

    def __init__(self, service: Service, guard: Guard) -> None:
        self._guard = guard
        self._stream = StreamEndpoint(service)
        self._publish = PublishEndpoint(service)
        self.rest = _rest(service, guard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.rest(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {})}  # ours: whoever we are mounted in may share its own
        answer = Answer(self._guard, scope, send, _path(scope))
        endpoint = await self._admitted(scope, answer) or self._endpoint(scope, answer.path)
        await endpoint(scope, receive, answer)

    async def _admitted(self, scope: Scope, answer: Answer) -> Response | None:
        """Who asks, and what to answer where that one gets no further. The cheapest checks come first."""
        guard, path = self._guard, answer.path
        try:
            guard.proxies.resolve(scope)
            guard.count(address_of(scope), path)
            preflight = guard.cors.preflight(scope)
            if preflight is not None:
                return preflight
            guard.cors.check(scope)
            answer.rule = rule_for(scope["method"], path)
            if answer.rule != PUBLIC and not guard.proxies.sent(scope):
                guard.hosts.check(scope)
            rights = scope["state"]["rights"] = await guard.access.rights(scope, path, answer.rule)
            guard.count(rights.address, path)
        except InputError as error:
            return input_problem(error)
        except JournalError as error:
            return journal_problem(error)
        return no_rule(scope, path) if answer.rule is None and guard.access.tokens else None

    def _endpoint(self, scope: Scope, path: str) -> StreamEndpoint | PublishEndpoint | FastAPI:
        if path == STREAM_PATH:
            return self._stream
        if path == PUBLISH_PATH and scope["method"] == "POST":
            return self._publish
        return self.rest


def _path(scope: Scope) -> str:
    """The path below where this application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _rest(service: Service, guard: Guard) -> FastAPI:
    app = FastAPI(
        title="Tickwire",
        summary="Market data as Server-Sent Events",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a wrong path is a wrong path
        dependencies=[Depends(_check_query)],
    )
    app.state.service = service
    app.state.tickets = guard.tickets
    app.state.audit = guard.audit
    app.state.denied = guard.denied
    market = (quotes, candles, instruments, screens)
    for part in (*market, subscriptions, tickets, whoami, messages, clients, simulator, health, metrics, operations):
        app.include_router(part.routes)
    app.add_api_route("/docs", _page("docs.html"), include_in_schema=False)
    add_dashboard(app)
    app.add_exception_handler(InputError, _on_input_error)
    app.add_exception_handler(JournalError, _on_journal_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    document(app, stream=STREAM_PATH, publish=PUBLISH_PATH)
    return app


async def _check_query(request: Request) -> None:
    """Of the API, a parameter that a call does not take is refused, as on a stream: it was meant to do something."""
    if request.scope["query_string"] and _path(request.scope).startswith("/v1/"):
        taken = request.scope["route"].dependant.query_params
        parse_query(request.scope["query_string"].decode("latin-1"), [parameter.alias for parameter in taken])


def _page(name: str) -> Callable[[], Awaitable[FileResponse]]:
    path = files("tickwire.server").joinpath("pages", name)
    policy = page_policy(path.read_text(encoding="utf-8"))
    headers = {"cache-control": "no-cache", "content-security-policy": policy}

    async def page() -> FileResponse:
        return FileResponse(str(path), media_type="text/html; charset=utf-8", headers=headers)

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
