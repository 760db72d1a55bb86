"""Recognizing stream requests, the deadlines of first requests, and the states of a connection."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from tickwire.server.transport.deadlines import Deadlines
from tickwire.server.transport.stream_connection import CONNECTION_TRANSITIONS, ClientState
from tickwire.server.transport.whole_request import PublishParser, parse_stream_request

STREAM = b"GET /v1/stream?symbols=A HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
QUERY = b"QUERY /v1/stream?client_id=a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


def test_a_complete_stream_request_is_parsed() -> None:
    head = parse_stream_request(STREAM)
    assert head is not None
    assert (head.query, head.keep_alive) == (b"symbols=A", True)
    assert head.headers == [(b"host", b"a"), (b"x-a", b"1"), (b"x-a", b"2")]


def test_a_complete_query_request_is_parsed() -> None:
    head = parse_stream_request(QUERY)
    assert head is not None
    assert (head.method, head.query, head.body) == ("QUERY", b"client_id=a", b"{}")
    assert parse_stream_request(STREAM).body == b""


@pytest.mark.parametrize(
    "data",
    [
        QUERY[:-1],
        QUERY + b" ",
        QUERY + STREAM,
        QUERY.replace(b"QUERY", b"GET"),
        QUERY.replace(b"/stream", b"/streams"),
        QUERY.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked").replace(b"{}", b"2\r\n{}\r\n0\r\n\r\n"),
        QUERY.replace(b": 2", b": 70000").replace(b"{}", b"a" * 70_000),
        b"",
        b"GET /v1/str",
        STREAM[:-2],
        STREAM[:-1],
        STREAM + b"GET",
        STREAM + STREAM,
        STREAM + b"POST /x HTTP/1.1\r\nX-User: a\r\nContent-Length: 9\r\n\r\n",
        STREAM.replace(b"GET", b"HEAD"),
        STREAM.replace(b"GET", b"POST"),
        STREAM.replace(b"1.1", b"1.0"),
        STREAM.replace(b"1.1", b"9.9"),
        STREAM.replace(b"/stream", b"/streams"),
        STREAM.replace(b"/stream", b"/stream/x"),
        STREAM.replace(b"/v1", b"http://a/v1"),
        STREAM.replace(b"X-A: 1", b"Content-Length: 1"),
        STREAM.replace(b"X-A: 1", b"Transfer-Encoding: chunked"),
        STREAM.replace(b"X-A: 1", b"Connection: Upgrade\r\nUpgrade: websocket"),
        STREAM.replace(b"X-A: 1", b"X-A : 1"),
        STREAM.replace(b"X-A: 1", b"X-A: " + b"a" * 70_000),
        b"\0" + STREAM,
    ],
)
def test_other_requests_are_left_to_the_general_protocol(data: bytes) -> None:
    assert parse_stream_request(data) is None
    # The shared parser is ready for the next request after any input.
    assert parse_stream_request(STREAM) is not None


PUBLISH = b"POST /v1/quotes HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]"


def test_a_complete_publish_request_is_parsed() -> None:
    request = PublishParser().parse(PUBLISH)
    assert request is not None
    assert (request.method, request.query, request.body, request.keep_alive) == ("POST", b"", b"[]", True)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        STREAM,
        PUBLISH[:-1],
        PUBLISH + b" ",
        PUBLISH.replace(b"[]", b"\r\n\r\n"),
        PUBLISH + PUBLISH,
        PUBLISH + b"P",
        PUBLISH + b"POST /x HTTP/1.1\r\nX-User: ",
        PUBLISH + b"POST /x HTTP/1.1\r\nContent-Length: 900\r\n\r\n",
        PUBLISH.replace(b"POST", b"PUT"),
        PUBLISH.replace(b"/quotes", b"/quotes/A"),
        PUBLISH.replace(b"1.1", b"1.0"),
        PUBLISH.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked").replace(b"[]", b"2\r\n[]\r\n0\r\n\r\n"),
        PUBLISH.replace(b"Host: a", b"Connection: Upgrade\r\nUpgrade: websocket"),
        PUBLISH.replace(b": 2", b": 70000").replace(b"[]", b"a" * 70_000),
    ],
)
def test_other_requests_than_publish_requests_are_left_to_uvicorn(data: bytes) -> None:
    parser = PublishParser()
    assert parser.parse(data) is None
    assert parser.parse(PUBLISH) is not None
    assert parser.parse(data) is None


def test_requests_with_the_same_head_have_their_own_bodies() -> None:
    parser = PublishParser()
    other_head = PUBLISH.replace(b"Host: a", b"Host: b")
    for data, body in ((PUBLISH, b"[]"), (PUBLISH.replace(b"[]", b"{}"), b"{}"), (other_head, b"[]"), (PUBLISH, b"[]")):
        request = parser.parse(data)
        assert request is not None
        assert request.body == body
        assert (b"host", b"b" if data is other_head else b"a") in request.headers
        # The length of the body must still be the length that the head announces.
        assert parser.parse(data + b" ") is None
        assert parser.parse(data[:-1]) is None


def test_more_heads_than_the_parser_stores_are_parsed() -> None:
    parser = PublishParser()
    for number in (*range(100), *range(100)):
        request = parser.parse(PUBLISH.replace(b"Host: a", b"Idempotency-Key: %d" % number))
        assert request is not None
        assert request.headers[0] == (b"idempotency-key", b"%d" % number)


def test_a_last_request_is_not_kept_alive() -> None:
    for _ in range(2):
        head = parse_stream_request(STREAM.replace(b"X-A: 1", b"Connection: close"))
        assert head is not None
        assert not head.keep_alive


class RecordedConnection:
    def __init__(self) -> None:
        self.aborted_at: float | None = None

    def abort(self) -> None:
        self.aborted_at = monotonic()


async def test_only_connections_that_miss_their_deadline_are_aborted() -> None:
    deadlines = Deadlines(RecordedConnection.abort)
    early, removed, late = RecordedConnection(), RecordedConnection(), RecordedConnection()
    started_at = monotonic()
    for connection, timeout_s in ((early, 0.01), (removed, 0.01), (late, 0.03)):
        deadlines.add(connection, timeout_s)
    assert 0 <= deadlines.remove(removed) <= 0.01
    assert deadlines.remove(removed) == 0
    while late.aborted_at is None:
        await asyncio.sleep(0.001)
    assert removed.aborted_at is None
    assert early.aborted_at is not None
    assert early.aborted_at - started_at >= 0.009
    assert late.aborted_at - started_at >= 0.029


async def test_a_later_deadline_replaces_the_earlier_deadline_of_a_connection() -> None:
    deadlines = Deadlines(RecordedConnection.abort)
    moved, other = RecordedConnection(), RecordedConnection()
    started_at = monotonic()
    deadlines.add(moved, 0.01)
    deadlines.add(other, 0.02)
    deadlines.add(moved, 0.03)
    while moved.aborted_at is None:
        await asyncio.sleep(0.001)
    assert other.aborted_at is not None
    assert other.aborted_at < moved.aborted_at
    assert moved.aborted_at - started_at >= 0.029


def test_every_state_is_reached_and_left() -> None:
    reached = set[ClientState]().union(*CONNECTION_TRANSITIONS.values())
    assert reached == set(ClientState) - {ClientState.WAITING}
    assert all(ClientState.CLOSED in following for state, following in CONNECTION_TRANSITIONS.items() if following)
