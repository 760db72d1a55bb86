"""The table of all connections of one server. The table limits the number of connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from uvicorn.server import ServerState

from tickwire.eager_task import EagerTasks
from tickwire.server.transport.asgi import Scope
from tickwire.server.transport.deadlines import Deadlines

if TYPE_CHECKING:
    from tickwire.server.transport.certificate import Certificate
    from tickwire.server.transport.direct_request import PublishAnswerer
    from tickwire.server.transport.stream_connection import StreamConnection


class StreamOpener(Protocol):
    """Answers stream requests."""

    def open(self, connection: StreamConnection, scope: Scope, body: bytes) -> None:
        """Handle the request. Call `send_response` or `start_stream`, either in this call or later."""
        ...


@runtime_checkable
class ClosableConnection(Protocol):
    """A connection that can be closed by the table, or by a stopping server."""

    def close(self) -> None:
        """Close the connection after all written bytes have been sent."""
        ...

    def close_after_request(self) -> None:
        """Close the connection when the request in progress has been answered."""
        ...


class DescriptorUser(Protocol):
    """A part of the server that occupies descriptors (open files) in addition to the connections."""

    def limit_descriptors(self, count: int) -> None:
        """Occupy at most `count` descriptors from now on."""
        ...


class ConnectionTable(ServerState):
    """The state that uvicorn shares among all connections of a server, extended by a limit of connections.

    A connection is waiting while the server waits for bytes from its client: before a request is complete, and between
    two requests. If the server has too many connections, the table closes the connection that has waited longest. So
    the server can answer a new client, such as a health check, even if silent connections occupy all descriptors. nginx
    calls the same method "draining reusable connections".

    A `max_connections` of 0 means no limit. `is_draining` is True while the server stops. `head_deadlines` limits the
    time until the first request of a connection, and `idle_deadlines` the time from a response to the next request.
    `find_stream_opener` and `find_publish_answerer` return the objects that answer stream requests and publish requests
    without ASGI; None while the application does not run. `descriptor_user` may occupy the descriptors that connections
    leave free. `certificate` is None if the server does not use TLS. `handshakes` runs the TLS handshakes.
    """

    def __init__(
        self,
        max_connections: int = 0,
        find_stream_opener: Callable[[], StreamOpener | None] = lambda: None,
        find_publish_answerer: Callable[[], PublishAnswerer | None] = lambda: None,
    ) -> None:
        super().__init__()
        self.find_stream_opener = find_stream_opener
        self.find_publish_answerer = find_publish_answerer
        self.head_deadlines: Deadlines[StreamConnection] = Deadlines(lambda connection: connection.abort())
        self.idle_deadlines: Deadlines[ClosableConnection] = Deadlines(lambda connection: connection.close())
        self.handshakes = EagerTasks()
        self.is_draining = False
        self.certificate: Certificate | None = None
        self.descriptor_user: DescriptorUser | None = None
        self._max_connections = max_connections
        # The waiting connections. The connection that has waited longest comes first.
        self._waiting: dict[ClosableConnection, None] = {}
        self._none_waits: asyncio.Future[None] | None = None

    async def wait_until_none_waits(self) -> None:
        """Wait until no connection is waiting for its client. Call this method only once, while the server stops."""
        if self._waiting:
            self._none_waits = asyncio.get_running_loop().create_future()
            await self._none_waits

    def add_waiting(self, connection: ClosableConnection) -> None:
        """Record that the connection waits for its client.

        If the server has too many connections, close the other connection that has waited longest.
        """
        self._waiting[connection] = None
        if self._max_connections and self.descriptor_user is not None:
            self.descriptor_user.limit_descriptors(self._max_connections - len(self.connections))
        if self._max_connections and len(self.connections) > self._max_connections:
            longest = next(iter(self._waiting))
            if longest is not connection:
                self.remove_waiting(longest)
                longest.close()

    def remove_waiting(self, connection: ClosableConnection) -> None:
        """Record that the connection no longer waits for its client.

        Either the server now answers a request of the connection, or the connection has closed.
        """
        self._waiting.pop(connection, None)
        if self._none_waits is not None and not self._waiting and not self._none_waits.done():
            self._none_waits.set_result(None)
