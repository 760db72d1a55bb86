"""A chaos test of a cluster: processes fail while readers switch between servers. No reader may lose an event.

The cluster has three NATS servers, two feed processes and three edge processes (servers for readers). The readers run
in the process of the test, and receive every event (`delivery=all`). A reader that switches to another edge resumes
after its last event. At the end, the test compares the events of each reader with the journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import httpx2

from tickwire.clock import SystemClock
from tickwire.core.event import RecordKind
from tickwire.errors import JournalError
from tickwire.journal.base import Journal, Retention
from tickwire.journal.nats.address import parse_nats_address
from tickwire.journal.nats.connection import NatsConnection
from tickwire.journal.nats.journal import NatsJournal
from tickwire.testing.nats_server import NatsCluster
from tickwire.testing.server import ServerProcess
from tickwire.testing.waiting import wait_until
from tickwire.testing.wire import open_stream

_ID_PATTERN = re.compile(r"^id: (\w+)-(\d+)$", re.MULTILINE)
_BYE_PATTERN = re.compile(r'"reconnect_in_ms":(\d+)')
_KILL_STREAM_LEADER, _KILL_EDGE, _KILL_LEADING_FEED, _PAUSE_SERVER, _PAUSE_SERVER_LONG, _CUT_SERVER = (
    "kill the stream's leader",
    "kill an edge",
    "kill the feed that leads",
    "suspend a NATS server for 1 to 4 s",
    "suspend a NATS server for 12 to 15 s",
    "cut a NATS server off from the others for 12 to 15 s",
)
_FAULT_KINDS = (_KILL_STREAM_LEADER, _KILL_EDGE, _KILL_LEADING_FEED, _PAUSE_SERVER)
# These faults last so long that the other servers of the NATS cluster elect a new leader. The old leader returns later.
_SEVERE_FAULT_KINDS = (_PAUSE_SERVER_LONG, _CUT_SERVER)
# The NATS servers must delete the consumers of lost connections within this time after the last fault.
_CONSUMERS_TIMEOUT_S = 30.0
# The slowest reader must receive all events within this time after the last fault.
_CATCH_UP_TIMEOUT_S = 60.0
# The shortest pause between two faults. The longest pause is twice as long.
_PAUSE_BETWEEN_FAULTS_S = 2.0
_MEAN_STAY_S = 4.0
_SWITCH_PAUSE_S = 0.3


class InjectedFault(NamedTuple):
    """A fault, and the longest time in seconds, after the fault, in which no reader received a new event."""

    kind: str
    silence_s: float


class ChaosReport(NamedTuple):
    """The result of a chaos test.

    `errors` is empty if every reader received every event once and in order. In a run on NATS, each process must also
    have one JetStream consumer at the end.

    After a rolling restart, `reconnect_delays_s` contains one value for each reconnect: the seconds from the start of
    the server's shutdown until the reader reconnected.
    """

    faults: Sequence[InjectedFault]
    events: int
    reconnects: int
    errors: Sequence[str]
    reconnect_delays_s: Sequence[float] = ()


class Endpoint(Protocol):
    """A server, or a proxy in front of several servers."""

    @property
    def url(self) -> str:
        """The URL that readers connect to."""
        ...


class RoamingReader:
    """A reader that switches between edge processes.

    The reader switches after `mean_stay_s` on average. If `mean_stay_s` is None, the reader switches only when the
    server ends the stream. `sequences` contains the sequence numbers of the quotes that the reader has received in the
    current epoch.
    """

    def __init__(
        self, rng: random.Random, edges: Sequence[Endpoint], *, mean_stay_s: float | None = _MEAN_STAY_S
    ) -> None:
        self._mean_stay_s = mean_stay_s
        self.sequences: list[int] = []
        self.epoch = ""
        self.gaps = 0
        self.new_epochs = 0
        # The number of events whose id was not greater than the previous id.
        self.ids_back = 0
        self.reconnects = 0
        # The times (event loop clock) at which the reader reconnected after a `bye` event of the server.
        self.reconnect_times: list[float] = []
        # The reconnect delay in the last `bye` event, or None after the next connection.
        self._reconnect_delay_s: float | None = None
        self._rng = rng
        self._edges = edges

    async def run(self, progress: ProgressTracker) -> None:
        """Read from one edge process (a server for readers) after another until the task is cancelled."""
        while True:
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
                stay_s = self._mean_stay_s and self._mean_stay_s * self._rng.uniform(0.5, 1.5)
                async with asyncio.timeout(stay_s):
                    await self._read(self._rng.choice(self._edges).url, progress)
            self.reconnects += 1
            pause_s = self._rng.uniform(0, _SWITCH_PAUSE_S)
            await asyncio.sleep(pause_s if self._reconnect_delay_s is None else self._reconnect_delay_s)

    async def _read(self, url: str, progress: ProgressTracker) -> None:
        headers = {"Last-Event-ID": f"{self.epoch}-{self.sequences[-1]}"} if self.sequences else {}
        params = {"delivery": "all", "fields": "symbol,last", "snapshot": "false"}
        async with open_stream(url, params, headers=headers) as stream:
            incomplete_event = ""
            if self._reconnect_delay_s is not None and stream.status == 200:
                self.reconnect_times.append(asyncio.get_running_loop().time())
                self._reconnect_delay_s = None
            while stream.status == 200 and (chunk := await stream.next_chunk()):
                events, _, incomplete_event = (incomplete_event + chunk).rpartition("\n\n")
                self._parse_events(events)
                progress.observe(self.sequences[-1] if self.sequences else 0)

    def _parse_events(self, text: str) -> None:
        self.gaps += text.count("event: gap")
        if match := _BYE_PATTERN.search(text):
            self._reconnect_delay_s = int(match[1]) / 1000
        for epoch, number in _ID_PATTERN.findall(text):
            self._add_event(epoch, int(number))

    def _add_event(self, epoch: str, sequence: int) -> None:
        if epoch != self.epoch:
            self.new_epochs += bool(self.epoch)
            self.epoch = epoch
            self.sequences.clear()
        elif self.sequences and sequence <= self.sequences[-1]:
            self.ids_back += 1
        self.sequences.append(sequence)


class ProgressTracker:
    """Tracks the newest event that any reader has received.

    The tracker also measures the longest time in which no reader received a new event.
    """

    def __init__(self) -> None:
        self.newest_sequence = 0
        # The longest time in which no new event arrived, counted since the last call of `reset`.
        self.longest_silence_s = 0.0
        self._updated_at = 0.0

    def observe(self, sequence: int) -> None:
        """Record that a reader has received the event with the number `sequence`."""
        if sequence > self.newest_sequence:
            now = asyncio.get_running_loop().time()
            self.longest_silence_s = max(self.longest_silence_s, now - self._updated_at)
            self.newest_sequence, self._updated_at = sequence, now

    def reset(self) -> None:
        """Restart the measurement of the longest time without a new event."""
        self._updated_at, self.longest_silence_s = asyncio.get_running_loop().time(), 0.0


class ChaosRun:
    """One execution of the chaos test: the cluster, its readers and the faults. All random choices come from `rng`.

    If `is_severe` is True, the faults also suspend NATS servers for longer than an election, and isolate NATS servers.
    """

    def __init__(self, folder: Path, rng: random.Random, *, readers: int, rate: float, is_severe: bool = False) -> None:
        self._rng = rng
        self._kinds = (*_FAULT_KINDS, *_SEVERE_FAULT_KINDS) if is_severe else _FAULT_KINDS
        self._cluster = NatsCluster(folder / "nats", has_network=is_severe)
        self._network = self._cluster.network if is_severe else contextlib.nullcontext()
        self._journal = f"{self._cluster.url}/storm"
        common = ("--journal", self._journal, "--replicas", "3", "--rate", str(rate))
        self._feeds = [self._server_process(folder, f"feed{n}", "feed", common) for n in range(2)]
        self._edges = [self._server_process(folder, f"edge{n}", "edge", common) for n in range(3)]
        self._readers = [RoamingReader(random.Random(rng.random()), self._edges) for _ in range(readers)]
        self._progress = ProgressTracker()
        self._reconnect_delays_s: list[float] = []

    async def run(self, seconds: float) -> ChaosReport:
        """Inject faults for at least `seconds`, and until each kind of fault has occurred at least once.

        Then check the events of all readers.
        """
        return await self._run_and_verify(lambda: self._inject_faults(seconds))

    async def run_rolling_restart(self) -> ChaosReport:
        """Restart the edge processes one after the other, as an upgrade does. Then check the events of all readers."""
        return await self._run_and_verify(self._restart_edges)

    async def _run_and_verify(self, work: Callable[[], Awaitable[list[InjectedFault]]]) -> ChaosReport:
        async with self._network:
            with self._cluster:
                return await self._run_processes(work)

    async def _run_processes(self, work: Callable[[], Awaitable[list[InjectedFault]]]) -> ChaosReport:
        async with self._running_processes():
            tasks = [asyncio.create_task(reader.run(self._progress)) for reader in self._readers]
            try:
                faults = await work()
                expected = await self._journal_sequences()
                await wait_until_caught_up(self._readers, expected[-1])
                consumer_errors = await self._find_extra_consumers()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        reconnects = sum(reader.reconnects for reader in self._readers)
        errors = [*find_reader_errors(self._readers, expected), *consumer_errors]
        return ChaosReport(faults, len(expected), reconnects, errors, self._reconnect_delays_s)

    @staticmethod
    def _server_process(folder: Path, name: str, role: str, common: Sequence[str]) -> ServerProcess:
        return ServerProcess("--role", role, *common, cwd=folder, log=folder / f"{name}.log")

    @contextlib.asynccontextmanager
    async def _running_processes(self) -> AsyncIterator[None]:
        processes = [*self._feeds, *self._edges]
        try:
            await asyncio.gather(*(process.start() for process in processes))
            yield
        finally:
            await asyncio.gather(*(process.kill() for process in processes))

    async def _inject_faults(self, seconds: float) -> list[InjectedFault]:
        loop, faults = asyncio.get_running_loop(), list[InjectedFault]()
        await self._wait_until_all_received()
        end = loop.time() + seconds
        kinds = list(self._kinds)
        while loop.time() < end or len(faults) < len(self._kinds):
            if not kinds:
                kinds = self._rng.sample(self._kinds, len(self._kinds))
            kind = kinds.pop(0)
            self._progress.reset()
            await self._inject_fault(kind)
            # Wait for an event that is newer than all events during the fault, because earlier events do not show that
            # the cluster has recovered.
            await self._wait_for_progress(self._progress.newest_sequence)
            await asyncio.sleep(_PAUSE_BETWEEN_FAULTS_S * self._rng.uniform(1, 2))
            faults.append(InjectedFault(kind, self._progress.longest_silence_s))
        return faults

    async def _restart_edges(self) -> list[InjectedFault]:
        await self._wait_until_all_received()
        loop, faults = asyncio.get_running_loop(), list[InjectedFault]()
        for edge in self._edges:
            self._progress.reset()
            started_at = loop.time()
            await edge.stop()
            await edge.start()
            await asyncio.sleep(_PAUSE_BETWEEN_FAULTS_S)
            self._reconnect_delays_s += [
                time - started_at for reader in self._readers for time in reader.reconnect_times if time > started_at
            ]
            faults.append(InjectedFault("restart an edge", self._progress.longest_silence_s))
        return faults

    async def _wait_until_all_received(self) -> None:
        """Wait until each reader has received an event."""
        await wait_until(lambda: all(reader.sequences for reader in self._readers))

    async def _wait_for_progress(self, sequence: int) -> None:
        """Wait until at least one reader has received an event whose number is greater than `sequence`."""
        await wait_until(lambda: self._progress.newest_sequence > sequence)

    async def _inject_fault(self, kind: str) -> None:
        if kind == _KILL_STREAM_LEADER:
            node = self._cluster.node(await self._stream_leader())
            node.kill()
            await asyncio.sleep(self._rng.uniform(0.5, 2))
            node.start()
        elif kind == _KILL_LEADING_FEED:
            await self._kill_and_restart(await self._leading_feed())
        elif kind == _KILL_EDGE:
            await self._kill_and_restart(self._rng.choice(self._edges))
        elif kind == _CUT_SERVER:
            # Isolate the server that leads the JetStream stream, because its isolation does the most harm.
            self._cluster.network.cut(await self._stream_leader())
            await asyncio.sleep(self._rng.uniform(12, 15))
            self._cluster.network.restore()
        else:
            node = self._rng.choice(self._cluster.nodes)
            node.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(12, 15) if kind == _PAUSE_SERVER_LONG else self._rng.uniform(1, 4))
            node.send_signal(signal.SIGCONT)

    async def _kill_and_restart(self, process: ServerProcess) -> None:
        await process.kill()
        await process.start()

    async def _stream_leader(self) -> str:
        """Return the name of the NATS server that currently leads the JetStream stream of the journal."""
        connection = await NatsConnection.open(parse_nats_address(self._journal, ""))
        try:
            while True:
                with contextlib.suppress(JournalError):
                    leader = (await connection.call_api("STREAM.INFO.storm"))["cluster"].get("leader")
                    if leader:
                        return str(leader)
                await asyncio.sleep(0.1)
        finally:
            await connection.close()

    async def _leading_feed(self) -> ServerProcess:
        async with httpx2.AsyncClient() as client:
            while True:
                for feed in self._feeds:
                    state = json.loads((await client.get(f"{feed.url}/readyz")).content)
                    if state["leads"]:
                        return feed
                await asyncio.sleep(0.1)

    async def _open_journal(self) -> NatsJournal:
        """Open the journal. After a fault, retry until NATS is available, for up to _CATCH_UP_TIMEOUT_S."""
        deadline = asyncio.get_running_loop().time() + _CATCH_UP_TIMEOUT_S
        while True:
            try:
                return await NatsJournal.open(parse_nats_address(self._journal, ""), Retention(), SystemClock())
            except JournalError:
                if asyncio.get_running_loop().time() > deadline:
                    raise

    async def _journal_sequences(self) -> list[int]:
        """Return the sequence numbers of all ticks in the journal."""
        journal = await self._open_journal()
        try:
            return await read_tick_sequences(journal)
        finally:
            await journal.close()

    async def _find_extra_consumers(self) -> list[str]:
        """Return an error if the stream does not have one consumer per process after _CONSUMERS_TIMEOUT_S."""
        expected, names = len(self._feeds) + len(self._edges), list[str]()
        connection = await NatsConnection.open(parse_nats_address(self._journal, ""))

        async def has_one_each() -> bool:
            with contextlib.suppress(JournalError):
                names[:] = (await connection.call_api("CONSUMER.NAMES.storm"))["consumers"] or []
            return len(names) == expected

        try:
            async with asyncio.timeout(_CONSUMERS_TIMEOUT_S):
                await wait_until(has_one_each, poll_interval_s=0.1)
        except TimeoutError:
            return [f"the stream has {len(names)} consumers for {expected} processes: {', '.join(names)}"]
        finally:
            await connection.close()
        return []


async def read_tick_sequences(journal: Journal) -> list[int]:
    """Return the sequence numbers of all ticks in a journal."""
    sequences, after = list[int](), 0
    while after < journal.head:
        records = await journal.read(after)
        for record in records:
            if record.kind is RecordKind.TICKS:
                sequences += range(record.first, record.last + 1)
        after = records[-1].last
    return sequences


async def wait_until_caught_up(readers: Sequence[RoamingReader], sequence: int) -> None:
    """Wait until every reader has received the event `sequence`. Stop waiting after _CATCH_UP_TIMEOUT_S."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_CATCH_UP_TIMEOUT_S):
            await wait_until(lambda: all(reader.sequences[-1:] >= [sequence] for reader in readers))


def find_reader_errors(readers: Sequence[RoamingReader], journal_sequences: Sequence[int]) -> list[str]:
    """Compare the events of all readers with the journal. Return a description of each difference."""
    errors = []
    for index, reader in enumerate(readers):
        received = [number for number in reader.sequences if number <= journal_sequences[-1]]
        expected = [number for number in journal_sequences if not received or number >= received[0]]
        if reader.gaps:
            errors.append(f"reader {index} received {reader.gaps} gap events")
        if reader.new_epochs:
            errors.append(f"reader {index} received {reader.new_epochs} new epochs")
        if reader.ids_back:
            errors.append(f"reader {index} received {reader.ids_back} ids that went back")
        if received != expected:
            missing, repeated = len({*expected} - {*received}), len(received) - len({*received})
            errors.append(f"reader {index} lacks {missing} of {len(expected)} events, and received {repeated} again")
    return errors
