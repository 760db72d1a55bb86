"""A chaos test of `tickwire serve --workers` on an SQLite journal: the test kills processes one after the other.

Publishers send numbered ticks, and repeat each request until it is accepted. At the end, the test compares the events
of each reader with the journal, and the journal with the ticks that were accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from tickwire.core.event import RecordKind
from tickwire.core.tick import ticks_from_bytes
from tickwire.journal.base import Journal
from tickwire.journal.unix.open import follow_journal
from tickwire.journal.unix.socket_file import socket_path
from tickwire.testing.ports import find_consecutive_free_ports
from tickwire.testing.server import ServerProcess
from tickwire.testing.storm import (
    ChaosReport,
    InjectedFault,
    ProgressTracker,
    RoamingReader,
    find_reader_errors,
    read_tick_sequences,
    wait_until_caught_up,
)
from tickwire.testing.waiting import wait_until

_KILL_OWNER, _KILL_EDGE, _KILL_STANDBY, _KILL_BOTH, _REMOVE_SOCKET = (
    "kill the owner of the journal",
    "kill an edge",
    "kill the standby",
    "kill the owner and an edge",
    "remove the socket and kill an edge",
)
_FAULT_KINDS = (_KILL_OWNER, _KILL_EDGE, _KILL_STANDBY, _KILL_BOTH, _REMOVE_SOCKET)
_EDGE_COUNT = 3
_FEED_COUNT = 2
_RETRY_PAUSE_S = 0.05


class NumberedPublisher:
    """Publishes ticks of one symbol with the prices 1, 2, 3 and so on. `accepted` is the newest accepted price."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.accepted = 0
        # The number of requests that were answered with an error, or not at all.
        self.failed_requests = 0

    async def run(self, url: str) -> None:
        """Publish until cancelled. A repeated request has the same key, so that the journal stores its tick once."""
        while True:
            with contextlib.suppress(httpx2.HTTPError):
                async with httpx2.AsyncClient(base_url=url, timeout=10) as client:
                    await self._publish_next(client)
            self.failed_requests += 1
            await asyncio.sleep(_RETRY_PAUSE_S)

    async def wait_until_accepted(self) -> None:
        """Wait until the server has accepted a tick that the publisher sent after this call."""
        accepted = self.accepted
        await wait_until(lambda: self.accepted > accepted + 1)

    async def _publish_next(self, client: httpx2.AsyncClient) -> None:
        """Publish the next ticks until a request fails."""
        while True:
            price = self.accepted + 1
            answer = await client.post(
                "/v1/quotes",
                json=[{"symbol": self.symbol, "last": price}],
                headers={"Idempotency-Key": f"{self.symbol}-{price}"},
            )
            if answer.status_code not in (200, 201):
                return
            self.accepted = price


