"""A new connection of a server with TLS, until its handshake has ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvicorn

from tickwire.server.transport import protocol
from tickwire.server.transport.connection_table import ConnectionTable
from tickwire.server.transport.sinks import HIGH_WATER_BYTES, LOW_WATER_BYTES
from tickwire.server.transport.stream_connection import StreamConnection

log = logging.getLogger(__name__)

# The maximum time that the server waits for a client to confirm the end of its TLS connection.
_SHUTDOWN_TIMEOUT_S = 2.0


class TlsConnection(asyncio.Protocol):
    """Performs the TLS handshake with the client, and then passes the encrypted connection to a StreamConnection.

    uvloop's own server could also encrypt all connections. But then the connection table would count a connection only
    after its handshake, and uvloop's buffers would hold up to 64 KB for each slow reader.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ConnectionTable,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config = config
        self._table = server_state
        self._app_state = app_state
        self._transport: asyncio.Transport | None = None
        # The bytes that arrived together with the end of the handshake.
        self._received: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain: asyncio.Transport = transport  # type: ignore[assignment]  # a connection has a Transport
        self._transport = plain
        # Limit the buffer of encrypted bytes too, because the limits of the sink apply only to the bytes before the
        # encryption.
        plain.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=LOW_WATER_BYTES)
        self._table.connections.add(self)  # type: ignore[arg-type]  # uvicorn's type lists its own protocols
        self._table.add_waiting(self)
        # Begin the handshake before the first bytes arrive, because these bytes are a part of the handshake.
        self._table.handshakes.start(self._shake_hands(plain))

    def data_received(self, data: bytes) -> None:
        self._received.append(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._leave_table()
        self._transport = None

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def close_after_request(self) -> None:
        """Do nothing, because the connection has no request yet."""

    def shutdown(self) -> None:
        """Close the connection. uvicorn calls this method at a stop."""
        self.close()

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        certificate = self._table.certificate
        assert certificate is not None  # noqa: S101  # StreamServer sets it
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport,
                self,
                certificate.context,
                server_side=True,
                ssl_handshake_timeout=protocol.HEAD_TIMEOUT_S,
                ssl_shutdown_timeout=_SHUTDOWN_TIMEOUT_S,
            )
        except OSError as error:
            # The error has one of these causes: the client does not use TLS, rejects the certificate, is too slow, or
            # has disconnected.
            log.debug("a TLS handshake failed: %s", error)
            transport.abort()
            self.connection_lost(error)
            return
        if self._transport is not None and encrypted is not None:
            self._hand_over(encrypted)

    def _hand_over(self, encrypted: asyncio.Transport) -> None:
        self._leave_table()
        connection = StreamConnection(self._config, self._table, self._app_state)
        encrypted.set_protocol(connection)
        connection.connection_made(encrypted)
        if self._received:
            connection.data_received(b"".join(self._received))

    def _leave_table(self) -> None:
        self._table.connections.discard(self)
        self._table.remove_waiting(self)
