"""Publish the ticks on standard input while another program writes them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import signal
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Self, cast

import msgspec

from tickwire.cli.client_options import token_from_environment
from tickwire.client.publisher import Publisher
from tickwire.core.codec import decode_json, find_non_number
from tickwire.core.published_tick import PublishedTick, split_many_cancels
from tickwire.core.tick import Tick
from tickwire.errors import BatchRowError

# The maximum number of attempts for each batch. All attempts together take only a few seconds, because a user waits for
# the result.
MAX_ATTEMPTS = 4
# The maximum number of bytes per read. The shortest tick has 14 bytes, so a batch never has more ticks than a server
# accepts.
_MAX_READ_BYTES = 64 * 1024


def is_tick_line(line: bytes) -> bool:
    """Return whether a line is a tick in the format of POST /v1/quotes."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
        decode_json(line, PublishedTick)
        return True
    return False


def publish_lines(url: str, first_line: bytes, rest: BinaryIO) -> None:
    """Publish the ticks in `first_line` and in the lines of `rest`, and print the number of ticks.

    All lines that arrive together are one batch. Raise BatchRowError for a line that is not a tick. The server has then
    stored all ticks of the earlier lines.
    """
    with asyncio.Runner() as runner, _Input(rest) as source:
        upload = runner.run(_LineUpload.open(url))
        try:
            for ticks in _read_batches(first_line, source):
                for batch in split_many_cancels(ticks):
                    runner.run(upload.publish(batch))
        finally:
            runner.run(upload.publisher.close())
            print(f"{upload.published_ticks:,} ticks published to {url}")


class _Input:
    """The rest of the input. Ctrl-C ends it, because it is a usual way to end this command.

    The command then publishes what it has read. A second Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self, stream: BinaryIO) -> None:
        # The type `BinaryIO` does not declare the method `read1`, which returns the bytes that have arrived.
        self._stream = cast(io.BufferedReader, stream)
        self._is_waiting = False
        self.was_interrupted = False

    def __enter__(self) -> Self:
        self._previous_handler = signal.getsignal(signal.SIGINT)
        # A shell lets the commands that it starts in the background ignore Ctrl-C.
        if self._previous_handler is not signal.SIG_IGN:
            # With a handler other than Python's own, asyncio does not cancel a request that is being sent.
            signal.signal(signal.SIGINT, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._previous_handler)

    def read(self) -> bytes:
        """Wait for bytes, and return those that have arrived. After the end of the input, return b""."""
        self._is_waiting = True
        try:
            return b"" if self.was_interrupted else self._stream.read1(_MAX_READ_BYTES)
        except KeyboardInterrupt:
            return b""
        finally:
            self._is_waiting = False

    def _end(self, *_: object) -> None:
        is_second, self.was_interrupted = self.was_interrupted, True
        if self._is_waiting or is_second:
            raise KeyboardInterrupt


class _LineUpload:
    """Publishes batches of ticks, and counts the ticks that the server has stored."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self.published_ticks = 0

    @classmethod
    async def open(cls, url: str) -> _LineUpload:
        return cls(Publisher(url, token=token_from_environment(), attempts=MAX_ATTEMPTS))

    async def publish(self, ticks: Sequence[Tick]) -> None:
        await self.publisher.publish(ticks)
        self.published_ticks += len(ticks)


def _read_batches(first_line: bytes, source: _Input) -> Iterator[list[PublishedTick]]:
    """Wait for lines, and yield one list with the ticks of all lines that have arrived. Repeat until the input ends.

    If the last of these ticks cancels a trade, yield this tick only when the next line has arrived, because that line
    may contain the corrected trade.
    """
    line_number = 0
    ticks: list[PublishedTick] = []
    for lines in _read_available_lines(first_line, source):
        error: BatchRowError | None = None
        for line in lines:
            line_number += 1
            try:
                if line.strip():
                    ticks.append(decode_json(line, PublishedTick))
            except (msgspec.DecodeError, UnicodeDecodeError) as cause:
                error = _line_error(line, line_number, cause)
                break
        waiting = ticks[-1:] if error is None and ticks and ticks[-1].is_cancel else []
        if len(ticks) > len(waiting):
            yield ticks[: len(ticks) - len(waiting)]
        if error is not None:
            raise error
        ticks = waiting
    if ticks:
        yield ticks


def _line_error(line: bytes, line_number: int, cause: Exception) -> BatchRowError:
    found = find_non_number(line, cause)
    reason = f"{found.field}: {found.text} is not a number" if found else str(cause)
    return BatchRowError(f"standard input line {line_number}: {reason}", line=line_number)


def _read_available_lines(first_line: bytes, source: _Input) -> Iterator[list[bytes]]:
    """Wait for lines, and yield one list of all complete lines that have arrived. Repeat until the input ends.

    The last line of the input may lack a newline.
    """
    yield [first_line]
    incomplete = b""
    while data := source.read():
        *lines, incomplete = (incomplete + data).split(b"\n")
        yield lines
    if not source.was_interrupted:
        yield [incomplete]
