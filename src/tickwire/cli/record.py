"""`tickwire record`: a server's stream into a file that replay reads."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import click

from tickwire.cli.options import given_token, url_option
from tickwire.client.stream import Event, Stream, connect
from tickwire.core.codec import decode
from tickwire.core.ids import parse_id
from tickwire.core.quote import Quote
from tickwire.feeds.recorder import Recorder


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("symbols", nargs=-1)
@url_option
@click.option("--since", help="start from the past: earliest, an event id, or a time; if left out, from now")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="end after so much time")
@click.option("--count", type=click.IntRange(1), help="end after so many quotes in all")
def record(
    *, file: Path, symbols: tuple[str, ...], url: str, since: str | None, seconds: float | None, count: int | None
) -> None:
    """Record the quotes of SYMBOLS (all, if none is named) to FILE: .csv, .csv.gz or .parquet.

    Every quote is recorded once, over lost connections and restarts of the server. Ctrl-C ends, and so does the end of
    a feed. Killed, the recorder goes on where it was when it is called again with the same FILE.
    """
    recorder = Recorder(file)
    if recorder.rows:
        print(f"going on after the {recorder.rows:,} quotes in {recorder.part}", file=sys.stderr)
    stream = connect(
        url,
        symbols or ("*",),
        events=("quote", "status"),
        delivery="all",
        since=since if recorder.last_id is None else None,
        last_event_id=recorder.last_id,
        on_state=_say,
        token=given_token(),
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_Recording(recorder, stream, count).run(seconds))
    except BaseException:
        recorder.close()
        raise
    recorder.finish()
    gaps = f", {stream.gaps} gaps: what was lost there is missing" if stream.gaps else ""
    print(f"{recorder.rows:,} quotes in {file}{gaps}" if recorder.rows else f"no quote came{gaps}: there is no {file}")


class _Recording:
    """A stream on its way into a file."""

    def __init__(self, recorder: Recorder, stream: Stream, count: int | None) -> None:
        self._recorder = recorder
        self._stream = stream
        self._count = count

    async def run(self, seconds: float | None) -> None:
        """Until the time is over, enough has come, or the feed has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._stream as stream:
                async for event in stream.events():
                    if self._ends_with(event):
                        return

    def _ends_with(self, event: Event) -> bool:
        if event.name == "quote":
            self._recorder.take(event.id, decode(event.text, Quote))
            return self._recorder.rows == self._count
        return event.name == "status" and event.data["state"] == "halted" and self._is_news(event)

    def _is_news(self, event: Event) -> bool:
        """Whether it says how the feed is, and not how it was some time in the past."""
        head = parse_id(self._stream.welcome["head"])
        return parse_id(event.id).sequence >= head.sequence


def _say(state: str, why: str) -> None:
    if why:
        print(f"{state}: {why}", file=sys.stderr)
