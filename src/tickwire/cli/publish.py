"""`tickwire publish`: send the ticks of a file or of standard input to a server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tickwire.cli.client_options import server_url_option, token_from_environment
from tickwire.cli.options import layout_options
from tickwire.cli.publish_lines import MAX_ATTEMPTS, is_tick_line, publish_lines
from tickwire.client.publisher import Publisher
from tickwire.clock import SystemClock
from tickwire.core.published_tick import split_many_cancels
from tickwire.core.tick import Tick
from tickwire.errors import InputError
from tickwire.feeds.playback_clock import PlaybackClock
from tickwire.recordings.table_reader import TableOptions
from tickwire.recordings.text_table import describe_skipped_rows
from tickwire.recordings.tick_facts import published_ticks, withdraw_cancelled
from tickwire.recordings.tick_reader import Recording, RecordingOptions

_STANDARD_INPUT = Path("-")
# The file name of the copy of standard input. The progress bar shows this name.
_COPY_NAME = "standard-input"
# The number of ticks that are encoded together, about 100 KB.
_BATCH_TICKS = 1_000


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@server_url_option
@layout_options
@click.option(
    "--speed",
    type=click.FloatRange(0, 1000),
    default=0.0,
    show_default=True,
    help="Send at this multiple of real time. 0 means as fast as possible.",
)
@click.option("--again", is_flag=True, help="Send the file again, even if the server already stores its ticks.")
def publish(*, file: Path, url: str, speed: float, again: bool, **layout: Any) -> None:
    """Send the ticks of FILE (CSV, NDJSON or Parquet, plain or compressed) to a server.

    If FILE is -, read standard input. Lines of JSON in the format of POST /v1/quotes are sent as they arrive. Any other
    format is sent when the input ends.

    If the connection is lost, the command connects again and continues. To resume an interrupted command, repeat the
    command: it sends only the ticks that the server does not store yet. With --speed or --again, however, the server
    stores all ticks of the file again.
    """
    table = TableOptions(layout["encoding"], layout["skip_rows"], layout["skip_bad_rows"])
    options = RecordingOptions(
        layout["map"], layout["symbol"], layout["bar_time"], layout["wide"], table, has_facts=True
    )
    if file != _STANDARD_INPUT:
        _publish_file(file, options, url, speed=speed, again=again)
        return
    first_line = sys.stdin.buffer.readline()
    if options == RecordingOptions(has_facts=True) and not speed and is_tick_line(first_line):
        publish_lines(url, first_line, sys.stdin.buffer)
        return
    with _copy_to_file(first_line, sys.stdin.buffer) as copy:
        try:
            _publish_file(copy, options, url, speed=speed, again=again)
        except InputError as error:
            message = str(error).replace(str(copy), "standard input")
            raise InputError(message, field=error.field, hint=error.hint) from None


def _publish_file(file: Path, options: RecordingOptions, url: str, *, speed: float, again: bool) -> None:
    with options.open_recording(file) as recording:
        if file.name == _COPY_NAME and recording.symbol and not options.symbol:
            raise InputError("standard input has no column of symbols", field="symbol", hint="add --symbol SYMBOL")
        if speed and not recording.has_times:
            raise InputError(f"--speed needs the time of each tick, but {file} has no times", hint="remove --speed")
        for finding in recording.findings:
            click.echo(finding, err=True)
        if speed:
            asyncio.run(_publish_at_speed(recording, url, PlaybackClock(SystemClock(), speed)))
    if not speed:
        name = uuid.uuid4().hex if again else _fingerprint(file, *map(str, options[:5]))
        asyncio.run(_RecordingUpload(file, options, name).run(url))


async def _publish_at_speed(recording: Recording, url: str, playback_clock: PlaybackClock) -> None:
    """Publish each tick of a recording when it is due."""
    published = 0
    with _progress_bar() as bar:
        task = bar.add_task(recording.path.name, total=1.0, rows="")
        async with Publisher(url, token=token_from_environment(), attempts=MAX_ATTEMPTS) as publisher:
            for chunk in recording.chunks():
                # A tick with a negative size withdraws a trade. The clock releases such a tick together with the
                # corrected trade that may follow.
                async for part in playback_clock.release_when_due(withdraw_cancelled(chunk)):
                    for batch in split_many_cancels(published_ticks(part)):
                        await publisher.publish(batch)
                    published += len(part)
                    bar.update(task, completed=recording.progress(), rows=f"{published:,} ticks")
        bar.update(task, completed=1.0)
    _print_result(recording, url, published)


class _RecordingUpload:
    """The upload of the ticks in a file. The server recognizes the upload by its name, and skips stored ticks."""

    def __init__(self, file: Path, options: RecordingOptions, name: str) -> None:
        self._file = file
        self._options = options
        self._name = name
        self._bar = _progress_bar()
        self._task = self._bar.add_task(file.name, total=1.0, rows="")
        # The recording that the newest attempt of the upload reads.
        self._recording: Recording | None = None

    async def run(self, url: str) -> None:
        """Send all ticks, and print the number of ticks that the server accepted."""
        with self._bar:
            async with Publisher(url, token=token_from_environment(), attempts=MAX_ATTEMPTS) as publisher:
                receipt = await publisher.upload(self._open_batches, name=self._name)
            self._bar.update(self._task, completed=1.0, rows=f"{receipt.accepted:,} ticks")
        _print_result(self._recording, url, receipt.accepted - receipt.repeated, receipt.repeated)

    def _open_batches(self, stored_count: int) -> Iterator[Sequence[Tick]]:
        """Yield the ticks of the file, except the first `stored_count` ticks, and show the progress."""
        with self._options.open_recording(self._file) as recording:
            self._recording = recording
            count = 0
            for chunk in recording.chunks():
                rest = chunk[max(0, stored_count - count) :]
                for begin in range(0, len(rest), _BATCH_TICKS):
                    ticks = published_ticks(rest[begin : begin + _BATCH_TICKS])
                    yield ticks if recording.has_times else [msgspec.structs.replace(tick, ts=None) for tick in ticks]
                count += len(chunk)
                self._bar.update(self._task, completed=recording.progress(), rows=f"{count:,} ticks")


def _print_result(recording: Recording | None, url: str, published: int, repeated: int = 0) -> None:
    skipped_by_server = f"; the server already had {repeated:,} (--again sends them again)" if repeated else ""
    print(f"{published:,} ticks published to {url}{skipped_by_server}")
    if recording is not None and (skipped := describe_skipped_rows([recording.row_filter])):
        print(f"skipped {skipped}")


@contextlib.contextmanager
def _copy_to_file(first_line: bytes, rest: BinaryIO) -> Iterator[Path]:
    """Copy standard input to a temporary file. Yield the path of the file, and delete the file afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _COPY_NAME
        with path.open("wb") as file:
            file.write(first_line)
            shutil.copyfileobj(rest, file)
        yield path


def _fingerprint(file: Path, *reader_options: str) -> str:
    """Return a hash of the file's content and of `reader_options`, which change how the command parses the file."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update("\n".join(reader_options).encode())
    return digest.hexdigest()[:32]


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
