"""A sender for manual sinks. It sends bytes as late as the contract of `Sender` allows."""

from __future__ import annotations

from collections.abc import Sequence

from tickwire.hub.fanout.sender import JoiningTable, SinkGroup, SinkTable
from tickwire.hub.fanout.sink import Sink
from tickwire.testing.manual_sink import ManualSink


class DeferringSender:
    """Queues all bytes until `submit`, or until one of the sinks writes its own bytes.

    With this sender, a test notices if the hub forgets to call `submit`.
    """

    name = "deferring"

    def __init__(self) -> None:
        self._queue: list[tuple[ManualSink, bytes]] = []

    def create_group(self, sinks: Sequence[Sink]) -> SinkGroup:
        self.submit()
        manual_sinks = [sink for sink in sinks if isinstance(sink, ManualSink)]
        for sink in manual_sinks:
            sink.before_write = self.submit
        return _DeferringGroup(self._queue, manual_sinks)

    def create_table(self, *, is_chunked: bool) -> SinkTable:
        return JoiningTable(is_chunked=is_chunked)

    def submit(self) -> None:
        queue = [*self._queue]
        self._queue.clear()
        for sink, body in queue:
            try:
                sink.write(body)
            except Exception:  # noqa: BLE001  # the listener handles the error
                if sink.listener is not None:
                    sink.listener.on_write_error()

    def release(self, sink: Sink) -> None:
        self.submit()
        if isinstance(sink, ManualSink):
            sink.before_write = None

    def limit_descriptors(self, count: int) -> None:
        pass

    def close(self) -> None:
        self.submit()


class _DeferringGroup:
    def __init__(self, queue: list[tuple[ManualSink, bytes]], sinks: list[ManualSink]) -> None:
        self._queue = queue
        self._sinks = sinks

    def queue(self, body: bytes) -> None:
        self._queue += [(sink, body) for sink in self._sinks]
