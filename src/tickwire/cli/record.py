"""`tickwire record`: record the stream of a server to a file for replay."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from tickwire.cli.client_options import server_url_option, token_from_environment
from tickwire.client.events import Event
from tickwire.client.stream import Stream, connect
from tickwire.core.codec import decode_json
from tickwire.core.correction import TradeCorrection
from tickwire.core.event_id import parse_event_id
from tickwire.core.quote import Quote
from tickwire.errors import ClientError
from tickwire.recordings.recorder import QuoteRecorder


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("symbols", nargs=-1)
@server_url_option
@click.option("--since", help="Start at `earliest`, an event id or a time.  [default: now]")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds.")
@click.option("--count", type=click.IntRange(1), help="Stop when the file contains this number of quotes.")
def record(
    *, file: Path, symbols: tuple[str, ...], url: str, since: str | None, seconds: float | None, count: int | None
) -> None:
    """Record the quotes of SYMBOLS (default: all symbols) to FILE: .csv, .csv.gz or .parquet.

    The recorder writes no quote twice, even if the connection is lost or the server restarts. The recorder stops at
    Ctrl-C or at the end of the feed. If the recorder could not connect to the server, the exit code is 1. After a
    crash, repeat the command with the same FILE to resume after the last recorded quote.
    """
    recorder = QuoteRecorder(file)
    if recorder.row_count:
        print(f"resuming after {recorder.row_count:,} quotes in {recorder.part_path}", file=sys.stderr)
    stream = connect(
        url,
        symbols or ("*",),
        events=("quote", "correction", "status"),
        delivery="all",
        since=since if recorder.last_id is None else None,
        last_event_id=recorder.last_id,
        on_state=_print_state,
        token=token_from_environment(),
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_RecordingSession(recorder, stream, count).run(seconds))
        if not stream.connections:
            raise ClientError(f"could not connect to {url}, so no quote was recorded")
    except BaseException:
        recorder.close()
        raise
    recorder.finish()
    gaps = f", {stream.gaps} gaps: the quotes in the gaps are missing" if stream.gaps else ""
    if recorder.went_back:
        print("warning: the market went back to an earlier time, so the times of the rows go back too", file=sys.stderr)
    if recorder.row_count:
        print(f"{recorder.row_count:,} quotes in {file}{gaps}")
    else:
        print(f"no quote arrived{gaps}: {file} was not created")


class _RecordingSession:
    """One execution of `tickwire record`, from the connection to the end of the recording."""

    def __init__(self, recorder: QuoteRecorder, stream: Stream, max_quotes: int | None) -> None:
        self._recorder = recorder
        self._stream = stream
        self._max_quotes = max_quotes

    async def run(self, seconds: float | None) -> None:
        """Record until `seconds` have elapsed, the file contains the maximum number of quotes, or the feed ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._stream as stream:
                async for event in stream.events():
                    if self._record_event(event):
                        return

    def _record_event(self, event: Event) -> bool:
        """Write the event to the file if the event is a quote. Return True if the recording is complete.

        The recording is complete when the file contains the maximum number of quotes, or when the feed has ended.
        """
        if event.name == "quote":
            self._recorder.write(event.id, decode_json(event.text, Quote))
            return self._recorder.row_count == self._max_quotes
        if event.name == "correction":
            self._recorder.expect_correction(decode_json(event.text, TradeCorrection))
            return False
        return event.name == "status" and event.data["state"] == "halted" and self._is_current(event)

    def _is_current(self, event: Event) -> bool:
        """Whether a status event describes the present state of the feed, and not an earlier state.

        At the start of a connection, the `welcome` event contains `head`, the id of the server's newest event. A status
        event that is older than `head` describes an earlier state.
        """
        head = parse_event_id(self._stream.welcome["head"])
        return parse_event_id(event.id).sequence >= head.sequence


def _print_state(state: str, reason: str) -> None:
    if reason:
        print(f"{state}: {reason}", file=sys.stderr)
