"""A proxy that speaks HTTP/2 to its clients, with the faults that proxies have only over HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.settings
import httpx2

# The headers that belong to one connection (RFC 9113, section 8.2.2).
CONNECTION_HEADERS = {"connection", "transfer-encoding", "keep-alive"}


class Http2Proxy:
    """Forwards requests to the server at `server_url`.

    Over HTTP/1.1, the proxy forwards all bytes unchanged. Over HTTP/2, a connection has at most `max_streams` streams.
    With `holds_bodies`, the proxy sends only the head of a response. `max_chunks` ends a response after this number of
    chunks.
    """

    def __init__(
        self,
        server_url: str,
        certificate: tuple[Path, Path],
        *,
        max_streams: int = 100,
        max_chunks: int | None = None,
        holds_bodies: bool = False,
    ) -> None:
        self.max_streams, self.max_chunks, self.holds_bodies = max_streams, max_chunks, holds_bodies
        self._server_url = server_url
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*certificate)
        self._context.set_alpn_protocols(["h2", "http/1.1"])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Run the proxy. Yield its URL."""
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=self._context)
        try:
            yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in [*connections]:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2":
                await Http2Connection(self, self._server_url, reader, writer).serve()
            else:
                await self._tunnel(reader, writer)
        except* OSError:
            # The client has closed the connection.
            pass
        finally:
            writer.transport.abort()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        url = httpx2.URL(self._server_url)
        server_reader, server_writer = await asyncio.open_connection(url.host, url.port)
        copies = [
            asyncio.create_task(copy(reader, server_writer)),
            asyncio.create_task(copy(server_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.transport.abort()
            for task in copies:
                task.cancel()
            await asyncio.gather(*copies, return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


class Http2Connection:
    """One connection of a client over HTTP/2."""

    def __init__(
        self, proxy: Http2Proxy, server_url: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy, self._server_url = proxy, server_url
        self._reader, self._writer = reader, writer
        self._state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    async def serve(self) -> None:
        """Answer all requests until the client closes the connection."""
        self._state.initiate_connection()
        limit = {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: self._proxy.max_streams}
        self._state.update_settings(limit)
        self._flush()
        async with httpx2.AsyncClient(timeout=None) as client, asyncio.TaskGroup() as group:
            answers: list[asyncio.Task[None]] = []
            while data := await self._reader.read(65_536):
                events = self._state.receive_data(data)
                requests = [event for event in events if isinstance(event, h2.events.RequestReceived)]
                answers += [group.create_task(self._answer(client, request)) for request in requests]
                self._flush()
            for answer in answers:
                answer.cancel()

    async def _answer(self, client: httpx2.AsyncClient, request: h2.events.RequestReceived) -> None:
        stream = request.stream_id
        headers = {name: value for name, value in request.headers if not name.startswith(":")}
        pseudo = {name: value for name, value in request.headers if name.startswith(":")}
        url, chunks = self._server_url + pseudo[":path"], 0
        async with client.stream(pseudo[":method"], url, headers=headers) as response:
            kept = [(name, value) for name, value in response.headers.items() if name not in CONNECTION_HEADERS]
            self._state.send_headers(stream, [(":status", str(response.status_code)), *kept])
            self._flush()
            async for chunk in response.aiter_raw():
                if chunks == self._proxy.max_chunks:
                    break
                chunks += 1
                if not self._proxy.holds_bodies:
                    self._state.send_data(stream, chunk)
                    self._flush()
        self._state.end_stream(stream)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._state.data_to_send())
