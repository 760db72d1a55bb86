"""Server-Sent Events as bytes, from objects to the wire.

The format is the event stream of the WHATWG HTML standard, section 9.2.5: lines of `field: value`, an event ended by an
empty line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def frame(data: bytes, *, event: str | None = None, id: bytes | None = None, retry: int | None = None) -> bytes:  # noqa: A002  # the field's own name
    """One event; `retry` is in milliseconds. Data with line breaks becomes several data lines."""
    lines = []
    if retry is not None:
        lines.append(b"retry: %d" % retry)
    if id is not None:
        lines.append(b"id: " + _one_line(id))
    if event is not None:
        lines.append(b"event: " + _one_line(event.encode()))
    lines += [b"data: " + line for line in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")]
    return b"\n".join(lines) + b"\n\n"


def comment(text: str) -> bytes:
    """A line that clients ignore and connections notice."""
    return b": " + _one_line(text.encode()) + b"\n\n"


def chunk(body: bytes) -> bytes:
    """The body as one chunk of HTTP/1.1 chunked coding; it must not be empty, because an empty chunk ends the body."""
    return b"%x\r\n%b\r\n" % (len(body), body)


def quote_frames(prefix: bytes, first: int, jsons: Sequence[bytes]) -> list[bytes]:
    """Events with consecutive ids `prefix` + number from `first` on, one for each line of JSON."""
    return numbered_frames(prefix, range(first, first + len(jsons)), jsons)


def numbered_frames(
    prefix: bytes, numbers: Iterable[int], jsons: Iterable[bytes], *, event: str | None = None
) -> list[bytes]:
    """Events with the ids `prefix` + number, one for each line of JSON, all of one name."""
    named = b"" if event is None else b"event: " + _one_line(event.encode()) + b"\n"
    form = b"id: " + prefix.replace(b"%", b"%%") + b"%d\n" + named.replace(b"%", b"%%") + b"data: %b\n\n"
    return [form % pair for pair in zip(numbers, jsons, strict=True)]


def unnumbered(frame: bytes) -> bytes:
    """An event that begins with its id, without that: who gets it keeps the last id that it had."""
    return frame[frame.index(b"\n") + 1 :]


def data_of(frame: bytes) -> bytes:
    """The data of an event that begins with its id and has one line of data."""
    return frame[frame.index(b"data: ") + 6 : -2]


def id_of(frame: bytes) -> bytes:
    """The id of an event that begins with it."""
    return frame[4 : frame.index(b"\n")]


def _one_line(value: bytes) -> bytes:
    if b"\n" in value or b"\r" in value:
        raise ValueError(f"{value!r} would end its line")
    return value
