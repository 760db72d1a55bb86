"""Frames, decoded by an independent parser of event streams."""

from __future__ import annotations

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickwire.sse.frame import encode_chunk, encode_comment, encode_frame, encode_numbered_frames, numbered_frame_parts

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
line = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), min_size=1, max_size=20).map(str.strip)


def parse_events(body: bytes) -> list[httpx2.ServerSentEvent]:
    response = httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, content=body, request=httpx2.Request("GET", "http://a")
    )
    return list(httpx2.EventSource(response))


@given(text, line, st.integers(0, 10**6))
def test_frame_round_trips(data: str, event: str, retry: int) -> None:
    """Line breaks in the data survive, and a comment before the frame changes nothing."""
    events = parse_events(
        encode_comment("hb 1") + encode_frame(data.encode(), event=event or None, id=b"e-1", retry=retry)
    )
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert [(each.data, each.event, each.id, each.retry) for each in events] == [
        (expected, event or "message", "e-1", retry)
    ]


@given(st.integers(0, 10**9), st.lists(text.map(lambda each: each.replace("\n", "").replace("\r", "")), max_size=5))
def test_numbered_frames_have_the_given_numbers(first: int, lines: list[str]) -> None:
    """The prefix of the ids may contain a percent sign."""
    numbers = range(first, first + len(lines))
    frames = encode_numbered_frames(b"a%-", numbers, [each.encode() for each in lines])
    events = parse_events(b"".join(frames))
    assert [(each.id, each.data) for each in events] == [(f"a%-{first + at}", each) for at, each in enumerate(lines)]
    before, between, after = numbered_frame_parts(b"a%-")
    assert frames == [
        before + b"%d" % number + between + line.encode() + after for number, line in zip(numbers, lines, strict=True)
    ]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_chunks_form_a_chunked_http_body(bodies: list[bytes]) -> None:
    wire = b"".join(map(encode_chunk, bodies)) + b"0\r\n\r\n"
    decoded = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        decoded, rest = decoded + wire[: int(size, 16)], wire[int(size, 16) :]
        assert rest.startswith(b"\r\n")
        wire = rest[2:]
        if int(size, 16) == 0:
            break
    assert (decoded, wire) == (b"".join(bodies), b"")


def test_line_break_in_name_or_id_raises() -> None:
    """An id or a name cannot add another field."""
    with pytest.raises(ValueError, match="contains a line break"):
        encode_frame(b"x", event="a\ndata: b")
    with pytest.raises(ValueError, match="contains a line break"):
        encode_frame(b"x", id=b"1\r2")
