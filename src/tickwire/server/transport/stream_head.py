"""Recognize and parse a stream request that has arrived as a whole."""

from __future__ import annotations

from typing import NamedTuple

import httptools

# The start of the request line, up to the character that ends the path.
_GET_STARTS = (b"GET /v1/stream?", b"GET /v1/stream ")
_QUERY_STARTS = (b"QUERY /v1/stream?", b"QUERY /v1/stream ")
_PATH = b"/v1/stream"
# The maximum length of a request that this module parses. StreamProtocol handles a longer request, and limits its
# length.
_MAX_REQUEST_BYTES = 64 * 1024


class StreamHead(NamedTuple):
    """A stream request: the method, the query, the headers with lower-case names, and the body of a QUERY request.

    `keep_alive` is true if the client accepts further responses on the connection.
    """

    method: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    body: bytes


class _HeadCollector:
    """Collects the URL and the headers of a request from the callbacks of the parser.

    `messages` counts the complete requests.
    """

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.start()

    def start(self) -> None:
        """Forget the previous request."""
        self.url = b""
        self.body = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.keep_alive = False
        self.messages = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        # Read the value now, because after the end of the request, the parser reports the state of the next request.
        self.keep_alive = self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.messages += 1


class _SharedParser:
    """One parser for all connections. After each call of `parse`, the parser is ready for the next call."""

    def __init__(self) -> None:
        self._collector = _HeadCollector()

    def parse(self, data: bytes) -> StreamHead | None:
        collector = self._collector
        parser = collector.parser
        collector.start()
        try:
            parser.feed_data(data)
            is_simple = collector.messages == 1 and parser.get_http_version() == "1.1"
            method = parser.get_method().decode() if is_simple else ""
            url = httptools.parse_url(collector.url) if is_simple else None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._collector = _HeadCollector()
            return None
        # Replace the parser after an incomplete request, or a request that ends the connection, because it cannot parse
        # another request.
        if not is_simple or not collector.keep_alive:
            self._collector = _HeadCollector()
        if url is None or url.path != _PATH:
            return None
        return StreamHead(method, url.query or b"", collector.headers, collector.keep_alive, collector.body)


_PARSER = _SharedParser()


def parse_stream_head(data: bytes) -> StreamHead | None:
    """Return the request if `data` is exactly one complete HTTP/1.1 request for a stream.

    The method is GET without a body, or QUERY with a body whose length is in its head. Return None for anything else:
    another request, a part of a request, several requests, or invalid bytes.
    """
    if len(data) > _MAX_REQUEST_BYTES:
        return None
    if data.startswith(_GET_STARTS):
        return _PARSER.parse(data) if data.endswith(b"\r\n\r\n") else None
    if data.startswith(_QUERY_STARTS):
        request = _PARSER.parse(data)
        # If bytes follow the body, or divide it into chunks, the request is longer than its head and its body together.
        is_exact = request is not None and data.partition(b"\r\n\r\n")[2] == request.body
        return request if is_exact else None
    return None
