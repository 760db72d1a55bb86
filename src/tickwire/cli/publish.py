"""`tickwire publish`: the ticks of a file to a server."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from tickwire.cli.options import given_token, url_option
from tickwire.client.publisher import Publisher
from tickwire.clock import SystemClock
from tickwire.core.tick import Ticks, unpacked
from tickwire.errors import InputError
from tickwire.feeds.pace import Pace
from tickwire.feeds.playlist import BarTime, Reading
from tickwire.feeds.recording import Recording

_ATTEMPTS = 4  # some seconds: a person is waiting


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@url_option
@click.option("--map", "mapping", default="", help="which column is what, such as symbol=ticker,ts=time@ms,last=px")
@click.option("--symbol", default="", help="the symbol of a file that names none")
@click.option(
    "--bar-time", type=click.Choice(["start", "end"]), default="start", help="what the time of a bar is that of"
)
@click.option(
    "--speed", type=click.FloatRange(0, 1000), default=0.0, help="times real time; 0, the default, is at once"
)
@click.option("--again", is_flag=True, help="send what the server already has once more")
def publish(*, file: Path, url: str, mapping: str, symbol: str, bar_time: BarTime, speed: float, again: bool) -> None:
    """Send the ticks of FILE (CSV, gzipped or not, or Parquet) to a server.

    Sent at once, the same file is not published twice, so that an interrupted call can simply be repeated.
    """
    with Reading(mapping, symbol, bar_time).open(file) as recording:
        if speed and not recording.timed:
            raise InputError(f"{file} has no times to be paced by", hint="leave --speed out")
        name = uuid.uuid4().hex if again or speed else _fingerprint(file, mapping, symbol, bar_time)
        asyncio.run(_Upload(recording, name).run(url, Pace(SystemClock(), speed)))


class _Upload:
    """A recording on its way to a server; batches are named by `name` and their place."""

    def __init__(self, recording: Recording, name: str) -> None:
        self._recording = recording
        self._name = name
        self._sent = self._known = 0

    async def run(self, url: str, pace: Pace) -> None:
        """Send everything, and say how it went."""
        with _progress() as bar:
            task = bar.add_task(self._recording.path.name, total=1.0, rows="")
            async with Publisher(url, token=given_token(), attempts=_ATTEMPTS) as publisher:
                for chunk in self._recording.chunks():
                    async for part in pace.parts(chunk):
                        await self._send(publisher, part)
                        rows = f"{self._sent + self._known:,} ticks"
                        bar.update(task, completed=self._recording.progress(), rows=rows)
            bar.update(task, completed=1.0)
        note = f"; the server already had {self._known:,} (--again sends them once more)" if self._known else ""
        print(f"{self._sent:,} ticks published to {url}{note}")

    async def _send(self, publisher: Publisher, part: Ticks) -> None:
        ticks = unpacked(part)
        if not self._recording.timed:
            ticks = [msgspec.structs.replace(tick, ts=None) for tick in ticks]
        published = await publisher.publish(ticks, key=f"{self._name}:{self._sent + self._known}")
        if published.repeated:
            self._known += len(part)
        else:
            self._sent += len(part)


def _fingerprint(file: Path, *reading: str) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256")
    digest.update("\n".join(reading).encode())
    return digest.hexdigest()[:32]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
