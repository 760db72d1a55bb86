"""uvicorn's server, extended for endless streams."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Protocol

import uvicorn

from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.connection_table import ClosableConnection, ConnectionTable, StreamOpener
from tickwire.server.transport.direct_request import PublishAnswerer

# Tickwire looks for changed certificate files in every n-th call of `on_tick`, where n is this number. uvicorn calls
# `on_tick` every 0.1 s.
CERTIFICATE_CHECK_TICKS = 20


class StoppableApp(Protocol):
    """The interface of an application whose endless streams a server can end."""

    @property
    def direct_streams(self) -> StreamOpener | None:
        """The object that answers stream requests without ASGI, or None while the application does not run."""
        ...

    @property
    def direct_publishing(self) -> PublishAnswerer | None:
        """The object that answers publish requests without ASGI, or None while the application does not run."""
        ...

    def begin_drain(self) -> None:
        """Make readiness checks fail from now on."""
        ...

    async def end_streams(self) -> None:
        """End the streams one after the other, at the rate at which other servers can accept the readers."""
        ...

    def drain(self) -> None:
        """End every stream immediately."""
        ...


class StreamServer(uvicorn.Server):
    """uvicorn's server, extended for endless responses, a limit of connections and a stop that loses no request.

    uvicorn waits until every connection has closed before it shuts down the application. Endless streams would never
    close, so `shutdown` first ends the streams of `app`. The caller handles signals, and calls `begin_stop` to stop the
    server.

    A stopping server answers each further request on an open connection with `Connection: close`. The server closes
    idle connections only after `idle_linger_s`. Otherwise, a request that is already on its way would be lost, and a
    proxy would answer 502. Before a server stops, it continues to serve for `drain_delay_s`, but answers 503 to
    readiness checks.

    With a `certificate`, the protocol of `config` must be TlsConnection. The server looks for new files of the
    certificate every two seconds.
    """

    server_state: ConnectionTable

    def __init__(
        self,
        config: uvicorn.Config,
        app: StoppableApp,
        *,
        max_connections: int = 0,
        idle_linger_s: float = 0.0,
        drain_delay_s: float = 0.0,
        certificate: Certificate | None = None,
    ) -> None:
        super().__init__(config)
        self.server_state = ConnectionTable(max_connections, lambda: app.direct_streams, lambda: app.direct_publishing)
        self.server_state.certificate = certificate
        self._app = app
        self._idle_linger_s = idle_linger_s
        self._drain_delay_s = drain_delay_s
        self._is_stopping = False

    def begin_drain(self) -> None:
        """Answer 503 to readiness checks from now on, but continue to serve."""
        self._app.begin_drain()

    def begin_stop(self, *, waits: bool = True) -> None:
        """Stop the server soon. A second call stops the server without waiting for readers and unfinished responses.

        Readiness checks fail from now on. If `waits` is True, the server continues to serve for `drain_delay_s`, so
        that load balancers notice the failed checks. Then it closes the listening sockets.
        """
        is_first_call, self._is_stopping = not self._is_stopping, True
        self.begin_drain()
        if not is_first_call:
            self.force_exit = True
            self._app.drain()
            self.should_exit = True
        elif waits and self._drain_delay_s:
            asyncio.get_running_loop().call_later(self._drain_delay_s, self._close_listeners_soon)
        else:
            self.should_exit = True

    def _close_listeners_soon(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Load a changed certificate, and let uvicorn update the date header. uvicorn calls this method every 0.1 s."""
        if self.server_state.certificate is not None and counter % CERTIFICATE_CHECK_TICKS == 0:
            self.server_state.certificate.reload_if_changed()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers, because the caller handles signals."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listening sockets, end the streams, and then stop the server."""
        await self.end_streams()
        await super().shutdown(sockets)

    async def end_streams(self) -> None:
        """Close the listening sockets, end the streams, and wait at most `idle_linger_s` for idle connections."""
        # Close the listening sockets first, so that new readers and publishers connect to another process.
        for server in self.servers:
            server.close()
        self._app.begin_drain()
        self.server_state.is_draining = True
        for connection in self.server_state.connections:
            # Check the type, because a test may run the server with uvicorn's own protocol.
            if isinstance(connection, ClosableConnection):
                connection.close_after_request()
        closes_idle_at = asyncio.get_running_loop().time() + self._idle_linger_s
        await self._app.end_streams()
        if not self.force_exit:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(closes_idle_at):
                    await self.server_state.wait_until_none_waits()
