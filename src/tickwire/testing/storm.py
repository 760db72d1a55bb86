"""A storm over a cluster: servers of every kind die and return while readers hop about, and each must end with it all.

Three NATS servers, two feeds, three edges, all in processes of their own; the readers are here, take every event
(`delivery=all`) and hop from edge to edge with their last id. What they saw is compared with what the journal holds.
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
from typing import NamedTuple

import httpx2

from tickwire.clock import SystemClock
from tickwire.core.event import Kind
from tickwire.errors import JournalError
from tickwire.journal.base import Retention
from tickwire.journal.nats.address import parse_address
from tickwire.journal.nats.journal import NatsJournal
from tickwire.journal.nats.link import Link
from tickwire.testing.nats import NatsCluster
from tickwire.testing.server import ServerProcess
from tickwire.testing.wire import open_stream

_ID = re.compile(r"^id: \w+-(\d+)$", re.MULTILINE)
_BYE = re.compile(r'"reconnect_in_ms":(\d+)')
_EPOCH = re.compile(r"^id: (\w+)-", re.MULTILINE)
_LEADER, _EDGE, _FEED, _CUT = (
    "kill the stream's leader",
    "kill an edge",
    "kill the feed that leads",
    "cut a NATS server off",
)
_BLOWS = (_LEADER, _EDGE, _FEED, _CUT)
_SETTLE_SECONDS = 60.0  # for the last reader to have it all, once everything is healed
_QUIET_SECONDS = 2.0  # between two blows, and as much again by chance


class Blow(NamedTuple):
    """What was done, and for how many seconds no reader got anything new after it."""

    what: str
    silence: float


class Outcome(NamedTuple):
    """What a storm left: `wrong` is empty if every reader has every event once and in order.

    `returns` are the seconds from an edge's drain to its readers' coming back, where edges were restarted in turn.
    """

    blows: Sequence[Blow]
    events: int
    hops: int
    wrong: Sequence[str]
    returns: Sequence[float] = ()


class StormReader:
    """One reader; `numbers` are those of the quotes it was sent."""

    def __init__(self, rng: random.Random, edges: Sequence[ServerProcess], hop_seconds: float) -> None:
        self.numbers: list[int] = []
        self.epoch = ""
        self.gaps = 0
        self.hops = 0
        self.returns: list[float] = []  # the loop's time at each return after a `bye`
        self._bye: float | None = None  # seconds that the last one asked to wait
        self._rng = rng
        self._edges = edges
        self._hop_seconds = hop_seconds

    async def run(self, newest: Newest) -> None:
        """Read, hop, and read on, until cancelled."""
        while True:
            with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(self._hop_seconds * self._rng.uniform(0.5, 1.5)):
                    await self._read(self._rng.choice(self._edges).url, newest)
            self.hops += 1
            await asyncio.sleep(self._rng.uniform(0, 0.3) if self._bye is None else self._bye)

    async def _read(self, url: str, newest: Newest) -> None:
        headers = {"Last-Event-ID": f"{self.epoch}-{self.numbers[-1]}"} if self.numbers else {}
        params = {"delivery": "all", "fields": "symbol,last", "snapshot": "false"}
        async with open_stream(url, params, headers=headers) as stream:
            rest = ""
            if self._bye is not None and stream.status == 200:
                self.returns.append(asyncio.get_running_loop().time())
                self._bye = None
            while stream.status == 200 and (piece := await stream.chunk()):
                whole, _, rest = (rest + piece).rpartition("\n\n")
                self._take(whole)
                newest.see(self.numbers[-1] if self.numbers else 0)

    def _take(self, text: str) -> None:
        self.gaps += text.count("event: gap")
        if match := _BYE.search(text):
            self._bye = int(match[1]) / 1000
        self.numbers += map(int, _ID.findall(text))
        if not self.epoch and (match := _EPOCH.search(text)):
            self.epoch = match[1]


class Newest:
    """The newest event that any reader got, and when."""

    def __init__(self) -> None:
        self.number = 0
        self.longest = 0.0  # seconds without a newer one, since the last `begin`
        self._at = 0.0

    def see(self, number: int) -> None:
        """A reader has come so far."""
        if number > self.number:
            now = asyncio.get_running_loop().time()
            self.longest = max(self.longest, now - self._at)
            self.number, self._at = number, now

    def begin(self) -> None:
        """Measure anew from here."""
        self._at, self.longest = asyncio.get_running_loop().time(), 0.0


class Storm:
    """The cluster and what is done to it; everything by chance comes from `rng`."""

    def __init__(self, folder: Path, rng: random.Random, *, readers: int, rate: float) -> None:
        self._rng = rng
        self._cluster = NatsCluster(folder / "nats")
        self._journal = f"{self._cluster.url}/storm"
        common = ("--journal", self._journal, "--replicas", "3", "--rate", str(rate))
        self._feeds = [self._process(folder, f"feed{n}", "feed", common) for n in range(2)]
        self._edges = [self._process(folder, f"edge{n}", "edge", common) for n in range(3)]
        self._readers = [StormReader(random.Random(rng.random()), self._edges, 4.0) for _ in range(readers)]
        self._newest = Newest()
        self._returns: list[float] = []

    async def run(self, seconds: float) -> Outcome:
        """Let it blow for so long, and every kind of blow once; heal everything, and see what readers have."""
        return await self._watched(lambda: self._blow(seconds))

    async def roll(self) -> Outcome:
        """Restart the edges one after the other, as an upgrade does, and see what readers have."""
        return await self._watched(self._restart_edges)

    async def _watched(self, work: Callable[[], Awaitable[list[Blow]]]) -> Outcome:
        with self._cluster:
            async with self._processes():
                reading = [asyncio.create_task(reader.run(self._newest)) for reader in self._readers]
                try:
                    blows = await work()
                    held = await self._held()
                    await self._settled(held[-1])
                finally:
                    for task in reading:
                        task.cancel()
                    await asyncio.gather(*reading, return_exceptions=True)
        hops = sum(reader.hops for reader in self._readers)
        return Outcome(blows, len(held), hops, self._wrong(held), self._returns)

    @staticmethod
    def _process(folder: Path, name: str, role: str, common: Sequence[str]) -> ServerProcess:
        return ServerProcess("--role", role, *common, cwd=folder, log=folder / f"{name}.log")

    @contextlib.asynccontextmanager
    async def _processes(self) -> AsyncIterator[None]:
        everyone = [*self._feeds, *self._edges]
        try:
            await asyncio.gather(*(each.start() for each in everyone))
            yield
        finally:
            await asyncio.gather(*(each.kill() for each in everyone))

    async def _blow(self, seconds: float) -> list[Blow]:
        loop, blows = asyncio.get_running_loop(), list[Blow]()
        await self._begun()
        end = loop.time() + seconds
        order = list(_BLOWS)
        while loop.time() < end or len(blows) < len(_BLOWS):
            if not order:
                order = self._rng.sample(_BLOWS, len(_BLOWS))
            what = order.pop(0)
            self._newest.begin()
            before = self._newest.number
            await self._strike(what)
            while self._newest.number == before:
                await asyncio.sleep(0.02)
            await asyncio.sleep(_QUIET_SECONDS * self._rng.uniform(1, 2))
            blows.append(Blow(what, self._newest.longest))
        return blows

    async def _restart_edges(self) -> list[Blow]:
        await self._begun()
        loop, blows = asyncio.get_running_loop(), list[Blow]()
        for edge in self._edges:
            self._newest.begin()
            began = loop.time()
            await edge.stop()
            await edge.start()
            await asyncio.sleep(_QUIET_SECONDS)
            self._returns += [at - began for reader in self._readers for at in reader.returns if at > began]
            blows.append(Blow("restart an edge", self._newest.longest))
        return blows

    async def _begun(self) -> None:
        """Return once all readers have something."""
        while not all(reader.numbers for reader in self._readers):
            await asyncio.sleep(0.05)

    async def _strike(self, what: str) -> None:
        if what == _LEADER:
            node = self._cluster.node(await self._leader())
            node.kill()
            await asyncio.sleep(self._rng.uniform(0.5, 2))
            node.start()
        elif what == _FEED:
            await self._again(await self._leading_feed())
        elif what == _EDGE:
            await self._again(self._rng.choice(self._edges))
        else:
            node = self._rng.choice(self._cluster.nodes)
            node.signal(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(1, 4))
            node.signal(signal.SIGCONT)

    async def _again(self, process: ServerProcess) -> None:
        await process.kill()
        await process.start()

    async def _leader(self) -> str:
        """The NATS server that leads the journal's stream."""
        link = await Link.open(parse_address(self._journal, ""))
        try:
            while True:
                with contextlib.suppress(JournalError):
                    leader = (await link.api("STREAM.INFO.storm"))["cluster"].get("leader")
                    if leader:
                        return str(leader)
                await asyncio.sleep(0.1)
        finally:
            await link.close()

    async def _leading_feed(self) -> ServerProcess:
        async with httpx2.AsyncClient() as client:
            while True:
                for feed in self._feeds:
                    answer = json.loads((await client.get(f"{feed.url}/readyz")).content)
                    if answer["leads"]:
                        return feed
                await asyncio.sleep(0.1)

    async def _held(self) -> list[int]:
        """The numbers of all ticks in the journal."""
        journal = await NatsJournal.open(parse_address(self._journal, ""), Retention(), SystemClock())
        numbers, after = list[int](), 0
        try:
            while after < journal.head:
                records = await journal.read(after)
                for record in records:
                    if record.kind is Kind.TICKS:
                        numbers += range(record.first, record.last + 1)
                after = records[-1].last
        finally:
            await journal.close()
        return numbers

    async def _settled(self, number: int) -> None:
        """Return once every reader has come so far, or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                while any(not reader.numbers or reader.numbers[-1] < number for reader in self._readers):
                    await asyncio.sleep(0.05)

    def _wrong(self, held: Sequence[int]) -> list[str]:
        found = []
        for place, reader in enumerate(self._readers):
            seen = [number for number in reader.numbers if number <= held[-1]]
            due = [number for number in held if number >= seen[0]] if seen else held
            if reader.gaps:
                found.append(f"reader {place} was told of {reader.gaps} gaps")
            if seen != due:
                missing, twice = len({*due} - {*seen}), len(seen) - len({*seen})
                found.append(f"reader {place} misses {missing} events, has {twice} twice, of {len(due)}")
        return found
