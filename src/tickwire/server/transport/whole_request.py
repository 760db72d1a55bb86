"""Recognize and parse a stream request or a publish request that has arrived as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import httptools

from tickwire.server.transport.asgi import Scope

# The possible first bytes of a request, up to the character that ends the path.
_GET_STARTS = (b"GET /v1/stream?", b"GET /v1/stream ")
_QUERY_STARTS = (b"QUERY /v1/stream?", b"QUERY /v1/stream ")
_STREAM_PATH = b"/v1/stream"
_PUBLISH_STARTS = (b"POST /v1/quotes?", b"POST /v1/quotes ")
_PUBLISH_PATH = b"/v1/quotes"
_HEAD_END = b"\r\n\r\n"
# The maximum length of a request that this module parses. StreamProtocol handles a longer request, and limits its
# length.
_MAX_REQUEST_BYTES = 64 * 1024
# A publisher repeats the heads of its requests, so each connection stores its newest parsed heads. Heads with more
# bytes or headers than these limits are not stored. So the stored heads of a connection occupy at most 20 KB.
_MAX_STORED_HEADS = 4
_MAX_STORED_HEADERS = 24
_MAX_STORED_HEAD_BYTES = 1024

# The address and the port of a socket. None for a Unix socket, or after the client has closed the connection.
Address: TypeAlias = tuple[str, int | None] | None


class WholeRequest(NamedTuple):
    """A request: the method, the query, the headers with lower-case names, and the body.

    `keep_alive` is true if the client accepts further responses on the connection.
    """

    method: str
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    keep_alive: bool
    body: bytes

    def create_scope(self, path: str, client: Address, server: Address) -> Scope:
        """Return the request in the form that all checks read: the keys of an ASGI scope."""
        return {
            "type": "http",
            "http_version": "1.1",
            "method": self.method,
            "root_path": "",
            "path": path,
            "query_string": self.query,
            "headers": self.headers,
            "client": client,
            "server": server,
            "state": {},
        }


class _HeadCollector:
    """Collects the URL and the headers of a request from the callbacks of the parser.

    `begun` counts the requests, and `completed` counts the complete requests.
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
        self.begun = self.completed = 0

    def on_message_begin(self) -> None:
        self.begun += 1

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
        self.completed += 1


class _SharedParser:
    """One parser for all connections. After each call of `parse`, the parser is ready for the next call."""

    def __init__(self) -> None:
        self._collector = _HeadCollector()

    def parse(self, data: bytes, path: bytes) -> WholeRequest | None:
        collector = self._collector
        parser = collector.parser
        collector.start()
        try:
            parser.feed_data(data)
            is_simple = collector.begun == collector.completed == 1 and parser.get_http_version() == "1.1"
            method = parser.get_method().decode() if is_simple else ""
            url = httptools.parse_url(collector.url) if is_simple else None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._collector = _HeadCollector()
            return None
        # The parser can parse the next request, which comes from another connection, only if the parsed request is
        # complete and keeps its connection open. Otherwise, replace the parser.
        if not is_simple or not collector.keep_alive:
            self._collector = _HeadCollector()
        if url is None or url.path != path:
            return None
        return WholeRequest(method, url.query or b"", collector.headers, collector.keep_alive, collector.body)


_PARSER = _SharedParser()


def parse_stream_request(data: bytes) -> WholeRequest | None:
    """Return the request if `data` is exactly one complete HTTP/1.1 request for a stream.

    The method is GET without a body, or QUERY with a body whose length is in its head. Return None for anything else:
    another request, a part of a request, several requests, or invalid bytes.
    """
    if len(data) > _MAX_REQUEST_BYTES:
        return None
    if data.startswith(_GET_STARTS):
        return _PARSER.parse(data, _STREAM_PATH) if data.endswith(_HEAD_END) else None
    return _parse_with_body(data, _STREAM_PATH) if data.startswith(_QUERY_STARTS) else None


class PublishParser:
    """Parses the publish requests of one connection, and stores the results of the newest heads.

    A stored head announces a body of the length with which it is stored. So a request with the same head and a body of
    this length needs no parser. A head may contain a token, so it is stored no longer than its connection is open.
    """

    __slots__ = ("_heads",)

    def __init__(self) -> None:
        self._heads: dict[tuple[bytes, int], WholeRequest] = {}

    def parse(self, data: bytes) -> WholeRequest | None:
        """Return the request if `data` is exactly one complete HTTP/1.1 request that publishes ticks.

        Otherwise, return None: StreamProtocol must parse and answer this request.
        """
        if len(data) > _MAX_REQUEST_BYTES or not data.startswith(_PUBLISH_STARTS):
            return None
        head, _, body = data.partition(_HEAD_END)
        stored = self._heads.get((head, len(body)))
        if stored is not None:
            return stored._replace(body=body)
        request = _parse_with_body(data, _PUBLISH_PATH)
        if request is not None and len(head) <= _MAX_STORED_HEAD_BYTES and len(request.headers) <= _MAX_STORED_HEADERS:
            if len(self._heads) >= _MAX_STORED_HEADS:
                del self._heads[next(iter(self._heads))]
            self._heads[head, len(body)] = request._replace(body=b"")
        return request


def _parse_with_body(data: bytes, path: bytes) -> WholeRequest | None:
    request = _PARSER.parse(data, path)
    # If the body is chunked, or if other bytes follow the body, the bytes after the head differ from the body.
    is_exact = request is not None and data.partition(_HEAD_END)[2] == request.body
    return request if is_exact else None
