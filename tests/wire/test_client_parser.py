"""The Python client parses event streams as the HTML standard, section 9.2.6, defines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tickwire.client.events import Event
from tickwire.client.stream import Stream, connect

BOM = b"\xef\xbb\xbf"
# The last event of each stream, so that a test knows when the stream is complete.
END = b"\n\nevent: end\ndata: end\n\n"
# Maps each stream of bytes to the name, the data and the last event id of each event.
CASES = {
    "leading byte order mark": (BOM + b"data: 1\n\ndata: 2", [("quote", "1", ""), ("quote", "2", "")]),
    "second byte order mark": (BOM + BOM + b"data: 1\n\ndata: 2", [("quote", "2", "")]),
    "byte order mark in the middle": (
        b"data: 1\n\n" + BOM + b"data: 2\n\ndata: 3",
        [("quote", "1", ""), ("quote", "3", "")],
    ),
    "comments": (b"data: 1\n:data: 2\n: x\n:\ndata: 3", [("quote", "1\n3", "")]),
    "line ends": (
        b"data: 1\r\ndata: 2\rdata: 3\ndata: 4\r\n\r\ndata: 5\r\rdata: 6",
        [("quote", "1\n2\n3\n4", ""), ("quote", "5", ""), ("quote", "6", "")],
    ),
    "spaces": (b"data:  1\ndata:2\n data: 3\ndata : 4\ndata:\t5", [("quote", " 1\n2\n\t5", "")]),
    # The standard allows an event with empty data, but no event of the server has empty data: empty text is not valid
    # JSON.
    "empty data lines": (b"data:\n\ndata\ndata\n\ndata: x", [("quote", "\n", ""), ("quote", "x", "")]),
    "names": (
        b"event: a\ndata: 1\n\ndata: 2\n\nevent:\ndata: 3\n\nevent: b\nevent: c\ndata: 4",
        [("a", "1", ""), ("quote", "2", ""), ("quote", "3", ""), ("c", "4", "")],
    ),
    "ids": (
        b"id: 1\ndata: 1\n\ndata: 2\n\nid: 7\ndata: 3\n\nid\ndata: 4",
        [("quote", "1", "1"), ("quote", "2", "1"), ("quote", "3", "7"), ("quote", "4", "")],
    ),
    "id with a null character": (b"id: 1\ndata: 1\n\nid: 2\0\ndata: 2", [("quote", "1", "1"), ("quote", "2", "1")]),
    "unknown fields": (b"datas: 0\nDATA: 0\ndata: 1\nretries: 9\nx", [("quote", "1", "")]),
    "characters of several bytes": (
        "data: ok…€𝄞\n\ndata: \u2028\x0b\x1e\x85".encode(),
        [("quote", "ok…€𝄞", ""), ("quote", "\u2028\x0b\x1e\x85", "")],
    ),
    "invalid bytes": (b"data: a\xffb", [("quote", "a\ufffdb", "")]),
    "invalid retries": (
        b"retry: x\nretry: -5\nretry: 1.5\nretry:\nretry: +1\nretry: 1_0\ndata: 1",
        [("quote", "1", "")],
    ),
    "events without data": (b"event: a\n\nid: 3\n\nretry: 7\n\ndata: 1", [("quote", "1", "3")]),
}


@contextlib.asynccontextmanager
async def serve_bytes(chunks: list[bytes], content_type: str) -> AsyncIterator[str]:
    """Answer each request with these bytes. Yield the URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " + content_type.encode() + b"\r\n\r\n")
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            # Let the client read this chunk first.
            await asyncio.sleep(0)
        writer.close()
        closed.append(asyncio.create_task(writer.wait_closed()))

    closed = list[asyncio.Task[None]]()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    await asyncio.gather(*closed, return_exceptions=True)


async def read_stream(
    body: bytes, chunk_size: int, content_type: str = "text/event-stream"
) -> tuple[Stream, list[Event]]:
    """Return the closed stream, and its events before END."""
    chunks = [body[at : at + chunk_size] for at in range(0, len(body), chunk_size)]
    async with serve_bytes(chunks, content_type) as url, connect(url) as stream:
        events = []
        while (event := await stream.next_event()).name != "end":
            events.append(event)
    return stream, events


@pytest.mark.parametrize("chunk_size", [1, 1_000], ids=["single bytes", "one chunk"])
@pytest.mark.parametrize("case", CASES)
async def test_stream_is_parsed_as_the_standard_says(case: str, chunk_size: int) -> None:
    body, expected = CASES[case]
    _, events = await read_stream(body + END, chunk_size)
    assert [(event.name, event.text, event.id) for event in events] == expected


async def test_content_type_cannot_change_the_encoding() -> None:
    _, events = await read_stream("data: é".encode() + END, 1_000, "text/event-stream; charset=latin-1")
    assert [event.text for event in events] == ["é"]


@pytest.mark.parametrize(("retry", "wait_s"), [(b"250", 0.25), (b"0", 0.0), (b"-5", 0.5), (b"x", 0.5), (b"", 0.5)])
async def test_only_a_number_changes_the_reconnection_time(retry: bytes, wait_s: float) -> None:
    """The initial wait of the client is 0.5 s."""
    stream, _ = await read_stream(b"retry: " + retry + END, 1_000)
    assert stream._backoff.initial_wait_s == wait_s
