"""Rehearse a rolling upgrade on this machine: `python deploy/rehearse_upgrade.py --from COMMIT`.

Two feeds and two edges of the old version share a journal on NATS, and HAProxy distributes readers over the edges. The
script replaces one process after the other by the version in this folder, while a publisher publishes prices. Every
reader must receive every event exactly once.

The programs git, haproxy and nats-server must be installed. The old version runs with the installed dependencies.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx2

from tickwire.client.publisher import Publisher
from tickwire.journal.nats.find_server import find_nats_server
from tickwire.testing.nats_server import NatsServer
from tickwire.testing.ports import find_free_port
from tickwire.testing.storm import ProgressTracker, RoamingReader
from tickwire.testing.waiting import wait_until

_ROOT = Path(__file__).parents[1]
_PUBLISH_EVERY_S = 0.1
_SYMBOL = "A"
# The maximum time until a process serves or has ended.
_PROCESS_TIMEOUT_S = 60
# The maximum time from the last published event until every reader has received it.
_CATCH_UP_TIMEOUT_S = 60
# The number of events that readers receive between two replacements.
_EVENTS_BETWEEN_REPLACEMENTS = 20


class Endpoint(NamedTuple):
    """The address that readers connect to."""

    url: str


class Replacement(NamedTuple):
    """The replacement of one process, and the longest time without a new event of each reader during it."""

    process: str
    silences_s: Sequence[float]


class Report(NamedTuple):
    """The result of an upgrade."""

    readers: int
    events: int
    reconnects: int
    replacements: Sequence[Replacement]


class ClusterProcess:
    """A process of the cluster. It can run one version after the other on the same port."""

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        self.name = name
        self.port = find_free_port()
        self._log = folder / f"{name}.log"
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, version: Path) -> None:
        """Start the version in the folder `version`, and wait until it serves."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tickwire", "serve", "--port", str(self.port), *self._options),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(version / "src")},
            )
        async with asyncio.timeout(_PROCESS_TIMEOUT_S):
            await wait_until(self._is_serving, poll_interval_s=0.05)

    async def _is_serving(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        with contextlib.suppress(httpx2.TransportError):
            async with httpx2.AsyncClient() as client:
                return (await client.get(f"http://127.0.0.1:{self.port}/healthz")).is_success
        return False

    async def replace(self, version: Path) -> None:
        """Stop the process with SIGTERM, and start the version in the folder `version`."""
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()
        self._process.terminate()
        async with asyncio.timeout(_PROCESS_TIMEOUT_S):
            assert await self._process.wait() == 0, self._log.read_text()
        await self.start(version)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


def main() -> int:
    """Rehearse the upgrade, and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--from", dest="old", help="commit or tag of the old version  [default: the newest tag]")
    parser.add_argument("--readers", type=int, default=500, help="number of readers  [default: 500]")
    arguments = parser.parse_args()
    missing = [program for program in ("git", "haproxy") if shutil.which(program) is None]
    if find_nats_server() is None or missing:
        print(f"not installed: {' '.join(missing) or 'nats-server'}", file=sys.stderr)
        return 2
    old = arguments.old or newest_tag()
    if not old:
        print("this repository has no tag: pass --from COMMIT", file=sys.stderr)
        return 2
    report = asyncio.run(rehearse(old, arguments.readers))
    print(_table(report))
    return 0


def _table(report: Report) -> str:
    head = (
        f"{report.readers} readers received each of {report.events} events once. "
        f"They reconnected {report.reconnects} times.",
        "",
        "| replaced process | longest time without an event, median of the readers | maximum |",
        "|---|---|---|",
    )
    rows = (
        f"| {each.process} | {statistics.median(each.silences_s):.2f} s | {max(each.silences_s):.2f} s |"
        for each in report.replacements
    )
    return "\n".join((*head, *rows))


def newest_tag() -> str:
    """Return the newest tag before the current commit, or an empty string."""
    command = ["git", "-C", str(_ROOT), "describe", "--tags", "--abbrev=0"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def extract(commit: str, folder: Path) -> Path:
    """Write the files of a commit to `folder`, and return `folder`."""
    folder.mkdir()
    archive = subprocess.run(
        ["git", "-C", str(_ROOT), "archive", commit, "src"], capture_output=True, check=True
    ).stdout
    subprocess.run(["tar", "--extract", "--directory", str(folder)], input=archive, check=True)
    return folder


async def rehearse(old: str, readers: int) -> Report:
    """Upgrade a cluster from the commit `old` to the version in this folder while `readers` readers are connected."""
    with tempfile.TemporaryDirectory() as name, NatsServer(Path(name)) as nats:
        folder = Path(name)
        old_version = extract(old, folder / "old")
        common = ("--journal", f"{nats.url}/upgrade", "--feed", "http", "--heartbeat", "1", "--log-level", "warning")
        feeds = [ClusterProcess(f"feed{number}", folder, *common, "--role", "feed") for number in (1, 2)]
        edges = [ClusterProcess(f"edge{number}", folder, *common, "--role", "edge") for number in (1, 2)]
        async with contextlib.AsyncExitStack() as stack:
            for process in (*feeds, *edges):
                stack.push_async_callback(process.kill)
                await process.start(old_version)
            url = await stack.enter_async_context(_haproxy(folder, *(edge.port for edge in edges)))
            # The feed that started first leads. When it stops, its standby already runs the new version.
            return await _upgrade([*edges, *reversed(feeds)], url, readers)


async def _upgrade(processes: Sequence[ClusterProcess], url: str, count: int) -> Report:
    """Replace each process, and check the events of all readers."""
    readers = [RoamingReader(random.Random(number), [Endpoint(url)], mean_stay_s=None) for number in range(count)]
    trackers = [ProgressTracker() for _ in readers]
    stop, replacements = asyncio.Event(), list[Replacement]()
    tasks = [asyncio.create_task(reader.run(each)) for reader, each in zip(readers, trackers, strict=True)]
    publisher = asyncio.create_task(_publish(url, stop))
    try:
        await _wait_for_events(readers, publisher)
        for process in processes:
            for tracker in trackers:
                tracker.reset()
            await process.replace(_ROOT)
            await _wait_for_events(readers, publisher)
            replacements.append(Replacement(process.name, [each.longest_silence_s for each in trackers]))
        stop.set()
        published = await publisher
        async with asyncio.timeout(_CATCH_UP_TIMEOUT_S):
            await wait_until(lambda: all(reader.sequences[-1] >= published[-1] for reader in readers))
    finally:
        for task in (*tasks, publisher):
            task.cancel()
        await asyncio.gather(*tasks, publisher, return_exceptions=True)
    check_readers(readers, published)
    return Report(count, len(published), sum(reader.reconnects for reader in readers), replacements)


async def _wait_for_events(readers: Sequence[RoamingReader], publisher: asyncio.Task[list[int]]) -> None:
    """Wait until every reader has received a number of further events."""
    expected = [len(reader.sequences) + _EVENTS_BETWEEN_REPLACEMENTS for reader in readers]

    def is_complete() -> bool:
        if publisher.done():
            publisher.result()
        return all(len(reader.sequences) >= number for reader, number in zip(readers, expected, strict=True))

    await wait_until(is_complete, poll_interval_s=0.05)


async def _publish(url: str, stop: asyncio.Event) -> list[int]:
    """Publish trades until `stop` is set. Return the sequence numbers of all trades."""
    sequences = list[int]()
    async with Publisher(url) as publisher:
        for price in itertools.count(1):
            receipt = await publisher.publish([{"symbol": _SYMBOL, "last": float(price)}])
            sequences.append(int(receipt.last_id.rpartition("-")[2]))
            if stop.is_set():
                break
            await asyncio.sleep(_PUBLISH_EVERY_S)
    return sequences


def check_readers(readers: Sequence[RoamingReader], published: Sequence[int]) -> None:
    """Fail if a reader missed an event, received an event twice, or saw a gap."""
    for reader in readers:
        assert (reader.gaps, reader.ids_back, reader.new_epochs) == (0, 0, 0)
        expected = [number for number in published if number >= reader.sequences[0]]
        assert reader.sequences == expected, "a reader did not receive every event exactly once"


@contextlib.asynccontextmanager
async def _haproxy(folder: Path, *ports: int) -> AsyncIterator[str]:
    """Run HAProxy with deploy/haproxy-two-servers.cfg. Yield its URL."""
    port = find_free_port()
    text = (_ROOT / "deploy" / "haproxy-two-servers.cfg").read_text(encoding="utf-8")
    for old, new in (
        ("bind :80", f"bind 127.0.0.1:{port}"),
        *zip((":8000", ":8001"), (f":{each}" for each in ports), strict=True),
    ):
        text = text.replace(old, new)
    config = folder / "haproxy.cfg"
    config.write_text(text)
    process = await asyncio.create_subprocess_exec("haproxy", "-db", "-q", "-f", str(config))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    sys.exit(main())