class OwnerStorm:
    """One execution of the chaos test. All random choices come from `rng`."""

    def __init__(self, folder: Path, rng: random.Random, *, readers: int, publishers: int) -> None:
        self._rng = rng
        self._journal_path = folder / "storm.journal"
        first_port = find_consecutive_free_ports(_EDGE_COUNT + _FEED_COUNT)
        self._feed_ports = [first_port + _EDGE_COUNT + number for number in range(_FEED_COUNT)]
        options = ("--workers", str(_EDGE_COUNT), "--metrics-port", str(first_port), "--rate", "0.5")
        self._server = ServerProcess(*options, "--journal", f"sqlite:{self._journal_path}", cwd=folder)
        self._readers = [RoamingReader(random.Random(rng.random()), [self._server]) for _ in range(readers)]
        self._publishers = [NumberedPublisher(f"P{number}") for number in range(publishers)]
        self._progress = ProgressTracker()

    async def run(self, seconds: float) -> ChaosReport:
        """Inject faults for at least `seconds`, and until each kind of fault has occurred at least once."""
        async with self._server, self._running_clients():
            await wait_until(lambda: all(reader.sequences for reader in self._readers))
            faults = await self._inject_faults(seconds)
            async with follow_journal(socket_path(self._journal_path), print) as (journal, _):
                expected = await read_tick_sequences(journal)
                errors = [
                    error for each in self._publishers for error in await self._find_publisher_errors(journal, each)
                ]
            await wait_until_caught_up(self._readers, expected[-1])
        errors += find_reader_errors(self._readers, expected)
        return ChaosReport(faults, len(expected), sum(reader.reconnects for reader in self._readers), errors)

    @contextlib.asynccontextmanager
    async def _running_clients(self) -> AsyncIterator[None]:
        tasks = [
            *(asyncio.create_task(reader.run(self._progress)) for reader in self._readers),
            *(asyncio.create_task(publisher.run(self._server.url)) for publisher in self._publishers),
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _inject_faults(self, seconds: float) -> list[InjectedFault]:
        loop, faults, kinds = asyncio.get_running_loop(), list[InjectedFault](), list[str]()
        end = loop.time() + seconds
        while loop.time() < end or len(faults) < len(_FAULT_KINDS):
            kinds = kinds or self._rng.sample(_FAULT_KINDS, len(_FAULT_KINDS))
            await wait_until(self._is_complete)
            kind = kinds.pop()
            self._progress.reset()
            self._inject_fault(kind)
            await asyncio.gather(*(publisher.wait_until_accepted() for publisher in self._publishers))
            faults.append(InjectedFault(kind, self._progress.longest_silence_s))
        return faults

    def _inject_fault(self, kind: str) -> None:
        edges, feeds = self._worker_pids("edge"), self._worker_pids("feed")
        owner = self._owner_pid()
        if kind == _REMOVE_SOCKET:
            socket_path(self._journal_path).unlink()
        if kind in (_KILL_OWNER, _KILL_BOTH):
            os.kill(owner, signal.SIGKILL)
        if kind == _KILL_STANDBY:
            os.kill(next(pid for pid in feeds if pid != owner), signal.SIGKILL)
        if kind in (_KILL_EDGE, _KILL_BOTH, _REMOVE_SOCKET):
            os.kill(self._rng.choice(edges), signal.SIGKILL)

    async def _is_complete(self) -> bool:
        """Return True if all processes run, one feed process owns the journal, and another waits to take over."""
        feeds, owner = self._worker_pids("feed"), self._owner_pid()
        if len(self._worker_pids("edge")) < _EDGE_COUNT or len(feeds) < _FEED_COUNT or owner not in feeds:
            return False
        async with httpx2.AsyncClient() as client:
            with contextlib.suppress(httpx2.HTTPError):
                answers = [await client.get(f"http://127.0.0.1:{port}/readyz") for port in self._feed_ports]
                # The waiting process answers that it is not ready. The answer contains the process id of the owner.
                return any(not answer.is_success and re.search(rf"\b{owner}\b", answer.text) for answer in answers)
        return False

    def _worker_pids(self, role: str) -> list[int]:
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        variable = f"TICKWIRE_ROLE={role}".encode()
        return [pid for pid in map(int, children) if variable in _environment(pid)]

    def _owner_pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int(self._journal_path.with_name(f"{self._journal_path.name}-lock").read_text())
        return 0

    async def _find_publisher_errors(self, journal: Journal, publisher: NumberedPublisher) -> list[str]:
        """Return an error if the journal does not contain each price of a publisher once and in order."""
        accepted, prices, after = publisher.accepted, list[int](), 0
        while after < journal.head:
            records = await journal.read(after, kind=RecordKind.TICKS)
            if not records:
                break
            for record in records:
                ticks = ticks_from_bytes(record.data)
                prices += map(int, ticks["last"][ticks["symbol"] == publisher.symbol.encode()])
            after = records[-1].last
        if prices == list(range(1, len(prices) + 1)) and len(prices) >= accepted:
            return []
        return [f"of {accepted} accepted ticks of {publisher.symbol}, the journal has {len(prices)}"]


def _environment(pid: int) -> list[bytes]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return []
