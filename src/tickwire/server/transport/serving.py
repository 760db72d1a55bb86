"""Create the server that `tickwire serve` and the worker of gunicorn run."""

from __future__ import annotations

import uvicorn

from tickwire.server.transport.certificate import Certificate
from tickwire.server.transport.stream_connection import StreamConnection
from tickwire.server.transport.stream_server import StoppableApp, StreamServer
from tickwire.server.transport.tls_connection import TlsConnection

# The maximum time that the server waits for unfinished responses after it has begun to close the streams.
_GRACEFUL_SHUTDOWN_S = 10
# The maximum time that a connection may wait for its next request. nginx keeps its connections to a server open for
# 60 s. The limit is longer, because a proxy answers 502 if the server closes a connection that the proxy is about to
# reuse.
_KEEP_ALIVE_S = 75
# The time for which a stopping server keeps idle connections open. If a client sends a request in this time, the
# response contains the header `Connection: close`.
_IDLE_LINGER_S = 1.0


def create_server(
    app: StoppableApp, max_connections: int, *, certificate: Certificate | None = None, drain_delay_s: float = 0.0
) -> StreamServer:
    """Create a server for an application, but do not start it. With a certificate, the server uses TLS.

    The caller also starts the application (`App.running`), so that the caller can report an error of this start.
    """
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # an application is also an ASGI application
        http=TlsConnection if certificate else StreamConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACEFUL_SHUTDOWN_S,
    )
    return StreamServer(
        config,
        app,
        max_connections=max_connections,
        idle_linger_s=_IDLE_LINGER_S,
        drain_delay_s=drain_delay_s,
        certificate=certificate,
    )
