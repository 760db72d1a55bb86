"""Very many readers in one process, kept cheap: they take note of ids and times, and look at nothing else."""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter
from urllib.parse import urlencode, urlsplit

_ID = re.compile(rb"^id: [^\s-]+-(\d+)$", re.MULTILINE)
_EPOCH = re.compile(rb"^id: ([^\s-]+)-", re.MULTILINE)
_BYE = re.compile(rb'^event: bye\ndata: .*"reconnect_in_ms":(\d+)', re.MULTILINE)
_AT_ONCE = 200  # connections being made at the same time


class CrowdReader(asyncio.Protocol):
    """One stream: the numbers of its ids, when they came, and how it ended.

    `times` are moments (perf_counter) at which pieces came, `marks` the numbers of the last ids in those.
    """

    def __init__(self, request: bytes) -> None:
        self.ids = array("q")
        self.epoch = ""
        self.times = array("d")
        self.marks = array("q")
        self.retry_ms: int | None = None  # what its `bye` said
        self.ended = asyncio.get_running_loop().create_future()
        self.welcomed = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport
        self._request = request
        self._rest = b""

    @property
    def last_id(self) -> str:
        """The last id, as a reader gives it when it comes back."""
        return f"{self.epoch}-{self.ids[-1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Look through the whole events that are there."""
        whole, end, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        if not end:
            return
        if not self.welcomed.done():
            self.welcomed.set_result(None)
        numbers = [int(number) for number in _ID.findall(whole)]
        if numbers:
            self.epoch = self.epoch or _EPOCH.search(whole)[1].decode()  # type: ignore[index]  # there is an id
            self.ids.extend(numbers)
            self.times.append(perf_counter())
            self.marks.append(numbers[-1])
        bye = _BYE.search(whole)
        if bye:
            self.retry_ms = int(bye[1])

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is over."""
        for future in (self.welcomed, self.ended):
            if not future.done():
                future.set_result(None)


class Crowd:
    """Readers with the same parameters. `published` maps the numbers of ids to the moments they were published."""

    def __init__(self, url: str, params: Mapping[str, str]) -> None:
        self.readers: list[CrowdReader] = []
        self.published: dict[int, float] = {}
        self._host = urlsplit(url)
        self._path = f"/v1/stream?{urlencode(params)}"

    async def come(self, count: int, last_id_of: Callable[[int], str] | None = None) -> None:
        """So many more readers connect and are welcomed; `last_id_of` tells the id each of them has."""
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> CrowdReader:
            async with turn:
                return await self._connect("" if last_id_of is None else last_id_of(number))

        self.readers += await asyncio.gather(*(one(number) for number in range(count)))

    async def _connect(self, last_id: str) -> CrowdReader:
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        request = f"GET {self._path} HTTP/1.1\r\nHost: {self._host.netloc}\r\n{resume}\r\n".encode()
        loop, host, port = asyncio.get_running_loop(), self._host.hostname or "", self._host.port or 80
        _, reader = await loop.create_connection(lambda: CrowdReader(request), host, port)
        await reader.welcomed
        return reader

    async def ended(self) -> None:
        """Every stream is over."""
        await asyncio.gather(*(reader.ended for reader in self.readers))

    def leave(self) -> None:
        """Close every connection."""
        for reader in self.readers:
            reader.transport.abort()

    def late(self, share: float) -> float:
        """Seconds from publishing to coming that this share of the arrivals did not exceed."""
        times = sorted(
            moment - self.published[mark]
            for reader in self.readers
            for mark, moment in zip(reader.marks, reader.times, strict=True)
            if mark in self.published
        )
        return times[int(share * (len(times) - 1))] if times else 0.0
