"""A request that occupies a connection while the server answers it without ASGI."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Protocol

from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.response_head import FAILURE_BODY, FAILURE_HEADERS


class _NullEvent:
    """Replaces the asyncio event that wakes `receive` of uvicorn.

    Without ASGI, no code calls `receive`, so nothing must be woken.
    """

    def set(self) -> None:
        pass


NULL_EVENT = _NullEvent()


class RequestInProgress:
    """Takes the place of uvicorn's request cycle while the server answers a request without ASGI.

    uvicorn's protocol then parses further requests of the connection, and lets them wait. The object has all attributes
    of a cycle that the protocol reads or sets. The server creates the object when the body of the request is complete.
    """

    __slots__ = ("disconnected", "keep_alive", "response_complete", "scope")

    message_event = NULL_EVENT
    more_body = False
    response_started = False

    def __init__(self, scope: Scope | None = None, *, keep_alive: bool = True) -> None:
        self.disconnected = False
        self.keep_alive = keep_alive
        self.response_complete = False
        self.scope = scope


class DirectConnection(Protocol):
    """The connection of a request that the server answers without ASGI."""

    async def send_direct_response(
        self, request: RequestInProgress, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> None:
        """Send a complete response in one write, as soon as the client reads the preceding responses."""
        ...


class DirectRequest(RequestInProgress):
    """A complete request that the server answers with one write."""

    __slots__ = ("_body", "_connection")

    scope: Scope

    def __init__(self, connection: DirectConnection, scope: Scope, body: bytes, *, keep_alive: bool) -> None:
        super().__init__(scope, keep_alive=keep_alive)
        self._connection = connection
        self._body = body

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the whole body, in the form of an ASGI message."""
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the response. Do nothing if the client has disconnected."""
        await self._connection.send_direct_response(self, status, headers, body)

    async def send_failure(self) -> None:
        """Answer 500, as uvicorn does if an application fails, and close the connection."""
        self.keep_alive = False
        await self.send(500, FAILURE_HEADERS, FAILURE_BODY)


class PublishAnswerer(Protocol):
    """Answers publish requests."""

    async def answer(self, request: DirectRequest) -> None:
        """Check and execute the request, and call its `send` or `send_failure`."""
        ...
