"""Events as bytes, read back by somebody else's reader."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.sse.frame import chunk, comment, frame, numbered_frames, quote_frames

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
line = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1, max_size=20).map(str.strip)


def read(body: bytes) -> list[httpx2.ServerSentEvent]:
    response = httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, content=body, request=httpx2.Request("GET", "http://a")
    )
    return list(httpx2.EventSource(response))


@given(text, line, st.integers(0, 10**6))
def test_frames_are_read_as_they_were_written(data: str, event: str, retry: int) -> None:
    """Data of any kind, line breaks among it, comes back; a comment before changes nothing."""
    found = read(comment("hb 1") + frame(data.encode(), event=event or None, id=b"e-1", retry=retry))
    plain = data.replace("\r\n", "\n").replace("\r", "\n")
    assert [(each.data, each.event, each.id, each.retry) for each in found] == [
        (plain, event or "message", "e-1", retry)
    ]


@given(st.integers(0, 10**9), st.lists(text.map(lambda each: each.replace("\n", "").replace("\r", "")), max_size=5))
def test_quote_frames_are_numbered(first: int, lines: list[str]) -> None:
    """One event a line, with consecutive ids; also where the prefix has a percent sign."""
    frames = quote_frames(b"a%-", first, [each.encode() for each in lines])
    found = read(b"".join(frames))
    assert [(each.id, each.data) for each in found] == [(f"a%-{first + at}", each) for at, each in enumerate(lines)]
    assert frames == numbered_frames(b"a%-", range(first, first + len(lines)), [each.encode() for each in lines])


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_chunks_are_those_of_http(bodies: list[bytes]) -> None:
    """Chunks joined and ended are a body in chunked coding, as a plain decoder sees it."""
    wire = b"".join(map(chunk, bodies)) + b"0\r\n\r\n"
    found = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        found, rest = found + wire[: int(size, 16)], wire[int(size, 16) :]
        assert rest.startswith(b"\r\n")
        wire = rest[2:]
        if int(size, 16) == 0:
            break
    assert (found, wire) == (b"".join(bodies), b"")


def test_what_would_end_a_line_is_refused() -> None:
    """An id or a name cannot smuggle in another field."""
    with pytest.raises(ValueError, match="would end its line"):
        frame(b"x", event="a\ndata: b")
    with pytest.raises(ValueError, match="would end its line"):
        frame(b"x", id=b"1\r2")
