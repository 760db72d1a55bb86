"""Frames: Server-Sent Events as bytes.

The format is the event stream of the WHATWG HTML standard, section 9.2.5. An event consists of lines of `field: value`,
and ends with an empty line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def encode_frame(data: bytes, *, event: str | None = None, id: bytes | None = None, retry: int | None = None) -> bytes:  # noqa: A002  # the field's own name
    """Return one event as bytes. Data with line breaks becomes several data lines.

    `retry` is the reconnection time in milliseconds. Raise ValueError if `event` or `id` contains a line break.
    """
    head = b"" if retry is None else b"retry: %d\n" % retry
    if id is not None:
        head += b"id: %b\n" % _check_single_line(id)
    if event is not None:
        head += b"event: %b\n" % _check_single_line(event.encode())
    # Take the fast path for data without line breaks, such as JSON.
    if b"\n" not in data and b"\r" not in data:
        return b"%bdata: %b\n\n" % (head, data)
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return head + b"".join([b"data: %b\n" % line for line in lines]) + b"\n"


def encode_json_frame(parts: Sequence[bytes], *, event: str, id: bytes | None = None) -> bytes:  # noqa: A002  # the field's own name
    """Return one event whose data is the JSON text in `parts`.

    `encode_frame` would return the same bytes for the joined parts, but this function copies each part only once.
    """
    id_line = (b"id: ", _check_single_line(id), b"\n") if id is not None else ()
    return b"".join((*id_line, b"event: ", _check_single_line(event.encode()), b"\ndata: ", *parts, b"\n\n"))


def encode_comment(text: str) -> bytes:
    """Return a comment line. Comments keep an idle connection open, and clients ignore them."""
    return b": " + _check_single_line(text.encode()) + b"\n\n"


def encode_chunk(body: bytes) -> bytes:
    """Return one chunk of the chunked coding of HTTP/1.1.

    `body` must not be empty, because an empty chunk ends the response.
    """
    return b"%x\r\n%b\r\n" % (len(body), body)


def numbered_frame_parts(id_prefix: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the three constant parts of unnamed events. The id of such an event is `id_prefix` and a number.

    In an event, the number follows the first part. The data, which must be a single line, follows the second part. The
    third part ends the event.
    """
    return b"id: " + id_prefix, b"\ndata: ", b"\n\n"


def encode_numbered_frames(
    id_prefix: bytes, sequences: Iterable[int], jsons: Iterable[bytes], *, event: str | None = None
) -> list[bytes]:
    """Return one event for each JSON text. The id of event i is `id_prefix` and the number `sequences[i]`.

    Every event has the event name `event`. If `event` is None, the events have no name.
    """
    event_line = b"" if event is None else b"event: " + _check_single_line(event.encode()) + b"\n"
    template = b"id: " + id_prefix.replace(b"%", b"%%") + b"%d\n" + event_line.replace(b"%", b"%%") + b"data: %b\n\n"
    return [template % pair for pair in zip(sequences, jsons, strict=True)]


def strip_frame_id(frame: bytes) -> bytes:
    """Return a frame without its first line, the id. A client that receives the result keeps its previous event id."""
    return frame[frame.index(b"\n") + 1 :]


def frame_data(frame: bytes) -> bytes:
    """Return the data of a frame. The frame begins with an id line and has only one data line."""
    return frame[frame.index(b"data: ") + 6 : -2]


def frame_id(frame: bytes) -> bytes:
    """Return the id of a frame. The frame begins with an id line."""
    return frame[4 : frame.index(b"\n")]


def _check_single_line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        raise ValueError(f"{value!r} contains a line break: expected a single line")
    return value
