"""Thousands of stream clients (readers) in one process.

A reader occupies little memory, because it stores only the ids and the arrival times of events.
"""

from __future__ import annotations

import asyncio
import re
from array import array
from collections.abc import Callable, Mapping
from time import perf_counter
from urllib.parse import urlencode, urlsplit

_SEQUENCE_PATTERN = re.compile(rb"^id: [^\s-]+-(\d+)$", re.MULTILINE)
_EPOCH_PATTERN = re.compile(rb"^id: ([^\s-]+)-", re.MULTILINE)
_BYE_PATTERN = re.compile(rb'^event: bye\ndata: .*"reconnect_in_ms":(\d+)', re.MULTILINE)
_MAX_CONCURRENT_CONNECTS = 200


class LightweightReader(asyncio.Protocol):
    """A stream client that stores only the sequence numbers and the arrival times of events.

    The stream arrives in chunks. `arrival_times` contains the time (perf_counter) at which each chunk arrived.
    `arrival_sequences` contains the last sequence number in each chunk.
    """

    def __init__(self, request: bytes) -> None:
        self.sequences = array("q")
        self.epoch = ""
        self.arrival_times = array("d")
        self.arrival_sequences = array("q")
        # The reconnect delay in the `bye` event. The value is None until this event arrives.
        self.reconnect_in_ms: int | None = None
        self.ended = asyncio.get_running_loop().create_future()
        self.welcomed = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._request = request
        self._incomplete_event = b""

    @property
    def last_event_id(self) -> str:
        """The id of the last received event. A reconnect sends this id in the header Last-Event-ID."""
        return f"{self.epoch}-{self.sequences[-1]}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Request the stream."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Parse the complete events in the received bytes. Keep an incomplete event for the next call."""
        whole, end, rest = (self._incomplete_event + data).rpartition(b"\n\n")
        self._incomplete_event = rest
        if not end:
            return
        if not self.welcomed.done():
            self.welcomed.set_result(None)
        numbers = [int(number) for number in _SEQUENCE_PATTERN.findall(whole)]
        if numbers:
            self.epoch = self.epoch or _EPOCH_PATTERN.search(whole)[1].decode()  # type: ignore[index]  # an id matched above
            self.sequences.extend(numbers)
            self.arrival_times.append(perf_counter())
            self.arrival_sequences.append(numbers[-1])
        bye = _BYE_PATTERN.search(whole)
        if bye:
            self.reconnect_in_ms = int(bye[1])

    def abort(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Complete the futures `welcomed` and `ended`, because no further event arrives."""
        for future in (self.welcomed, self.ended):
            if not future.done():
                future.set_result(None)


class ReaderFleet:
    """Readers that open streams with the same parameters. All connections are closed when the `async with` block ends.

    `publish_times` maps the sequence number of an event to the time (perf_counter) at which the event was published.
    """

    def __init__(self, url: str, params: Mapping[str, str]) -> None:
        self.readers: list[LightweightReader] = []
        self.publish_times: dict[int, float] = {}
        self._server_url = urlsplit(url)
        self._path = f"/v1/stream?{urlencode(params)}"

    async def __aenter__(self) -> ReaderFleet:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.disconnect()
        # Wait for one turn of the event loop, in which the event loop closes the sockets.
        await asyncio.sleep(0)

    async def connect(self, count: int, last_event_id_of: Callable[[int], str] | None = None) -> None:
        """Add `count` readers to `readers`, connect them, and wait until each reader has received an event.

        `last_event_id_of` maps the index of a new reader (from 0 to `count` - 1) to an event id. The reader's stream
        starts after this event.
        """
        new = [
            self._new_reader("" if last_event_id_of is None else last_event_id_of(number)) for number in range(count)
        ]
        self.readers += new
        semaphore = asyncio.Semaphore(_MAX_CONCURRENT_CONNECTS)

        async def connect_one(reader: LightweightReader) -> None:
            async with semaphore:
                address = self._server_url.hostname or "", self._server_url.port or 80
                await asyncio.get_running_loop().create_connection(lambda: reader, *address)
                await reader.welcomed

        await asyncio.gather(*map(connect_one, new))

    def _new_reader(self, last_id: str) -> LightweightReader:
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        request = f"GET {self._path} HTTP/1.1\r\nHost: {self._server_url.netloc}\r\n{resume}\r\n"
        return LightweightReader(request.encode())

    async def wait_until_ended(self) -> None:
        """Wait until every stream has ended."""
        await asyncio.gather(*(reader.ended for reader in self.readers))

    def disconnect(self) -> None:
        """Abort every connection."""
        for reader in self.readers:
            reader.abort()

    def latency_quantile(self, quantile: float) -> float:
        """Return a quantile of the latencies, in seconds. Return 0 if no event has arrived.

        A latency is the time from the publication of an event to the arrival of this event at a reader.
        """
        latencies_s = sorted(
            arrival_time - self.publish_times[sequence]
            for reader in self.readers
            for sequence, arrival_time in zip(reader.arrival_sequences, reader.arrival_times, strict=True)
            if sequence in self.publish_times
        )
        return latencies_s[int(quantile * (len(latencies_s) - 1))] if latencies_s else 0.0
